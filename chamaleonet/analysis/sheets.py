"""The report as CSV: a file for each list of rows, one for the single numbers of each table."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

from chamaleonet.analysis import schema
from chamaleonet.analysis.parts import lists, numbers

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

# Spreadsheets take text that begins so for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write_csv(report: Mapping[str, Any], directory: Path) -> list[Path]:
    """Write a report as CSV (RFC 4180, UTF-8): times as in JSON, null as an empty field.

    A list of rows goes to ``TABLE.csv`` or ``TABLE_LIST.csv``, a table's single numbers to
    ``TABLE.csv``, findings to ``findings.csv`` and their evidence to ``evidence.csv``, which names
    the finding by its number there. Lists in a field are separated by blanks. Text that a
    spreadsheet would take for a formula has an apostrophe before it.

    Args:
        report: as ``report.build`` makes it.
        directory: is made if it is missing; files of these names are overwritten.

    Returns:
        The files.

    Raises:
        OSError: a file cannot be written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    return [
        _write(directory / f"{name}.csv", columns, rows) for name, columns, rows in _sheets(report)
    ]


def _sheets(
    report: Mapping[str, Any],
) -> Iterable[tuple[str, Sequence[str], Iterable[Mapping[str, Any]]]]:
    for name, value in report["tables"].items():
        for path, rows in lists(value):
            yield "_".join((name, *path)), tuple(schema.columns((name, *path))), rows
        single = [{"name": ".".join(path), "value": given} for path, given in numbers(value)]
        if single:
            yield name, ("name", "value"), single
    findings = list(enumerate(report["findings"], 1))
    columns = [name for name in schema.FINDING if name != "evidence"]
    yield "findings", ("finding", *columns), ({"finding": n, **each} for n, each in findings)
    yield (
        "evidence",
        ("finding", *schema.EVIDENCE),
        ({"finding": n, **row} for n, each in findings for row in each["evidence"]),
    )
    yield "machines", tuple(schema.MACHINE), report["machines"]


def _write(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows([_field(row[name]) for name in columns] for row in rows)
    return path


def _field(given: Any) -> Any:
    if isinstance(given, list):
        given = " ".join(map(str, given))
    if isinstance(given, bool):
        return "true" if given else "false"
    if isinstance(given, str) and given.startswith(_FORMULA):
        return f"'{given}"
    return given
