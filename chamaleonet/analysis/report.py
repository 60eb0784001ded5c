"""The report: all tables and findings of a log as one document, and as files."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chamaleonet import __version__
from chamaleonet.analysis import findings, tables
from chamaleonet.analysis.findings import RULES
from chamaleonet.analysis.findings.finding import EVIDENCE_COLUMNS
from chamaleonet.analysis.source import Logs
from chamaleonet.analysis.spans import observed
from chamaleonet.analysis.tables import TABLES, scanners
from chamaleonet.analysis.times import iso
from chamaleonet.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from chamaleonet.analysis.findings import Findings
    from chamaleonet.analysis.suppressions import Suppression
    from chamaleonet.analysis.table import Options, Table

    Progress = Callable[[str, int, int], object]

_DIGITS = 9  # of a number, as in source.Logs.rows: engines differ beyond
STANDARD_OUTPUT = Path("-")
STAGES = len(TABLES) + len(RULES)


@dataclass(frozen=True)
class Outputs:
    """Where the report goes.

    Attributes:
        page: the HTML page; None for none.
        json: the document; STANDARD_OUTPUT to print it; None for none.
        csv: a directory of one file for each list of rows; None for none.
    """

    page: Path | None = None
    json: Path | None = None
    csv: Path | None = None


def run(
    path: Path,
    outputs: Outputs,
    options: Options,
    *,
    engine: str = "duckdb",
    since: datetime | None = None,
    until: datetime | None = None,
    source: str = "",
    progress: Progress = lambda stage, done, total: None,  # noqa: ARG005
) -> dict[str, Any]:
    """Make the report of a log and write it.

    Args:
        path: a log, as ``Logs.open`` takes it.
        outputs: where the report goes.
        options: what the operator chose.
        engine: "duckdb" or "spark".
        since: the first time that is looked at, with a time zone.
        until: the first time that no longer is.
        source: what the report calls the log; by default its path.
        progress: is called with a stage's name, the stages done and all stages.

    Returns:
        The document.

    Raises:
        UserError: there is no log, it cannot be read, or an output cannot be written.
    """
    with Logs.open(path, engine=engine, since=since, until=until) as logs:
        document = build(logs, options, progress)
    document["about"] |= {
        "source": source or str(path),
        "engine": engine,
        "since": None if since is None else _utc(since),
        "until": None if until is None else _utc(until),
    }
    write(document, outputs)
    return document


def build(
    logs: Logs,
    options: Options,
    progress: Progress = lambda stage, done, total: None,  # noqa: ARG005
) -> dict[str, Any]:
    """Return the report of a log: what docs/report.schema.json describes.

    Args:
        logs: the log.
        options: what the operator chose.
        progress: is called with a stage's name, the stages done and all stages.

    Raises:
        UserError: the log cannot be read.
    """
    done = 0

    def next_stage(name: str) -> None:
        nonlocal done
        progress(name, done, STAGES)
        done += 1

    logs = logs.at_hand()
    rest = logs.without(scanners.clients(logs)) if options.without_scanners else logs
    made: dict[str, Table] = {}
    for name in TABLES:
        next_stage(name)
        made[name] = tables.compute(name, logs if name == "scanners" else rest, options)
    values = {name: table.value for name, table in made.items()}
    found = findings.find(logs, options, values, on_rule=next_stage)
    progress("", STAGES, STAGES)
    document: dict[str, Any] = _rounded(
        {
            "about": _about(logs, options, found, made),
            "tables": values,
            "findings": [finding.as_dict() for finding in found.findings],
            "explained": found.explained,
            "machines": found.machines,
            "suppressed": {
                "share": found.suppressed_share,
                "findings": [
                    each.finding.as_dict() | {"suppression": _suppression(each.suppression)}
                    for each in found.suppressed
                ],
                "expired": [_suppression(each) for each in found.expired],
            },
        }
    )
    return document


def write(document: Mapping[str, Any], outputs: Outputs) -> None:
    """Write a report.

    Raises:
        UserError: a file or directory cannot be written.
    """
    try:
        if outputs.page is not None:
            from chamaleonet.analysis.page.render import render

            outputs.page.write_text(render(document), "utf-8")
        if outputs.csv is not None:
            from chamaleonet.analysis.sheets import write_csv

            write_csv(document, outputs.csv)
        if outputs.json is not None:
            text = json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
            if outputs.json == STANDARD_OUTPUT:
                sys.stdout.write(text)
            else:
                outputs.json.write_text(text, "utf-8")
    except OSError as error:
        raise UserError(f"{error.filename}: {error.strerror}") from None


def _about(
    logs: Logs, options: Options, found: Findings, made: Mapping[str, Table]
) -> dict[str, Any]:
    """Return what the report was made of, and how its tables are to be read."""
    span = observed(logs)
    counted = logs.row(logs.counts.aggregate(flows=logs.counts.flows.sum().fill_null(0)))
    logged = logs.row(logs.flows.aggregate(flows=logs.flows.count()))
    return {
        "version": __version__,
        "generated": _utc(datetime.now(UTC)),
        "source": "",
        "engine": "",
        "since": None,
        "until": None,
        "begin": None if span is None else iso(span[0]),
        "end": None if span is None else iso(span[1]),
        "flows": counted["flows"] if logs.has_healthy else None,
        "logged": logged["flows"],
        "suspect": logs.suspect,
        "erroneous": found.erroneous,
        "timeout": options.timeout,
        "timezone": str(options.timezone),
        "working_hours": list(options.working_hours),
        "working_days": sorted(options.working_days),
        "without_scanners": options.without_scanners,
        "internal_only": [str(network) for network in options.internal_only],
        "indicators": len(options.indicators),
        "tables": {
            name: {
                "title": table.title,
                "unit": table.unit,
                "vantage": table.vantage,
                "note": " ".join(table.note.split()),
                "columns": _columns(table.columns),
            }
            for name, table in made.items()
        },
        "evidence": _columns(EVIDENCE_COLUMNS),
    }


def _columns(columns: Mapping[str, tuple[str, str]]) -> dict[str, dict[str, str]]:
    return {name: {"label": label, "unit": unit} for name, (label, unit) in columns.items()}


def _suppression(suppression: Suppression) -> dict[str, Any]:
    return suppression.model_dump(mode="json")


def _utc(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _rounded(value: Any) -> Any:
    """Return a JSON value with the digits of numbers that every engine agrees on."""
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}")
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, list) else value
