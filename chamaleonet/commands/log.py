"""`chamaleonet log`: log erroneous packets and flows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse


def add(commands: Any) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "log",
        help="log erroneous packets and flows",
        description="The packet logger: reads the switch's logger port and the controller's"
        " verdicts, and writes the packets' headers and the flow log. Ends on SIGTERM or SIGINT.",
    )
    parser.add_argument("--config", type=Path, required=True, metavar="FILE")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; return the exit status."""
    import logging

    from chamaleonet import config
    from chamaleonet.log import logger

    # As the controller's, which the framework's launcher sets up.
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    logger.run(config.load(options.config))
    return 0
