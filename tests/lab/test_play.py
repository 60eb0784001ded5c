"""Real programs on this machine, in place of hosts of a network."""

import subprocess
import sys
import time

import pytest

from chamaleonet.errors import UserError
from chamaleonet.lab.inventory import Host, Inventory
from chamaleonet.lab.plan import plan
from chamaleonet.lab.play import Player
from chamaleonet.lab.scenario import SECOND, Scenario

INVENTORY = Inventory([Host.of("h", ["127.0.0.1/8"], inside=True)])


class Here:
    """A network of which all hosts are this machine.

    Attributes:
        listens: whether somebody listens where a server is awaited.
        told: what nftables was told.
    """

    def __init__(self):
        self.listens = True
        self.told = []

    def start(self, _host, command, **options):
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, process_group=0, **options)

    def run(self, host, command, given=""):
        if command[0] == "ss":
            return "LISTEN\n" if self.listens else ""
        self.told.append((host, *given.split()[:3]))
        return ""


@pytest.fixture
def player(tmp_path):
    players = []

    def make(network=None, **keys):
        for name in ("said", "place"):
            (tmp_path / name).mkdir(exist_ok=True)
        scenario = Scenario.model_validate({"title": "x", "topology": "x", "seconds": 9, **keys})
        made = Player(
            scenario, plan(scenario, INVENTORY, 0), INVENTORY, network or Here(),
            tmp_path / "said", tmp_path / "place", time.sleep,
        )  # fmt: skip
        players.append(made)
        return made

    yield make
    for each in players:
        each.stop()


def wait_for(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_steps_run_with_their_files_in_a_folder_of_their_own(player, tmp_path):
    step = {
        "name": "read", "clients": ["h", "h"], "run": "cat {directory}/a {directory}/b",
        "files": {"a": "{number} in ", "b": "{directory}\n"},
    }  # fmt: skip
    player(traffic=[step]).start()
    said = tmp_path / "said" / "read.txt"
    wait_for(lambda: said.exists() and said.read_text().count("\n") == 2)
    place = tmp_path / "place"
    assert sorted(said.read_text().splitlines()) == [
        f"0 in {place / 'step0'}", f"1 in {place / 'step1'}",
    ]  # fmt: skip
    assert place.joinpath("step0").stat().st_mode & 0o777 == 0o755


def test_faults_begin_and_end_at_their_times(player):
    network = Here()
    faults = [
        {"at": "r", "action": "drop", "to": "h"},
        {"at": "r", "action": "drop", "to": "h", "start": "20ms", "stop": "40ms"},
        {"at": "r", "action": "drop", "to": "h", "stop": "30ms"},
    ]
    own = player(network, faults=faults)
    own.set_lasting_faults()
    begun = [("r", "table", "inet", f"chamaleonet_lab_{n}") for n in range(3)]
    ended = [("r", "delete", "table", "inet")] * 2
    assert network.told == [begun[0], begun[2]]
    own.start()
    wait_for(lambda: len(network.told) == 5)
    assert network.told[2:] == [begun[1], *ended]


def test_what_cannot_be_run_is_told(player):
    own = player(traffic=[{"name": "none", "clients": "h", "run": "/no/such/program"}])
    own.start()
    with pytest.raises(UserError, match="h: /no/such/program: No such file"):
        wait_for(own.check)


def test_the_end_is_the_end_of_all_programs_and_their_children(player, tmp_path):
    script = "sleep 600 & echo $! $$ >&2; wait"
    own = player(
        servers=[{"host": "h", "run": f"sh -c '{script}'"}],
        traffic=[{"name": "long", "clients": "h", "run": f"sh -c '{script}'"},
                 {"name": "later", "clients": "h", "start": "8s", "run": "sleep 600"}],
    )  # fmt: skip
    own.start_servers()
    own.start()
    said = [tmp_path / "said" / name for name in ("server0-h.txt", "long.txt")]
    wait_for(lambda: all(path.exists() and path.read_text().count("\n") for path in said))
    assert own.stop() == []
    pids = [pid for path in said for pid in path.read_text().split()]
    assert len(pids) == 4

    def gone(pid):
        state = subprocess.run(
            ["ps", "-o", "stat=", "-p", pid], capture_output=True, text=True
        ).stdout
        return state.strip() in ("", "Z")

    wait_for(lambda: all(map(gone, pids)))
    assert not (tmp_path / "said" / "later.txt").exists()


def test_a_server_that_does_not_begin_is_told_with_its_last_words(player):
    network = Here()
    network.listens = False
    server = {"host": "h", "run": "sh -c 'echo one; echo no port; exit 1'", "ready": "tcp/80"}
    with pytest.raises(UserError, match=r"h: sh -c .*: ended: no port"):
        player(network, servers=[server]).start_servers()


def test_a_server_that_ends_before_is_told_at_the_end(player):
    own = player(servers=[{"host": "h", "run": "sh -c 'echo oh dear; exit 4'"}])
    own.start_servers()
    wait_for(lambda: own._servers["server0-h"].poll() is not None)
    [words] = own.stop()
    assert words.startswith("h: sh -c ")
    assert words.endswith("ended before (4): oh dear")


def test_server_words_are_filled_in(player, tmp_path):
    run = '{python} -c \'print("{address4}", "{directory}")\''
    player(servers=[{"host": "h", "run": run}]).start_servers()
    said = tmp_path / "said" / "server0-h.txt"
    wait_for(lambda: said.read_text().count("\n"))
    assert said.read_text() == f"127.0.0.1 {tmp_path}/place/server0-h\n"
    assert sys.executable


def test_lateness_is_known(player):
    own = player(traffic=[{"name": "at-once", "clients": "h", "run": "true"}])
    own.start()
    wait_for(lambda: own.latest > 0)
    assert own.latest < 60 * SECOND


def test_what_goes_on_is_ended_when_it_says_and_others_are_not(player):
    goes_on = {"clients": "h", "run": f"{sys.executable} -c 'import time; time.sleep(60)'"}
    made = player(
        traffic=[goes_on | {"name": "short", "stop": "300ms"}, goes_on | {"name": "long"}]
    )
    made.start()
    wait_for(lambda: len(made._running) == 2)
    long, short = made._running  # of one time, by name
    wait_for(lambda: short.poll() is not None)
    assert long.poll() is None
