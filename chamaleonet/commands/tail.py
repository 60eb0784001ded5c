"""`chamaleonet tail`: follow verdicts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from chamaleonet.errors import UserError

if TYPE_CHECKING:
    import argparse


def add(commands: Any) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "tail",
        help="follow verdicts",
        description="Prints verdicts as the controller comes to them. Ends on SIGTERM or SIGINT.",
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--config", type=Path, metavar="FILE", help="its stream is followed")
    where.add_argument(
        "--stream", metavar="ADDRESS",
        help="unix:PATH (default: unix:/run/chamaleonet/verdicts.sock)",
    )  # fmt: skip
    parser.add_argument(
        "--verdict", action="append", metavar="VERDICT", help="only these, may be repeated"
    )
    parser.add_argument("--ended", action="store_true", help="tell also how flows ended")
    parser.add_argument(
        "--json", choices=("eve", "ecs"), nargs="?", const="eve", metavar="FIELDS",
        help="one JSON object a line, fields named as in EVE or by the Elastic Common Schema"
        " (eve, ecs; default: eve)",
    )  # fmt: skip
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; return the exit status."""
    from chamaleonet import config
    from chamaleonet.flows.transitions import VERDICTS
    from chamaleonet.log.stream.endpoint import Endpoint
    from chamaleonet.log.stream.tail import tail

    stream = config.load(options.config).stream if options.config else config.Stream()
    named = {state.label: state for state in VERDICTS}
    for verdict in options.verdict or ():
        if verdict not in named:
            raise UserError(f"--verdict {verdict}: choose of {', '.join(named)}")
    endpoint = Endpoint(options.stream or stream.address, stream.tls)
    return tail(
        endpoint,
        fields=options.json,
        verdicts=tuple(named[verdict] for verdict in options.verdict) if options.verdict else None,
        ended=options.ended,
    )
