"""`chamaleonet lab run`: a quick scenario from its file to its result, and nothing left behind."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from chamaleonet.lab import machine, scenario
from chamaleonet.lab.scrape import parsed, total

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not shutil.which("ovs-vsctl"), reason="needs Open vSwitch"),
    pytest.mark.skipif(not shutil.which("mnexec"), reason="needs Mininet"),
    pytest.mark.skipif(not shutil.which("nft", path="/usr/sbin:/sbin"), reason="needs nftables"),
]

SCENARIO = """\
title: A client asks a DNS server that is not there
topology: {topology}
seconds: 15
config: {{timeout: 500ms}}
servers:
  - host: {server}
    run: "{{python}} -m http.server 80 --bind :: --directory {{directory}}"
    files: {{index.html: "A page.\\n"}}
    ready: tcp/80
traffic:
  - name: web
    clients: {client}:0-4
    servers: {server}:0-4
    every: 200ms
    run: >-
      curl -s -o /dev/null --max-time 5 --interface {{client}} --local-port {{port}}
      http://{{server_url}}/
faults:
  - {{at: {server}, action: drop, to: "{server}:9", service: udp/53, start: 500ms}}
plants:
  - name: dead-resolver
    clients: {client}:7
    servers: {server}:9
    family: "4"
    every: 250ms
    start: 1s
    run: "dig +tries=1 +timeout=1 -b {{client}}#{{port}} @{{server}} www.example.org"
    verdicts: unanswered
    least: 30
    named_by: dns_dead_resolver
"""


# What comes from outside passes one of the probes, what leaves the other.
TWO_PROBES = """\
title: Nobody answers, neither there nor here
topology: asymmetric_split
seconds: 10
config: {timeout: 500ms}
plants:
"""
PLANT = """\
  - name: {name}
    clients: {clients}
    servers: {servers}
    family: "4"
    every: 400ms
    run: "ping -q -n -c 3 -i 1 -W 1 -I {{client}} {{server}}"
    verdicts: unanswered
    least: 10
    named_by: table host_pairs
"""


class Lab:
    """Runs ``chamaleonet lab run``, and knows what it has left behind."""

    def __init__(self, directory: Path, place: Path) -> None:
        self.directory = directory
        self._place = place
        # Whatever it starts, and they start, has this in its environment.
        self._mark = f"CHAMALEONET_LAB_TEST={secrets.token_hex(8)}"
        name, _, value = self._mark.partition("=")
        self._environment = os.environ | {"TMPDIR": str(place), name: value}

    def start(self, path: Path, *options: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "chamaleonet", "lab", "run", path, *options]
        return subprocess.Popen(
            [*command, "-o", self.directory], env=self._environment,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def run(self, path: Path, *options: str) -> tuple[int, str]:
        """Return the exit status, and what it said."""
        with self.start(path, *options) as process:
            out, error = process.communicate(timeout=240)
        return process.returncode, out + error

    def left(self) -> list[str]:
        """Return bridges, interfaces, processes and files that should be gone."""
        interfaces = subprocess.run(["ip", "-br", "link"], capture_output=True, text=True).stdout
        bridges = machine.run("ovs-vsctl", "list-br").split()
        names = [line.split()[0] for line in interfaces.splitlines()]
        ours = [name for name in names if re.match(r"s\d|chlog|chcand|core|edge|.*-eth", name)]
        files = list(map(str, self._place.iterdir()))
        return bridges + ours + files + list(self._processes())

    def _processes(self) -> Iterator[str]:
        for path in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if self._mark.encode() in (path / "environ").read_bytes():
                    yield (path / "cmdline").read_bytes().replace(b"\0", b" ").decode()


@pytest.fixture
def lab(tmp_path):
    assert machine.switch_runs()
    with tempfile.TemporaryDirectory() as place:
        made = Lab(tmp_path / "out", Path(place))
        yield made
        assert made.left() == []


@pytest.fixture
def write(tmp_path):
    def written(topology, client, server):
        path = tmp_path / "quick.yaml"
        path.write_text(SCENARIO.format(topology=topology, client=client, server=server))
        return path

    return written


@pytest.mark.parametrize(
    ("topology", "client", "server", "pipeline"),
    [
        ("single", "client", "server", "conntrack"),
        ("single", "client", "server", "reactive"),
        ("tap", "staff", "www", "conntrack"),
    ],
)
def test_a_scenario_from_its_file_to_its_result(lab, write, topology, client, server, pipeline):
    path, directory = write(topology, client, server), lab.directory
    status, said = lab.run(path, "--pipeline", pipeline, "--seed", "7")
    assert status == 0, said
    result = json.loads((directory / "result.json").read_text())
    assert result["ok"]
    assert (result["seed"], result["pipeline"]) == (7, pipeline)
    [plant] = result["plants"]
    assert plant["expected_flows"] == plant["judged_right"] == plant["captured"] >= 30
    assert plant["finding_named"]
    assert result["healthy"]["captured"] == 0
    assert result["healthy"]["flows"] >= 50
    assert result["packets"]["controller"] < result["packets"]["border"]
    for name in ("trace-*.pcap", "rules-s1.txt", "report.html", "report.json", "chamaleonet.yaml"):
        [file] = directory.glob(name)
        assert file.stat().st_size > 0
    again = scenario.load(str(directory / "scenario.yaml"))
    assert again == scenario.load(str(path)).model_copy(update={"seed": 7, "pipeline": pipeline})


def test_two_probes_are_watched_by_one_controller_and_one_logger(lab, tmp_path):
    path = tmp_path / "two.yaml"
    leaving = PLANT.format(name="leaving", clients="staff:0-2", servers="192.0.2.250")
    coming = PLANT.format(name="coming", clients="outsider:0-2", servers="10.20.10.250")
    path.write_text(TWO_PROBES + leaving + coming)
    status, said = lab.run(path)
    assert status == 1, said
    result = json.loads((lab.directory / "result.json").read_text())
    assert result["problems"] == []
    for plant in result["plants"]:
        assert plant["expected_flows"] == plant["judged_right"] >= 10
        assert plant["captured"] == 3 * plant["expected_flows"]
        # They are too few for a table of the report.
        assert plant["problems"] == ["the report names it nowhere in table host_pairs"]
    metrics = parsed((lab.directory / "metrics-controller.txt").read_text())
    for dp_id in ("00000000000000a1", "00000000000000a2"):
        assert total(metrics, "redirect_rules", dp_id=dp_id) > 0
    assert len(list(lab.directory.glob("rules-*"))) == 2
    assert len(list(lab.directory.glob("trace-*.pcap"))) == 2


@pytest.mark.parametrize(
    ("number", "after"),
    [
        (signal.SIGINT, "topology single"),  # while it is built
        (signal.SIGTERM, "starting controller"),
        (signal.SIGHUP, "s left"),  # while traffic goes on
    ],
)
def test_interrupted_it_leaves_nothing(lab, write, number, after):
    with lab.start(write("single", "client", "server")) as process:
        while after not in (line := process.stdout.readline()):
            assert line
        assert lab.left(), "what is not seen now would not be seen later"
        process.send_signal(number)
        time.sleep(0.2)
        process.send_signal(number)  # by who is impatient
        assert process.wait(60) == 130


def test_what_goes_wrong_halfway_leaves_nothing(lab, write):
    path = write("single", "client", "server")
    path.write_text(path.read_text().replace("ready: tcp/80", "ready: tcp/81").replace(
        "http.server 80", "http.server --no-such-option 80"
    ))  # fmt: skip
    status, said = lab.run(path)
    assert status == 2
    assert "server: {python} -m http.server" in said
    assert "unrecognized arguments: --no-such-option" in said
