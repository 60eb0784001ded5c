"""`chamaleonet run`: watch switches."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse


def add(commands: Any) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "run",
        help="watch switches",
        description="The controller: waits for OpenFlow 1.3 switches, judges their flows and"
        " redirects the erroneous ones to the packet logger. Ends on SIGTERM or SIGINT.",
    )
    parser.add_argument("--config", type=Path, required=True, metavar="FILE")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; return the exit status."""
    from chamaleonet.switch import launcher

    return launcher.run(options.config)
