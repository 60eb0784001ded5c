"""`chamaleonet keygen`: make a key for anonymisation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse


def add(commands: Any) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "keygen",
        help="make a key for anonymisation",
        description="Writes a new key by which the packet logger anonymises addresses. Whoever has"
        " it can undo that: keep it apart from the logs.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="must not exist yet")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; return the exit status."""
    from chamaleonet.log.anonymise.keyfile import write_key

    write_key(options.file)
    return 0
