"""`chamaleonet report`: from log to findings."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chamaleonet.commands.arguments import add_settings, argument, settings_of
from chamaleonet.errors import UserError

if TYPE_CHECKING:
    import argparse
    from datetime import datetime

    from chamaleonet.analysis.indicators import Indicator, Indicators
    from chamaleonet.analysis.table import Options
    from chamaleonet.flows.engine import Settings


def _time(text: str) -> datetime:
    """Return a moment in ISO 8601; without a zone it is UTC."""
    from datetime import UTC, datetime

    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is no time: write it as 2026-11-23 or 2026-11-23T14:00+01:00"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def add(commands: Any) -> None:
    """Add the command's parser."""
    from chamaleonet.units import network

    parser = commands.add_parser(
        "report",
        help="find what is wrong, from a log or a capture",
        description="Makes the report of a log that the packet logger wrote, of a flow log, or of a"
        " capture, which is judged first: which machines to fix and why, and the tables behind it.",
    )
    parser.add_argument(
        "paths", nargs="+", type=Path, metavar="LOGDIR|CAPTURE",
        help="a log's directory, a flow log in Parquet, or captures that are one stream",
    )  # fmt: skip
    parser.add_argument("-o", "--output", type=Path, metavar="FILE.html", help="write the page")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--csv", type=Path, metavar="DIR", help="write each table as CSV")
    parser.add_argument(
        "--since", type=argument(_time), metavar="TIME", help="leave out what ended before"
    )
    parser.add_argument("--until", type=argument(_time), metavar="TIME", help="and what did after")
    parser.add_argument(
        "--engine", choices=("duckdb", "spark"), default="duckdb", help="(default: duckdb)"
    )
    add_settings(parser)
    parser.add_argument(
        "--internal-only", action="append", type=argument(network), metavar="CIDR",
        help="prefix that must not be seen outside, may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--indicators", action="append", type=Path, metavar="FILE",
        help="addresses that must not be talked to: a list of CIDR, CSV, or STIX 2.1",
    )  # fmt: skip
    parser.add_argument(
        "--suppress", type=Path, metavar="FILE", help="findings not to be shown (YAML)"
    )
    parser.add_argument("--timezone", metavar="NAME", help="of working hours (default: UTC)")
    parser.add_argument(
        "--without-scanners", action="store_true", help="leave out what scanners began"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; return the exit status."""
    if not (options.output or options.json or options.csv):
        raise UserError("say where the report goes: -o FILE.html, --json or --csv DIR")
    _check_installed()
    from chamaleonet.analysis import report
    from chamaleonet.terminal import stages

    outputs = report.Outputs(options.output, Path("-") if options.json else None, options.csv)
    settings = settings_of(options)
    chosen = _options(options, settings.timeout)
    with ExitStack() as stack:
        path = options.paths[0]
        if _are_captures(options.paths):
            path = _judged(options.paths, settings, stack)
        elif len(options.paths) > 1:
            raise UserError(f"{options.paths[1]}: one log at a time")
        report.run(
            path,
            outputs,
            chosen,
            engine=options.engine,
            since=options.since,
            until=options.until,
            source=", ".join(map(str, options.paths)),
            progress=stack.enter_context(stages()),
        )
    return 0


def _check_installed() -> None:
    from chamaleonet.analysis import missing

    if names := missing():
        raise UserError(
            f"report: {', '.join(names)}: not installed (pip install 'chamaleonet[report]')"
        )


def _are_captures(paths: list[Path]) -> bool:
    return not (paths[0].is_dir() or paths[0].suffix == ".parquet")


def _options(options: argparse.Namespace, timeout: int) -> Options:
    from chamaleonet.analysis import indicators, suppressions
    from chamaleonet.analysis.table import Options

    chosen: dict[str, Any] = {
        "timeout": timeout / 1e9,
        "without_scanners": options.without_scanners,
    }
    if options.internal_only:
        chosen["internal_only"] = tuple(options.internal_only)
    if options.timezone:
        chosen["timezone"] = _zone(options.timezone)
    if options.indicators:
        chosen["indicators"] = tuple(
            each for path in options.indicators for each in _listed(indicators.load(path), path)
        )
    if options.suppress:
        chosen["suppressions"] = suppressions.load(options.suppress)
    return Options(**chosen)


def _listed(read: Indicators, path: Path) -> tuple[Indicator, ...]:
    for what, count in read.skipped.items():
        print(f"chamaleonet: warning: {path}: {count} {what} left out", file=sys.stderr)
    return read.listed


def _zone(name: str) -> Any:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UserError(f"--timezone {name}: no such time zone") from None


def _judged(paths: list[Path], settings: Settings, stack: ExitStack) -> Path:
    """Judge captures; return the flow log of all their flows, which ends with the stack."""
    import tempfile

    from chamaleonet.capture.files import open_capture
    from chamaleonet.flows.engine import Engine
    from chamaleonet.flows.transitions import VERDICTS
    from chamaleonet.log.flowlog import open_flow_log
    from chamaleonet.replay import Replay
    from chamaleonet.terminal import ReplayProgress

    captures = [stack.enter_context(open_capture(str(path))) for path in paths]
    directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="chamaleonet-"))
    path = Path(directory, "flows.parquet")
    flows = open_flow_log(path)
    replay = Replay(Engine(settings, ended=VERDICTS), flow_sinks=[flows])
    try:
        with ReplayProgress(captures, replay.engine) as replay.on_progress:
            replay.run(captures)
    finally:
        flows.close()
    for name in replay.truncated:
        print(f"chamaleonet: warning: {name}: ends inside a record", file=sys.stderr)
    return path
