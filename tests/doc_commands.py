"""Every command block of the documentation, and how each is tried.

A block is fenced as ``console`` (what follows ``$`` is a command, all else is what it prints) or
``sh`` (one script). It is
run as it stands, in a folder that looks like a checkout and has a few captures in it. HOW says
where; a block that it does not know fails a test.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Self

from backports import zstd
from scapy.layers.l2 import Ether
from scapy.utils import PcapNgWriter

from tests.test_replay import RECORDS, pcap

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_BLOCK = re.compile(r"^```(console|sh)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


class Block(NamedTuple):
    """A fenced block.

    Attributes:
        page: its page's path in the repository.
        commands: what to run, in order.
    """

    page: str
    commands: tuple[str, ...]

    @property
    def name(self) -> str:
        """What HOW calls it: page and first command."""
        return f"{self.page}: {self.commands[0].splitlines()[0]}"


def blocks() -> list[Block]:
    """Return all command blocks, page by page."""
    found = []
    for page in PAGES:
        for language, text in _BLOCK.findall(page.read_text()):
            commands = (text,)
            if language == "console":
                commands = tuple(re.findall(r"^\$ (.+)$", text, re.MULTILINE))
            found.append(Block(str(page.relative_to(ROOT)), commands))
    return found


class Elsewhere(NamedTuple):
    """Another file of the repository runs the same, and these words in it say so."""

    file: str
    words: tuple[str, ...]


HERE = "tests/test_doc_commands.py"
SWITCH = "mininet_tests/test_doc_commands.py"  # has root and a bridge br0
DEMO = Elsewhere("Makefile", ("$(BIN)/chamaleonet demo",))  # mininet_tests/test_demo.py
HOW = {
    # The role's parts are played one by one: a whole run installs packages and starts services.
    "docs/ansible.md: ansible-playbook -i inventory.yml site.yml --check --diff": Elsewhere(
        "tests/deploy/test_ansible.py", ("ansible-playbook", "inventory.yml", "site.yml")
    ),
    "README.md: make demo": DEMO,
    "README.md: pip install .": HERE,
    "README.md: chamaleonet check deploy/inline-ovs.yaml --rules": SWITCH,
    "README.md: pip install '.[report]'": SWITCH,
    "docs/benchmarks.md: make bench": HERE,  # what it would do: it takes long
    "docs/configuration.md: chamaleonet check deploy/inline-ovs.yaml": HERE,
    # Needs an engine: its files are tried instead.
    "docs/containers.md: docker compose build": Elsewhere(
        "tests/deploy/test_containers.py", ("compose.yaml", "HEALTHCHECK", "vendor.compose-spec")
    ),
    "docs/contributing.md: make lint": Elsewhere(".ci/run", ("make lint", "make test")),
    "docs/doctor.md: chamaleonet doctor --config deploy/inline-ovs.yaml": SWITCH,
    "docs/deploy.md: make deb": Elsewhere(
        "tests/deploy/test_debian.py", ("deploy/debian/build.py", "dpkg -i")
    ),
    # Needs systemd as the first process: its units are checked by tests/deploy/test_systemd.py.
    "docs/deploy.md: editor /etc/chamaleonet/chamaleonet.yaml": Elsewhere(
        "tests/deploy/test_debian.py",
        ("chamaleonet check /etc/chamaleonet/chamaleonet.yaml", "chamaleonet-ovs-setup"),
    ),
    "docs/deploy.md: deploy/ovs-setup --dry-run inline br0": SWITCH,
    "docs/events.md: chamaleonet tail": SWITCH,
    "docs/events.md: tcpdump -n -i log0 -w erroneous.pcap": SWITCH,
    "docs/experiments.md: make experiments": HERE,  # what it would do, too
    # Word by word what the controller does, which mininet_tests/test_floods.py tries.
    "docs/floods.md: ovs-vsctl -- --id=@d create Datapath datapath_version=0 -- add Open_vSwitch ."
    " datapaths netdev=@d": Elsewhere("tests/switch/test_tracker.py", ("docs/floods.md",)),
    "docs/lab.md: chamaleonet lab list": HERE,
    "docs/lab.md: make lab": HERE,  # what it would do: it needs root, and takes its time
    "docs/lab.md: chamaleonet lab run hpc-polling -o result": Elsewhere(
        "mininet_tests/test_lab.py", ('"lab", "run"',)
    ),
    "docs/lab-replay.md: chamaleonet lab replay campus.pcap --topology campus -o result": Elsewhere(
        "mininet_tests/test_lab_replay.py", ('"lab", "replay"', '"campus"')
    ),
    "docs/live.md: deploy/ovs-setup --dp-id 00000000000000a1 inline br0": SWITCH,
    "docs/live.md: chamaleonet reload --config deploy/inline-ovs.yaml --dry-run": SWITCH,
    "docs/logger.md: chamaleonet keygen /etc/chamaleonet/anonymise.key": SWITCH,
    "docs/logger.md: chamaleonet tail": SWITCH,
    "docs/report.md: chamaleonet report /var/lib/chamaleonet/log -o report.html": SWITCH,
    "docs/ryu.md: python3 -m venv ryu && . ryu/bin/activate": Elsewhere(
        "Makefile",
        ("'setuptools==57.5.0' wheel", "--no-build-isolation 'ryu==4.34'", "--editable ."),
    ),
    "docs/ryu.md: CHAMALEONET_CONFIG=FILE python -c '": Elsewhere(
        "mininet_tests/test_ryu.py",
        ("eventlet.wsgi.ALREADY_HANDLED = object()", "--ofp-listen-host"),
    ),
    "docs/security.md: ovs-vsctl set-ssl /etc/openvswitch/br0.key /etc/openvswitch/br0.pem"
    " /etc/openvswitch/ca.pem": SWITCH,
    "docs/start.md: make demo": DEMO,
    "docs/start.md: pip install '.[report]'": HERE,
    "docs/start.md: chamaleonet check deploy/inline-ovs.yaml --rules": HERE,
    "docs/topologies.md: mn --custom topologies/campus.py --topo campus,failMode=standalone": (
        Elsewhere("mininet_tests/test_topologies.py", ("mn --custom", "failMode=standalone"))
    ),
    "docs/topologies.md: deploy/ovs-setup --dp-id 00000000000000a1 inline s1": Elsewhere(
        "mininet_tests/test_topologies.py", ("docs/topologies.md: deploy/ovs-setup",)
    ),
    "docs/top.md: chamaleonet top --config deploy/inline-ovs.yaml": SWITCH,
    "docs/top.md: chamaleonet top --list ports --rows 3 --once": SWITCH,
}

# What does not end by itself, and says so on standard error when it works.
_SERVES = {
    r"chamaleonet run\b": "rules in place",
    r"chamaleonet log\b": "writing to",
    r"chamaleonet (tail|top)\b(?!.*--once)": "connected",
    r"tcpdump\b": "listening on",
}
# What commands that change more than this folder are told by their environment.
_ENVIRONMENT = {
    "PIP_NO_DEPS": "1",
    "PIP_NO_BUILD_ISOLATION": "0",  # by pip's reckoning, that is: no isolation
    "PIP_NO_INDEX": "1",
    "PIP_TARGET": "installed",
    "MAKEFLAGS": "--dry-run",
}
# Where the system's folders are the test's own, for root.
_PRIVATE = ("/etc/chamaleonet", "/var/lib/chamaleonet", "/run/chamaleonet")


def checkout(place: Path) -> None:
    """Make a folder look like a checkout that has captures in it."""
    for name in ("chamaleonet", "deploy", "topologies"):
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "Makefile"):
        shutil.copy(ROOT / name, place)
    (place / "campus.pcap").write_bytes(pcap(RECORDS))
    days = place / "day.pcapng"
    with PcapNgWriter(str(days)) as writer:
        for record in RECORDS:
            writer.write(Ether(record.data))
    (place / "monday.pcapng.gz").write_bytes(gzip.compress(days.read_bytes()))
    (place / "tuesday.pcapng.zst").write_bytes(zstd.compress(days.read_bytes()))


class Shell:
    """Runs commands of a block in a folder.

    Args:
        place: the folder, see ``checkout``.
        private: give the commands a /etc/chamaleonet etc. of their own, below ``place``; needs
            root.
    """

    def __init__(self, place: Path, *, private: bool = False) -> None:
        self._place = place
        self._errors = place / "errors.txt"
        self._errors.touch()
        self._serving: list[tuple[str, subprocess.Popen[bytes]]] = []
        self._made: list[Path] = []
        self._prefix = ["sh", "-e", "-c"]
        if private:
            self._prefix = ["unshare", "--mount", "sh", "-e", "-c", self._mounts(), "sh"]
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self._environment = os.environ | _ENVIRONMENT | {"PATH": path, "PYTHONPATH": str(ROOT)}

    def _mounts(self) -> str:
        lines = []
        for name in _PRIVATE:
            own = self.own(name)
            own.mkdir(parents=True)
            if not Path(name).exists():
                Path(name).mkdir(parents=True)
                self._made.append(Path(name))
            lines.append(f"mount --bind {own} {name}")
        return "\n".join([*lines, 'exec sh -e -c "$1"'])

    def own(self, name: str) -> Path:
        """Return where a private folder really is."""
        return self._place / "private" / name.lstrip("/")

    def run(self, *commands: str) -> None:
        """Run commands one after the other; what serves goes on meanwhile."""
        for command in commands:
            awaited = [said for pattern, said in _SERVES.items() if re.search(pattern, command)]
            before = self._said()
            if command.endswith("&\n"):  # a script: stay with what it has left in the background
                command = f"trap : TERM\n{command}wait || wait"
            with self._errors.open("ab") as errors:
                process = subprocess.Popen(
                    [*self._prefix, command], cwd=self._place, env=self._environment,
                    stdin=subprocess.DEVNULL, stdout=errors, stderr=errors, process_group=0,
                )  # fmt: skip
            self._serving.append((command, process))
            deadline = time.monotonic() + 240
            while not all(said in self._said()[len(before) :] for said in awaited):
                assert process.poll() is None, f"{command}\n{self._said()}"
                assert time.monotonic() < deadline, f"{command}\n{self._said()}"
                time.sleep(0.05)
            if not awaited:
                status = process.wait(240)
                self._serving.pop()
                assert status == 0, f"{command}\n{self._said()}"

    def _said(self) -> str:
        return self._errors.read_text(errors="replace")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End what still runs as a person does, the last first."""
        for command, process in reversed(self._serving):
            # A shell lets what is in its background ignore Ctrl-C.
            number = signal.SIGTERM if "trap" in command else signal.SIGINT
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            status = process.wait(60)
            assert status in (0, -number, 128 + number), f"{command}\n{self._said()}"
        for folder in self._made:
            folder.rmdir()
