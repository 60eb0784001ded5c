"""Run experiments: ``python -m benchmarks.experiments [NAME …] [--quick] [-o DIR]``.

Each writes NAME.json and NAME.svg. Those that need a switch need root, and build it in network
namespaces of their own: nothing of the machine's network is touched.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.experiments import result
from benchmarks.experiments.names import load, names
from chamaleonet.errors import UserError
from chamaleonet.lab.machine import switch_runs
from mininet_tests.harness import missing
from tests.isolation import isolate, stop_switch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.experiments.experiment import Experiment

DOCS = Path(__file__).parents[2] / "docs" / "experiments"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for; return the exit status: 2 for what the user can mend."""
    options = _parser().parse_args(arguments)
    try:
        if options.list:
            for name in names():
                print(f"{name:24} {load(name).EXPERIMENT.question}")
        elif options.draw:
            draw_again(options.names, options.output)
        else:
            run(options.names or names(), options.output, quick=options.quick)
    except UserError as error:
        print(f"benchmarks.experiments: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.experiments", description="Run experiments."
    )
    parser.add_argument("names", metavar="NAME", nargs="*", help="default: all")
    parser.add_argument("--list", action="store_true", help="name them, with one line each")
    parser.add_argument("--quick", action="store_true", help="a few seconds each, for a look")
    parser.add_argument(
        "--draw", action="store_true",
        help="measure nothing: bring texts and figures of result files up to date",
    )  # fmt: skip
    parser.add_argument(
        "-o", "--output", metavar="DIR", type=Path, default=DOCS,
        help="where results go (default: docs/experiments)",
    )  # fmt: skip
    return parser


def run(wanted: Sequence[str], directory: Path, *, quick: bool) -> None:
    """Run experiments one after the other, and write what came out.

    Raises:
        UserError: a name is unknown, or one of them cannot run here.
    """
    from benchmarks.experiments.figure import draw

    modules = {name: load(name) for name in wanted}
    for name, module in modules.items():
        check(name, module.EXPERIMENT)
    _make(directory)
    for name, module in modules.items():
        print(f"{name}: {module.EXPERIMENT.question}", flush=True)
        begin = time.monotonic()
        outcome = result.new(name, module.EXPERIMENT, quick, module.run(quick))
        outcome.write(directory / f"{name}.json")
        draw(outcome, directory / f"{name}.svg")
        print(f"  {len(outcome.rows)} rows in {time.monotonic() - begin:.0f} s, in {directory}")


def draw_again(wanted: Sequence[str], directory: Path) -> None:
    """Bring the texts and figures of result files up to date with their experiments.

    Raises:
        UserError: a name is unknown, or a result file is missing or no longer fits.
    """
    from benchmarks.experiments.figure import draw

    _make(directory)
    for name in wanted or [path.stem for path in sorted(directory.glob("*.json"))]:
        experiment = load(name).EXPERIMENT
        path = directory / f"{name}.json"
        if not path.exists():
            raise UserError(f"{path}: there is no such file; run the experiment first")
        told = result.read(path)
        fresh = told.model_copy(update={"experiment": experiment})
        try:
            fresh = result.Result.model_validate(fresh.model_dump())
        except ValueError:
            raise UserError(f"{path}: its columns are others by now; run it again") from None
        fresh.write(path)
        draw(fresh, path.with_suffix(".svg"))


def check(name: str, experiment: Experiment) -> None:
    """See that an experiment can run here.

    Raises:
        UserError: it cannot.
    """
    if not experiment.needs_root:
        return
    reason = missing() or (None if switch_runs() else "Open vSwitch does not run")
    if reason:
        raise UserError(f"{name}: {reason}")


def _make(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{directory}: {error.strerror}") from None
    if not os.access(directory, os.W_OK):
        raise UserError(f"{directory}: not writable")


if __name__ == "__main__":
    isolated = os.geteuid() == 0 and isolate()
    try:
        status = main()
    finally:
        if isolated:
            stop_switch()
    sys.exit(status)
