"""Replay side by side with tcpdump, argus and nfstream, in the same run.

    python -m benchmarks.replay [--rounds 3] [--json] [--packets N] [--flows M]

Every command reads the same capture from the page cache, one after the other in each round, and
the medians are compared: the ratios mean something on any machine, the numbers only on this one.
Times are of whole processes, from start to exit. Only nfstream's leaves its start out, in its
favour, and is of the capture's first tenth, because nfstream is so much slower.

The verdicts are checked against what the capture was made of: exit status 1 says that they are
wrong. A target that is missed is told, no more: this machine may be busy.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.measure import CommandFailedError, Run, middle, run
from benchmarks.parameters import DATA, Parameters

_CHAMALEONET = [sys.executable, "-m", "chamaleonet"]
_REPLAY = [*_CHAMALEONET, "replay", "--json"]
_WRITING = "chamaleonet replay --write --flows"
_NFSTREAM_SHARE = 10  # it gets one packet in so many

# One process that meters and no payload inspection: the least that it can do.
_NFSTREAM = """
import sys, time
from nfstream import NFStreamer
begin = time.perf_counter()
for flow in NFStreamer(source=sys.argv[1], n_dissections=0, n_meters=1):
    pass
print(time.perf_counter() - begin)
"""


class Contender(NamedTuple):
    """A command that reads so many packets."""

    name: str
    command: list[str]
    packets: int


class Target(NamedTuple):
    """What is aimed at, and what came out."""

    name: str
    sign: str
    wanted: float
    got: float

    @property
    def met(self) -> bool:
        return self.got >= self.wanted if self.sign == "≥" else self.got <= self.wanted


class Benchmark:
    """One run of all commands over one capture."""

    def __init__(self, parameters: Parameters, rounds: int, scratch: Path) -> None:
        self.parameters = parameters
        self.rounds = rounds
        self.scratch = scratch
        self.path = str(parameters.path)
        self.expected = self._make(parameters)
        self.skipped: dict[str, str] = {}  # contender -> why
        self.results: dict[str, Run] = {}
        self.packets: dict[str, int] = {}
        self.wrong: dict[str, list[Any]] = {}  # key of the summary -> [expected, printed]
        self.longer: Run | None = None  # the same, the capture twice as long
        self.help: Run | None = None

    def measure(self) -> None:
        """Run everything."""
        runs: dict[str, list[Run]] = {}
        contenders = self._contenders()
        for turn in range(self.rounds + 1):
            for contender in contenders:
                if contender.name in self.skipped:
                    continue
                _tell(f"round {turn} of {self.rounds}: {contender.name}")
                if taken := self._run(contender):
                    runs.setdefault(contender.name, []).append(taken)
        self.results = {name: middle(taken[1:]) for name, taken in runs.items()}  # [0] warms up
        self.packets = {contender.name: contender.packets for contender in contenders}

        _tell("capture twice as long")
        packets, flows, seconds, *_ = self.parameters
        longer = self.parameters._replace(packets=2 * packets, flows=2 * flows, seconds=2 * seconds)
        self._make(longer)
        self.longer = run([*_REPLAY, str(longer.path)])
        self.help = middle([run([*_CHAMALEONET, "--help"]) for _ in range(6)][1:])

    def _make(self, parameters: Parameters) -> dict[str, Any]:
        """Make a capture and return the summary that it should give."""
        given = [f"--{name}={value}" for name, value in parameters._asdict().items()]
        output = self.scratch / "output"
        run([sys.executable, "-m", "benchmarks.generate", *given], output)
        expected: dict[str, Any] = json.loads(output.read_text())
        return expected

    def _contenders(self) -> list[Contender]:
        path, count = self.path, self.parameters.packets
        written = ["--write", str(self.scratch / "w.pcapng")]
        written += ["--flows", str(self.scratch / "f.parquet")]
        contenders = [
            Contender("tcpdump", ["tcpdump", "-r", path, "-w", "/dev/null"], count),
            Contender("argus", ["argus", "-r", path, "-w", "-"], count),
            Contender("nfstream", [], count // _NFSTREAM_SHARE),
            Contender("chamaleonet replay", [*_REPLAY, path], count),
            Contender(_WRITING, [*_REPLAY, *written, path], count),
        ]
        for tool in ("tcpdump", "argus"):
            if not shutil.which(tool):
                self.skipped[tool] = "not installed"
        if not find_spec("nfstream"):
            self.skipped["nfstream"] = "not installed: pip install .[bench]"
        elif "tcpdump" in self.skipped:
            self.skipped["nfstream"] = "no tcpdump to cut its share of the capture"
        else:
            part = str(self.scratch / "part.pcap")
            run(["tcpdump", "-r", path, "-c", str(count // _NFSTREAM_SHARE), "-w", part])
            contenders[2].command.extend([sys.executable, "-c", _NFSTREAM, part])
        return contenders

    def _run(self, contender: Contender) -> Run | None:
        ours = contender.name.startswith("chamaleonet")
        timed_itself = contender.name == "nfstream"
        output = self.scratch / "output" if ours or timed_itself else None
        try:
            taken = run(contender.command, output)
        except CommandFailedError as failure:
            if ours:
                raise
            self.skipped[contender.name] = str(failure)
            return None
        if ours:
            self._check(json.loads((self.scratch / "output").read_text()))
        elif timed_itself:
            taken = taken._replace(seconds=float((self.scratch / "output").read_text()))
        return taken

    def _check(self, summary: dict[str, Any]) -> None:
        for key, expected in self.expected.items():
            if summary[key] != expected:
                self.wrong[key] = [expected, summary[key]]

    def rate(self, name: str) -> float:
        """Return packets per second."""
        return self.packets[name] / self.results[name].seconds

    def targets(self) -> list[Target]:
        """Compare with what is aimed at."""
        ours = self.results["chamaleonet replay"]
        rate = self.rate("chamaleonet replay")
        wanted = {"tcpdump": 0.7, "argus": 5.0, "nfstream": 20.0}
        assert self.longer
        assert self.help
        return [
            *(
                Target(f"packets/s, x {peer}", "≥", ratio, rate / self.rate(peer))
                for peer, ratio in wanted.items()
                if peer in self.results
            ),
            Target(
                "--write and --flows, x time",
                "≤",
                1.4,
                self.results[_WRITING].seconds / ours.seconds,
            ),
            Target("peak memory, MB", "≤", 600, ours.peak_bytes / 1e6),
            Target(
                "peak memory, x when twice as long",
                "≤",
                1.1,
                self.longer.peak_bytes / ours.peak_bytes,
            ),
            Target("--help, s", "≤", 0.3, self.help.seconds),
        ]

    def figures(self) -> dict[str, Any]:
        """Return everything, for scripts."""
        assert self.longer
        return {
            "machine": _machine(),
            "parameters": self.parameters._asdict(),
            "results": {
                name: taken._asdict() | {"packets_per_second": self.rate(name)}
                for name, taken in self.results.items()
            },
            "skipped": self.skipped,
            "twice_as_long": self.longer._asdict(),
            "wrong": self.wrong,
            "targets": [target._asdict() | {"met": target.met} for target in self.targets()],
        }

    def markdown(self) -> str:
        """Return everything, for people."""
        count, flows, seconds, *_ = self.parameters
        peers = [peer for peer in ("tcpdump", "argus", "nfstream") if peer in self.results]
        rows = [["command", "packets/s", *(f"x {peer}" for peer in peers), "s", "CPU s", "peak MB"]]
        rows.append(["---", *["---:"] * (len(rows[0]) - 1)])
        for name, taken in self.results.items():
            ratios = [f"{self.rate(name) / self.rate(peer):.2f}" for peer in peers]
            times = [f"{taken.seconds:.2f}", f"{taken.cpu_seconds:.2f}"]
            rate = f"{self.rate(name) / 1e6:.2f} M"
            rows.append([name, rate, *ratios, *times, f"{taken.peak_bytes / 1e6:.0f}"])
        goals = [["target", "wanted", "got", ""], ["---", "---:", "---:", "---"]]
        for name, sign, wanted, got in (targets := self.targets()):
            goals.append([name, f"{sign} {wanted:g}", f"{got:.3g}"])
        for goal, target in zip(goals[2:], targets, strict=True):
            goal.append("PASS" if target.met else "below target")
        notes = [f"- {name} skipped: {why}" for name, why in self.skipped.items()]
        if "nfstream" in self.results:
            notes.append(f"- nfstream read the first {self.packets['nfstream']:,} packets only")
        notes += [
            f"- WRONG: {key} is {printed}, by construction {expected}"
            for key, (expected, printed) in self.wrong.items()
        ] or ["- the verdicts are those that the capture was made of"]
        size = self.parameters.path.stat().st_size / 1e6
        head = (
            f"{count:,} packets, {flows:,} flows over {seconds} s, {size:.0f} MB, page cache warm,"
            f" medians of {self.rounds}; {_machine()}"
        )
        parts = [[head], _table(rows), _table(goals), notes]
        return "\n\n".join("\n".join(part) for part in parts)


def _table(rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in rows]


def _machine() -> str:
    models = [
        line.split(":")[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    model = models[0] if models else platform.machine()
    return f"{max(len(models), 1)} x {model}, Python {platform.python_version()}"


def _tell(what: str) -> None:
    print(what, file=sys.stderr)


def main() -> int:
    """Run the benchmark; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--packets", type=int, default=Parameters().packets)
    parser.add_argument("--flows", type=int, default=Parameters().flows)
    parser.add_argument("--rounds", type=int, default=3, help="after one that warms up")
    parser.add_argument("--json", action="store_true", help="print JSON instead of Markdown")
    options = parser.parse_args()
    DATA.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=DATA) as scratch:
        parameters = Parameters(options.packets, options.flows)
        benchmark = Benchmark(parameters, options.rounds, Path(scratch))
        benchmark.measure()
        if options.json:
            print(json.dumps(benchmark.figures(), indent=1))
        else:
            print(benchmark.markdown())
    return 1 if benchmark.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
