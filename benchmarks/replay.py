"""Replay side by side with tcpdump, argus and nfstream, in the same run.

    python -m benchmarks.replay [--rounds 3] [--json FILE] [--packets N] [--flows M] [--once]

Every command reads the same capture from the page cache, one after the other in every round, and
the medians are compared: the ratios mean something on any machine, the numbers only on this one.
Times are of whole processes, from start to exit; nfstream's alone leaves its start out, in its
favour, and is measured on the first tenth of the capture, because it is so much slower.

The verdicts are checked against what the capture was made of. Exit status 1 means that they are
wrong; a missed speed target is only said.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import struct
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.generate import DATA, Capture, Parameters, capture
from benchmarks.measure import ROOT, Run, middle, run

_CHAMALEONET = [sys.executable, "-m", "chamaleonet"]
_REPLAY = [*_CHAMALEONET, "replay", "--json"]
_SLICE = 10  # nfstream gets one in so many packets

# One process that meters, no payload inspection: the fastest that it can be on one core.
_NFSTREAM = """
import sys, time
from nfstream import NFStreamer
begin = time.perf_counter()
for flow in NFStreamer(source=sys.argv[1], n_dissections=0, n_meters=1):
    pass
print(time.perf_counter() - begin)
"""


class Contender(NamedTuple):
    """A command to measure, on ``packets`` packets."""

    name: str
    command: list[str]
    packets: int


class Target(NamedTuple):
    """What was aimed at, and what came out."""

    name: str
    wanted: float
    got: float
    at_least: bool

    @property
    def met(self) -> bool:
        return self.got >= self.wanted if self.at_least else self.got <= self.wanted

    def row(self) -> list[str]:
        sign = "≥" if self.at_least else "≤"
        verdict = "PASS" if self.met else "below target"
        return [self.name, f"{sign} {self.wanted:g}", f"{self.got:.3g}", verdict]


def main() -> int:
    """Run the benchmark; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--packets", type=int, default=Parameters.packets)
    parser.add_argument("--flows", type=int, default=Parameters.flows)
    parser.add_argument("--rounds", type=int, default=3, help="after one to warm up")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    options = parser.parse_args()

    parameters = Parameters(options.packets, options.flows)
    made = capture(parameters)
    longer = capture(
        Parameters(2 * options.packets, 2 * options.flows, 2 * parameters.seconds)
    )
    with tempfile.TemporaryDirectory(dir=DATA) as scratch:
        figures = _measure(parameters, made, longer, options.rounds, Path(scratch))
    _print(figures)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 1 if figures["wrong"] else 0


def _measure(
    parameters: Parameters, made: Capture, longer: Capture, rounds: int, scratch: Path
) -> dict[str, Any]:
    summary = scratch / "summary.json"
    contenders, skipped = _contenders(parameters, made, scratch)
    runs: dict[str, list[Run]] = {contender.name: [] for contender in contenders}
    for turn in range(rounds + 1):
        for contender in contenders:
            print(f"round {turn} of {rounds}: {contender.name}", file=sys.stderr)
            taken = run(contender.command, summary)
            if contender.name == "nfstream":
                taken = taken._replace(seconds=float(summary.read_text()))
            elif contender.name.startswith("chamaleonet"):
                wrong = _differences(made, json.loads(summary.read_text()))
            if turn:  # the first warms up
                runs[contender.name].append(taken)
    results = {
        contender.name: middle(runs[contender.name])._asdict() | {"packets": contender.packets}
        for contender in contenders
    }
    return results
