import subprocess
import sys

import pytest

from chamaleonet.errors import UserError
from chamaleonet.lab import scenario
from chamaleonet.lab.scenario import SECOND

FILE = """\
title: A test
topology: single
seconds: 20
config: {timeout: 1s}
plants:
  - name: gone
    clients: client
    servers: 192.0.2.9
    every: 500ms
    run: curl http://{server_url}/
    verdicts: unanswered
    least: 5
    named_by: [stale_server, table retries]
"""


@pytest.fixture
def written(tmp_path):
    def write(text, name="test.yaml"):
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return write


def test_a_file_is_read_and_typed(written):
    read = scenario.load(written(FILE))
    assert read.seconds == 20
    [plant] = read.plants
    assert plant.every == SECOND // 2
    assert plant.clients == ("client",)
    assert plant.named_by == ("stale_server", "table retries")


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("least: 5", "least: 5\n    leest: 5", 13, "leest: unknown key"),
        ("every: 500ms", "every: 500", 9, "not a duration"),
        ("verdicts: unanswered", "verdicts: lost", 11, "'lost' is none of"),
        ("{server_url}", "{host}", 10, "{host} is none of"),
        ("stale_server", "stale_client", 13, "'stale_client' is none of"),
        ("run: curl http://{server_url}/", "run: ''", 10, "no command"),
        ("run: curl http://{server_url}/", "run: curl 'x", 10, "No closing quotation"),
        ("{timeout: 1s}", "{timeout: 1}", 4, "timeout: '1' is not a duration"),
        ("{timeout: 1s}", "{timeout: 1h}", 4, "shorter than idle_timeout"),
        ("{timeout: 1s}", "{switches: []}", 4, "switches are the topology's"),
        ("config: {timeout: 1s}", "switch: {snaplen: 9}", 4, "snaplen: Input should be greater"),
        ("config: {timeout: 1s}", "switch: {dp_id: 1}", 4, "dp_id is the lab's own"),
    ],
)
def test_a_mistake_is_told_with_its_line(written, old, new, line, said):
    assert FILE.count(old) == 1
    path = written(FILE.replace(old, new))
    with pytest.raises(UserError) as error:
        scenario.load(path)
    assert str(error.value).startswith(f"{path}:{line}: ")
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("{at: r, action: reset, to: x, service: udp/53}", "only TCP can be reset"),
        ("{at: r, action: drop, to: x, start: 5s, stop: 5s}", "stop must be later than start"),
        ("{at: r, action: lose, to: x}", "Input should be 'drop'"),
    ],
)
def test_a_fault_must_make_sense(written, fault, said):
    with pytest.raises(UserError, match=said):
        scenario.load(written(f"{FILE}faults:\n  - {fault}\n"))


def test_two_of_one_name_are_refused(written):
    twice = FILE + "traffic:\n  - {name: gone, clients: client, run: sleep 1}\n"
    with pytest.raises(UserError, match="gone: two have this name"):
        scenario.load(written(twice))


def test_includes_come_first_and_lie_beside_the_file(written):
    written("traffic:\n  - {name: web, clients: client, run: sleep 1}\n", "base.yaml")
    path = written(FILE + "include: base\ntraffic:\n  - {name: own, clients: client, run: x}\n")
    assert [each.name for each in scenario.load(path).traffic] == ["web", "own"]


def test_two_of_one_name_are_refused_if_one_is_included(written):
    written("traffic:\n  - {name: gone, clients: client, run: sleep 1}\n", "base.yaml")
    path = written(FILE + "include: base\n")
    with pytest.raises(UserError, match=r"test\.yaml: gone: two have this name"):
        scenario.load(path)


def test_a_topology_in_a_file_lies_beside_the_scenario(written, tmp_path):
    path = written(FILE.replace("topology: single", "topology: nets/own.py:small"))
    assert scenario.load(path).topology == f"{tmp_path / 'nets' / 'own.py'}:small"


def test_what_is_dumped_says_the_same(written, tmp_path):
    for name in scenario.names():
        whole = scenario.load(name)
        assert scenario.load(written(scenario.dump(whole))) == whole.model_copy(
            update={"include": ()}
        )


def test_what_commands_begin_with_is_needed(written):
    more = (
        "servers:\n  - {host: server, run: unbound -d}\n  - {host: server, run: '{python} -V'}\n"
        "traffic:\n  - {name: a, clients: client, run: 'sh {directory}/x'}\n"
    )
    read = scenario.load(written(FILE + more))
    assert sorted(scenario.programs(read)) == ["curl", "sh", "unbound"]


def test_no_such_scenario():
    with pytest.raises(UserError, match=r"nothing: no such scenario .*hpc-polling"):
        scenario.load("nothing")


def test_all_that_come_with_the_package_are_listed_the_quickest_first():
    names = scenario.names()
    assert set(names) == {path.stem for path in scenario.HERE.glob("*.yaml")}
    lengths = [scenario.load(name).seconds for name in names]
    assert lengths == sorted(lengths)


def test_they_are_listed_without_what_only_reports_and_switches_need():
    script = (
        "import sys\n"
        "for name in ('ibis', 'duckdb', 'mininet', 'os_ken'): sys.modules[name] = None\n"
        "from chamaleonet.cli import main\n"
        "sys.exit(main(['lab', 'list']))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "hpc-polling" in done.stdout


def test_scenarios_include_scenarios_and_what_they_share_but_once(written):
    written("traffic:\n  - {name: web, clients: client, every: 1s, run: curl x}\n", "shared.yaml")
    written(FILE + "include: shared\nindicators: 192.0.2.9\n", "one.yaml")
    two = FILE.replace("name: gone", "name: away") + "include: [shared, one]\n"
    written(two.replace("topology: single", "topology: tap"), "two.yaml")
    whole = FILE[: FILE.index("plants:")].replace("seconds: 20", "seconds: 9")
    read = scenario.load(written(whole + "include: [one, two]\n", "whole.yaml"))
    assert [each.name for each in (*read.traffic, *read.plants)] == ["web", "gone", "away"]
    assert (read.indicators, read.topology, read.seconds) == (("192.0.2.9",), "single", 9)
