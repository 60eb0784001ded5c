"""Lists of rows as tables of cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chamaleonet.analysis import schema
from chamaleonet.analysis.page import words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MOST_ROWS = 200  # of a table on the page
_LINE = 45  # characters


@dataclass(frozen=True)
class Cell:
    """A value.

    Attributes:
        text: as it is read.
        key: what it is sorted by; "" for nothing there, which comes last.
    """

    text: str
    key: str

    @property
    def long(self) -> bool:
        """Whether it is worth more than one line."""
        return len(self.text) > _LINE


@dataclass(frozen=True)
class Column:
    """A column: its label, the unit if the label does not tell, and whether it holds numbers."""

    label: str
    unit: str
    numeric: bool


@dataclass(frozen=True)
class Grid:
    """A table of cells.

    Attributes:
        caption: what it lists.
        columns: from left to right.
        rows: from top to bottom.
        more: rows that are not shown.
    """

    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    more: int


def grid(
    caption: str,
    rows: Sequence[Mapping[str, Any]],
    schemas: Mapping[str, dict[str, Any]],
    columns: Mapping[str, Mapping[str, str]],
    *,
    missing: str = words.NONE,
) -> Grid:
    """Return rows as a table.

    Args:
        caption: what they list.
        rows: objects of the same keys.
        schemas: JSON Schema of each key: what is shown, and how it is read.
        columns: label and unit of each key, as in the report's ``about``.
        missing: how null reads.
    """
    units = {name: schema.unit(each) for name, each in schemas.items()}
    return Grid(
        caption,
        [
            Column(
                words.text(columns[name]["label"]),
                _unless_told(columns[name], units[name]),
                any(isinstance(row[name], int | float) for row in rows),
            )
            for name in schemas
        ],
        [[_cell(row[name], units[name], missing) for name in schemas] for row in rows[:MOST_ROWS]],
        max(0, len(rows) - MOST_ROWS),
    )


def _cell(given: Any, unit: str, missing: str) -> Cell:
    if given is None:
        return Cell(missing, "")
    text = words.value(given, unit)
    return Cell(text, f"{given:.9g}" if isinstance(given, int | float) else text)


def _unless_told(column: Mapping[str, str], unit: str) -> str:
    """Return a column's unit where neither its values nor its label name it."""
    told = unit not in ("", "UTC") or column["unit"] in column["label"]
    return "" if told else words.text(column["unit"])
