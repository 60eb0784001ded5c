"""`chamaleonet check`: check a configuration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from chamaleonet.errors import UserError

if TYPE_CHECKING:
    import argparse


def add(commands: Any) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "check",
        help="check a configuration",
        description="Prints the effective configuration, or what is wrong with the file.",
    )
    parser.add_argument("file", type=Path, nargs="?", metavar="FILE")
    parser.add_argument(
        "--rules", action="store_true", help="print the OpenFlow rules it would install"
    )
    parser.add_argument(
        "--schema", action="store_true", help="print the JSON Schema of the configuration file"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; return the exit status."""
    if options.schema:
        import json

        from chamaleonet import config

        print(json.dumps(config.json_schema(), indent=1))
        return 0
    if options.file is None:
        raise UserError("check: FILE is missing")
    from chamaleonet.check import check

    print(check(options.file, rules=options.rules).rstrip("\n"))
    return 0
