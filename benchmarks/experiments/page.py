"""Result files as Markdown: what docs/experiments.md is generated from."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from benchmarks.experiments.result import Result, read

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.experiments.experiment import Cell, Column, Published

_URL = re.compile(r"(https?://[^\s,)]+)")


def markdown(directory: Path) -> str:
    """Return a section for each result file of a directory, by name."""
    results = [read(path) for path in sorted(directory.glob("*.json"))]
    return "\n".join(section(result, directory.name) for result in results)


def section(result: Result, directory: str) -> str:
    """Return an experiment's section; its figure lies in ``directory``, beside the page."""
    experiment = result.experiment
    command = f"`python -m benchmarks.experiments {result.name}`"
    lines = [
        f"## {experiment.title}",
        "",
        f"**{experiment.question}** {command}{', as root' if experiment.needs_root else ''}.",
        "",
        experiment.method,
        "",
        *_table(result),
        "",
        f"![{experiment.title}]({directory}/{result.name}.svg)",
        "",
        *_published(result),
        experiment.explains,
        "",
        f"*{_where(result)}* All rows: [{result.name}.json]({directory}/{result.name}.json)",
        "",
    ]
    return "\n".join(lines)


def shown(value: Cell, column: Column) -> str:
    """Return a cell as people read it: four digits count, the rest is noise."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value.replace("|", "/")
    if column.unit == "share":
        return f"{100 * value:.3g}%"
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def _table(result: Result) -> list[str]:
    columns = result.experiment.columns
    shows = result.experiment.tabled.items()
    tabled = [row for row in result.rows if all(row[name] in cells for name, cells in shows)]
    sides = []
    for column in columns:
        is_text = any(isinstance(row[column.name], str) for row in result.rows)
        sides.append("---" if is_text else "---:")
    lines = [_line([column.heading for column in columns]), _line(sides)]
    rows = ([shown(row[column.name], column) for column in columns] for row in tabled)
    return lines + [_line(row) for row in rows]


def _published(result: Result) -> list[str]:
    """Return published numbers beside ours, or nothing where none are known."""
    published = result.experiment.published
    if not published:
        return ["We know of no published number to set beside these.", ""]
    lines = [_line(["what", "published", "ours", "source"]), _line(["---", "---:", "---:", "---"])]
    for each in published:
        theirs, ours = str(each.value), ""
        if each.column:
            column = result.experiment.column(each.column)
            theirs = each.value if isinstance(each.value, str) else shown(each.value, column)
            row = result.matching(each.where)
            ours = shown(row[each.column], column) if row else ""
            if row and each.where:
                ours += f" ({_which(result, each)})"
        source = _URL.sub(r"<\1>", each.source)
        lines.append(_line([each.what, theirs, ours or "not measured", source]))
    return [*lines, ""]


def _which(result: Result, published: Published) -> str:
    """Return which of our rows compares, in its own words."""
    cells = []
    for name, cell in published.where.items():
        column = result.experiment.column(name)
        text = shown(cell, column)
        cells.append(text if isinstance(cell, str) else f"{column.title} {text}")
    return ", ".join(cells)


def _where(result: Result) -> str:
    machine = result.machine
    parts = [
        f"Measured on {result.date.isoformat()}: {machine.cpu}, {machine.cores} cores",
        machine.kernel,
        f"Python {machine.python}",
    ]
    if result.experiment.needs_root:
        parts.append(f"Open vSwitch {machine.open_vswitch}")
    parameters = [f"{name} {_given(value)}" for name, value in result.parameters.items()]
    quick = " A quick run: read it as an example." if result.quick else ""
    return f"{', '.join(parts)}; {'; '.join(parameters)}.{quick}"


def _given(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
