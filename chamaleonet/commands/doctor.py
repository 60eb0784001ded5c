"""`chamaleonet doctor`: what is wrong with the machine and the switch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from chamaleonet.commands.arguments import argument, positive

if TYPE_CHECKING:
    import argparse


def add(commands: Any) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "doctor",
        help="find what is wrong with the machine and the switch",
        description="Checks the machine and, with a configuration, the switches, and says what to"
        " do. Changes nothing. The status is 1 if a check fails.",
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="configuration (YAML)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--seconds", type=argument(positive), default=3, metavar="N",
        help="how long the traffic of each switch is watched (default: 3)",
    )  # fmt: skip
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; return the exit status."""
    from rich.console import Console

    from chamaleonet import config
    from chamaleonet.doctor.check import Verdict
    from chamaleonet.doctor.examine import as_json, examine, print_one, worst
    from chamaleonet.doctor.machine import Machine

    loaded = config.load(options.config) if options.config else config.Config()
    console = Console()
    said = []
    for each in examine(Machine(), loaded, options.config, seconds=options.seconds):
        said.append(each)
        if not options.json:
            print_one(console, each)
    if options.json:
        print(as_json(said))
    return int(worst(said) is Verdict.FAIL)
