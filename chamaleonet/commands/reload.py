"""`chamaleonet reload`: have the running controller follow its configuration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from chamaleonet.errors import UserError

if TYPE_CHECKING:
    import argparse


def add(commands: Any) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "reload",
        help="have the running controller read its configuration again",
        description="Has the controller that runs with this file read it again, and prints what"
        " differed: settings, and rules of the switches. A file that is wrong, or that differs in"
        " what cannot change while it runs, changes nothing.",
    )
    parser.add_argument("--config", type=Path, required=True, metavar="FILE")
    parser.add_argument(
        "--dry-run", action="store_true", help="change nothing, print what would be changed"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; return the exit status."""
    from chamaleonet import config
    from chamaleonet.control import ask

    path = config.load(options.config).control_socket
    if path is None:
        raise UserError(f"{options.config}: control: no socket is configured")
    text = ask(
        path,
        {
            "command": "reload",
            "config": str(options.config.resolve()),
            "dry_run": options.dry_run,
        },
    )
    print(text or "nothing differs")
    return 0
