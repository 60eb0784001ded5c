"""One run of a scenario: builds, watches, plays, ends, reports, judges."""

from __future__ import annotations

import platform
import re
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from chamaleonet import __version__
from chamaleonet.analysis import missing
from chamaleonet.errors import UserError
from chamaleonet.lab import machine, observe, play, replaying, result, scenario, topology
from chamaleonet.lab.configure import configured
from chamaleonet.lab.interrupts import Interrupts
from chamaleonet.lab.judge import judge
from chamaleonet.lab.live import follow
from chamaleonet.lab.network import Network
from chamaleonet.lab.observe import Observers
from chamaleonet.lab.plan import patience, plan
from chamaleonet.lab.play import Player
from chamaleonet.lab.probe import PROGRAMS as PROBE_PROGRAMS
from chamaleonet.lab.programs import Programs
from chamaleonet.lab.scenario import SECOND
from chamaleonet.lab.scrape import scrape
from chamaleonet.lab.send import Sender

if TYPE_CHECKING:
    from chamaleonet.config import Config
    from chamaleonet.lab.plan import Step
    from chamaleonet.lab.scenario import Scenario
    from chamaleonet.lab.topology import Topology

PROGRAMS = ("ethtool", "sysctl", *PROBE_PROGRAMS, *observe.PROGRAMS, *play.PROGRAMS)
_SETTLE_SECONDS = 1.0  # from the last program's end until its last packets are judged


def run(name: str, directory: Path, seed: int | None, pipeline: str | None) -> int:
    """Run a scenario; return 0 if all that was planted was found and nothing else, else 1.

    Args:
        name: of a scenario, or its file.
        directory: where everything is written; it must be empty, or not there yet.
        seed: in place of the scenario's own.
        pipeline: in place of the scenario's own.

    Raises:
        UserError: what is missing on this machine, wrong with the scenario, or went wrong.
    """
    given = {"seed": seed, "pipeline": pipeline}
    chosen = scenario.load(name).model_copy(
        update={key: value for key, value in given.items() if value is not None}
    )
    return run_scenario(name, chosen, directory)


def run_scenario(name: str, chosen: Scenario, directory: Path) -> int:
    """Run a scenario that is read already; as ``run``."""
    machine.check("lab", (*PROGRAMS, *scenario.programs(chosen)))
    directory = _made(directory)
    console = Console()
    try:
        prepared = _played(console, name, chosen, directory)
        return _judge(console, prepared)
    except KeyboardInterrupt:
        console.print("interrupted: everything is removed")
        return 130


def _played(console: Console, name: str, chosen: Scenario, directory: Path) -> _Prepared:
    with Interrupts() as interrupts:
        private = Path(tempfile.mkdtemp(prefix="chamaleonet-lab-"))
        private.chmod(0o755)  # servers may run as somebody else
        try:
            prepared = _Prepared(name, chosen, directory, private)
            _record(console, prepared, interrupts)
        finally:
            shutil.rmtree(private)
    return prepared


def _made(directory: Path) -> Path:
    """Return an empty directory's absolute path, after making it."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if any(directory.iterdir()):
            raise UserError(f"-o {directory}: is not empty")
    except OSError as error:
        raise UserError(f"-o {directory}: {error.strerror}") from None
    return directory.resolve()


class _Prepared:
    """A scenario with all that can be known, and be wrong, before anything is built.

    Raises:
        UserError: something of the scenario does not fit its topology.
    """

    def __init__(self, name: str, chosen: Scenario, directory: Path, private: Path) -> None:
        self.name, self.scenario, self.directory, self.private = name, chosen, directory, private
        try:
            self.topology: Topology = topology.load(chosen.topology)
            self.config: Config = configured(chosen, self.topology, directory, private)
            self._check()
            wait = patience(self.config.timeout)
            self.steps: list[Step] = plan(chosen, self.topology.inventory, wait)
            until = chosen.seconds * SECOND - wait
            self.replay = replaying.prepared(chosen, self.topology, self.config, until)
        except UserError as error:
            raise UserError(f"{name}: {error}") from error

    def _check(self) -> None:
        """Make sure that all names mean something; the plan checks those that it needs itself."""
        inventory = self.topology.inventory
        for server in self.scenario.servers:
            self.topology.check_node(server.host)
        for fault in self.scenario.faults:
            self.topology.check_node(fault.at)
        matches = [plant.match for plant in self.scenario.plants]
        for selectors in (
            self.scenario.indicators,
            *(fault.to for fault in self.scenario.faults),
            *(match.clients + match.servers for match in matches),
        ):
            for selector in selectors:
                inventory.networks(selector)
        wait = patience(self.config.timeout)
        if self.scenario.seconds * SECOND <= wait:
            raise UserError(
                f"seconds: must be more than {wait / SECOND:g}, until when verdicts are told"
            )


def _record(console: Console, prepared: _Prepared, interrupts: Interrupts) -> None:
    """Run it all, until everything is written and removed."""
    chosen, directory = prepared.scenario, prepared.directory
    said = directory / "said"
    said.mkdir()
    (directory / "scenario.yaml").write_text(scenario.dump(chosen))
    programs = Programs(prepared.config, directory)
    console.print(f"{chosen.title}: topology {chosen.topology}, pipeline {chosen.pipeline}")
    _write_versions(directory)
    with ExitStack() as stack:
        network = Network(prepared.topology, programs.openflow_port)
        stack.callback(network.remove)
        network.build()
        observers = Observers(prepared.topology, network, directory, interrupts.pause)
        stack.callback(observers.stop)
        observers.start()
        console.print("starting controller and logger")
        stack.callback(programs.stop)
        programs.start(interrupts.pause)
        player = Player(
            chosen, prepared.steps, prepared.topology.inventory, network,
            said, prepared.private, interrupts.pause,
        )  # fmt: skip
        stack.callback(player.stop)
        player.start_servers()
        player.set_lasting_faults()
        players: list[Player | Sender] = [player]
        if prepared.replay is not None:
            sender = Sender(prepared.replay, network, directory)
            stack.callback(sender.stop)
            sender.set_up()
            players.append(sender)
            for words in replaying.words(prepared.replay):
                console.print(words)

        def look() -> None:
            for each in (*players, programs, observers):
                each.check()

        console.print(f"{len(prepared.steps)} steps in {chosen.seconds} s, seed {chosen.seed}")
        for each in players:
            each.start()
        follow(console, programs, chosen.seconds, look, interrupts.pause)
        for words in player.stop():
            console.print(f"server {words}", soft_wrap=True, markup=False)
        interrupts.pause(_SETTLE_SECONDS)
        for name, port in zip(("controller", "logger"), programs.metrics_ports, strict=True):
            (directory / f"metrics-{name}.txt").write_text(scrape(port))
        late = f"the latest step began {player.latest / 1e6:.0f} ms late"
        (said / "player.txt").write_text(f"{late}\n")
        console.print(late)


def _write_versions(directory: Path) -> None:
    switch = re.search(r"\d[\d.]+", machine.run("ovs-vsctl", "--version"))
    versions = {
        "chamaleonet": __version__,
        "openvswitch": switch[0] if switch else "unknown",
        "mininet": machine.mininet().net.VERSION,
        "kernel": platform.release(),
        "python": platform.python_version(),
    }
    text = "".join(f"{name} {version}\n" for name, version in versions.items())
    (directory / "versions.txt").write_text(text)


def _judge(console: Console, prepared: _Prepared) -> int:
    """Make the report, compare with what the scenario says, and tell; return the exit status."""
    directory = prepared.directory
    if missing():
        console.print("no report, so no findings: pip install 'chamaleonet[report]'")
    else:
        from chamaleonet.analysis import report
        from chamaleonet.analysis.indicators import Indicator
        from chamaleonet.analysis.table import Options
        from chamaleonet.terminal import stages

        inventory = prepared.topology.inventory
        listed = tuple(
            Indicator(network, f"the scenario's block list: {each}")
            for each in prepared.scenario.indicators
            for network in inventory.networks(each)
        )
        options = Options(timeout=prepared.config.timeout / SECOND, indicators=listed)
        outputs = report.Outputs(directory / "report.html", directory / "report.json")
        with stages() as progress:
            report.run(
                prepared.config.logger.directory, outputs, options, source=prepared.scenario.title,
                progress=progress,
            )  # fmt: skip
    found = judge(
        prepared.scenario, prepared.topology.inventory, directory,
        internal=prepared.topology.internal, name=prepared.name,
    )  # fmt: skip
    result.write(found, directory / "result.json")
    result.show(found, console)
    console.print(f"written to {directory}", soft_wrap=True)
    return 0 if found.ok else 1
