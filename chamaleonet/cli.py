"""The command line. Commands are in chamaleonet/commands/."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from typing import TYPE_CHECKING

from chamaleonet import __version__
from chamaleonet.commands import (
    check,
    demo,
    doctor,
    keygen,
    lab,
    log,
    reload,
    replay,
    report,
    run,
    tail,
    top,
)
from chamaleonet.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

_USER_ERROR = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status: 0, or 2 for what the user can mend."""
    # NumPy's linear algebra, which nothing here uses, would start threads that busy-wait.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        options = _parser().parse_args(arguments)
        status: int = options.run(options)
        sys.stdout.flush()
    except UserError as error:
        print(f"chamaleonet: {error}", file=sys.stderr)
        return _USER_ERROR
    except BrokenPipeError:  # the reader of our output has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    return status


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say in one line what is wrong, like every other mistake."""
        raise UserError(f"{message} (see {self.prog} --help)")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="chamaleonet",
        description="Finds erroneous traffic: flows that get no reply, and ICMP errors.",
    )
    parser.add_argument("--version", action="version", version=f"chamaleonet {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (replay, report, run, reload, log, tail, top, keygen, check, doctor, demo, lab):
        command.add(commands)
    return parser
