"""What the commands' options have in common."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chamaleonet.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

    from chamaleonet.flows.engine import Settings
    from chamaleonet.log.stream.endpoint import Endpoint


def argument(convert: Callable[[str], Any]) -> Callable[[str], Any]:
    """Let argparse show a converter's own words."""

    def checked(text: str) -> Any:
        try:
            return convert(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return checked


def positive(text: str) -> int:
    """Return a whole number above zero that fits into memory's sizes.

    Raises:
        ValueError: it is none.
    """
    if not text.isascii() or not text.isdecimal() or not 0 < int(text) <= 1 << 27:
        raise ValueError(f"{text!r} is not a number from 1 to {1 << 27}")
    return int(text)


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how captures are judged."""
    from chamaleonet.units import duration, network

    parser.add_argument(
        "--internal", action="append", type=argument(network), metavar="CIDR",
        help="prefix of the network's own hosts, may be repeated"
        " (default: the private prefixes of RFC 1918 and RFC 4193)",
    )  # fmt: skip
    parser.add_argument(
        "--timeout", type=argument(duration),
        help="without an answer for so long, a flow is unanswered (default: 3s)",
    )  # fmt: skip
    parser.add_argument(
        "--idle-timeout", type=argument(duration),
        help="without a packet for so long, a flow is forgotten (default: 180s)",
    )  # fmt: skip
    parser.add_argument(
        "--max-flows", type=argument(positive), metavar="N",
        help="flows that the flow table holds (default: 1000000)",
    )  # fmt: skip
    parser.add_argument("--config", type=Path, metavar="FILE", help="configuration (YAML)")


def add_stream(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which verdict stream is followed."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--config", type=Path, metavar="FILE", help="its stream is followed")
    where.add_argument(
        "--stream", metavar="ADDRESS",
        help="unix:PATH (default: unix:/run/chamaleonet/verdicts.sock)",
    )  # fmt: skip


def endpoint_of(options: argparse.Namespace) -> Endpoint:
    """Return the verdict stream that ``add_stream``'s options name.

    Raises:
        UserError: the configuration is wrong, or the address is none.
    """
    from chamaleonet import config
    from chamaleonet.log.stream.endpoint import Endpoint

    stream = config.load(options.config).stream if options.config else config.Stream()
    return Endpoint(options.stream or stream.address, stream.tls)


def settings_of(options: argparse.Namespace) -> Settings:
    """Return the configuration's settings, those of the command line before those of the file.

    Raises:
        UserError: the configuration is wrong, or two settings contradict each other.
    """
    from chamaleonet.flows.engine import Settings

    settings = {}
    if options.config:
        from chamaleonet import config

        loaded = config.load(options.config)
        # What is for switches alone, such as shedding, has no key of its own name.
        shared = {field.name for field in fields(Settings)} & set(config.Config.model_fields)
        settings = {name: getattr(loaded, name) for name in shared}
    for name in ("internal", "timeout", "idle_timeout", "max_flows"):
        if (value := getattr(options, name)) is not None:
            settings[name] = tuple(value) if name == "internal" else value
    chosen = Settings(**settings)
    if chosen.timeout >= chosen.idle_timeout:
        raise UserError("--timeout: must be shorter than --idle-timeout")
    return chosen
