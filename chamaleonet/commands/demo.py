"""`chamaleonet demo`: a small campus on a real switch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from chamaleonet.commands.arguments import argument, positive

if TYPE_CHECKING:
    import argparse


def add(commands: Any) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "demo",
        help="a small campus on a real switch",
        description="Builds a small campus on Open vSwitch in network namespaces, runs controller"
        " and logger, lets ordinary tools make traffic and tells what was found. Needs root.",
    )
    parser.add_argument(
        "--seconds", type=argument(positive), default=30, help="how long (default: 30)"
    )
    parser.add_argument("--pipeline", choices=("conntrack", "reactive"), default="conntrack")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result as JSON, too")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; return the exit status."""
    from chamaleonet.demo.show import demo

    return demo(options.seconds, options.pipeline, options.json)
