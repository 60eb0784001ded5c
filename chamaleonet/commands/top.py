"""`chamaleonet top`: who has erroneous flows now."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from chamaleonet.commands.arguments import add_stream, argument, endpoint_of, positive

if TYPE_CHECKING:
    import argparse

_LISTS = ("hosts", "servers", "ports", "verdicts", "findings")
_SORTS = ("name", "now", "minute", "total", "recovered", "last")


def _interval(text: str) -> float:
    from chamaleonet.units import duration

    return duration(text) / 1e9


def add(commands: Any) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "top",
        help="who has erroneous flows now",
        description="Shows who has erroneous flows, as the controller tells them: on a terminal as"
        " a screen (h explains its keys), else as tables of text.",
    )
    add_stream(parser)
    parser.add_argument(
        "--keep", type=argument(positive), metavar="N", default=20_000,
        help="flows, and rows of each list, that are remembered (default: 20000)",
    )  # fmt: skip
    lines = parser.add_argument_group("tables of text, which each of these asks for")
    lines.add_argument("--list", choices=_LISTS, help="which list (default: hosts)")
    lines.add_argument("--sort", choices=_SORTS, help="by which column (default: now)")
    lines.add_argument("--filter", metavar="TEXT", help="only what contains this text")
    lines.add_argument(
        "--rows", type=argument(positive), metavar="N", help="lines of a table (default: 10)"
    )
    lines.add_argument(
        "--interval", type=argument(_interval), metavar="TIME",
        help="from one table to the next (default: 10s)",
    )  # fmt: skip
    count = lines.add_mutually_exclusive_group()
    count.add_argument(
        "--count", type=argument(positive), metavar="N",
        help="tables until it ends; with status 1 if no controller is there for the first",
    )  # fmt: skip
    count.add_argument(
        "--once", action="store_const", const=1, dest="count", help="the same as --count 1"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; return the exit status."""
    from chamaleonet.kernels import images
    from chamaleonet.top.watch import Options, top

    given = {
        "what": options.list, "rows": options.rows, "sort": options.sort,
        "contains": options.filter, "interval": options.interval, "count": options.count,
    }  # fmt: skip
    given = {name: value for name, value in given.items() if value is not None}
    if sys.stderr.isatty() and images.are_missing():
        print("compiling for this machine, once: a quarter of a minute", file=sys.stderr)
    return top(endpoint_of(options), keep=options.keep, options=Options(**given) if given else None)
