"""`chamaleonet tail`: follow verdicts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chamaleonet.commands.arguments import add_stream, endpoint_of
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
    add_stream(parser)
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
    from chamaleonet.flows.transitions import VERDICTS
    from chamaleonet.log.stream.tail import tail

    named = {state.label: state for state in VERDICTS}
    for verdict in options.verdict or ():
        if verdict not in named:
            raise UserError(f"--verdict {verdict}: choose of {', '.join(named)}")
    return tail(
        endpoint_of(options),
        fields=options.json,
        verdicts=tuple(named[verdict] for verdict in options.verdict) if options.verdict else None,
        ended=options.ended,
    )
