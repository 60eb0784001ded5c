"""`chamaleonet lab`: scenarios with planted failures on a real switch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse


def add(commands: Any) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "lab",
        help="scenarios with planted failures on a real switch",
        description="Plays scenarios in a network of namespaces on Open vSwitch, and judges"
        " whether each planted failure is found, and nothing else.",
    )
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="the scenarios, the quickest first")
    listing.set_defaults(run=list_scenarios)
    running = actions.add_parser(
        "run",
        help="run a scenario",
        description="Builds the scenario's network, runs controller, logger and traffic, and"
        " compares what was found with what was planted. Needs root. The exit status is 1 if they"
        " differ.",
    )
    running.add_argument("scenario", metavar="SCENARIO", help="a name from the list, or a file")
    running.add_argument(
        "-o", "--output", type=Path, metavar="DIR", required=True,
        help="where everything is written: a new or empty directory",
    )  # fmt: skip
    running.add_argument(
        "--seed",
        type=int,
        metavar="N",
        help="the same one draws the same (default: the scenario's)",
    )
    running.add_argument(
        "--pipeline", choices=("conntrack", "reactive"), help="(default: the scenario's)"
    )
    running.set_defaults(run=run)


def list_scenarios(_options: argparse.Namespace) -> int:
    """Run the command; return the exit status."""
    from chamaleonet.lab import scenario

    chosen = {name: scenario.load(name) for name in scenario.names()}
    width = max(map(len, chosen))
    for name, each in chosen.items():
        print(f"{name:{width}}  {each.seconds:4} s  {each.title}")
    return 0


def run(options: argparse.Namespace) -> int:
    """Run the command; return the exit status."""
    from chamaleonet.lab.run import run

    return run(options.scenario, options.output, options.seed, options.pipeline)
