"""A chart with its words, and what the figures of several tables have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from chamaleonet.analysis.page import svg, words
from chamaleonet.analysis.page.charts import Bar, Piece

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any
    from xml.etree.ElementTree import Element

    from markupsafe import Markup

    Row = dict[str, Any]

MOST_BARS = 12
# Colours are classes of the style sheet.
SIDES = {"clients": "c1", "servers": "c6"}


@dataclass(frozen=True)
class Figure:
    """A chart with its words.

    Attributes:
        title: what it shows.
        drawing: SVG.
        legend: colours and what they stand for.
        wide: needs a whole row.
    """

    title: str
    drawing: Markup
    legend: Sequence[tuple[str, str]] = ()
    wide: bool = False


def figure(
    title: str, drawing: Element, legend: Iterable[tuple[str, str]] = (), *, wide: bool = False
) -> Figure:
    """Return a drawing as a figure."""
    return Figure(title, svg.markup(drawing), tuple(legend), wide)


def legend(colours: Mapping[str, str], shown: Iterable[str]) -> list[tuple[str, str]]:
    """Return the legend of what is shown, in the order of ``colours``."""
    present = set(shown)
    return [(colour, words.name(key)) for key, colour in colours.items() if key in present]


def stacked(
    rows: Iterable[tuple[str, Mapping[str, int]]], colours: Mapping[str, str], unit: str
) -> list[Bar]:
    """Return bars made of counts.

    Args:
        rows: labels, and counts by what they are of.
        colours: of what is counted, in the order of the pieces.
        unit: what is counted.
    """
    return [Bar(label, _pieces(label, counts, colours, unit), words.count(sum(counts.values())))
            for label, counts in rows]  # fmt: skip


def _pieces(
    label: str, counts: Mapping[str, int], colours: Mapping[str, str], unit: str
) -> list[Piece]:
    total = sum(counts.values())
    return [
        Piece(colour, size, f"{label}, {words.name(key)}: {words.count(size)} {unit} ({part})")
        for key, colour in colours.items()
        if (size := counts.get(key, 0))
        for part in [words.share(size / total)]
    ]


def ranked(rows: Iterable[tuple[str, int, str]], unit: str, colour: str = "c1") -> list[Bar]:
    """Return bars of one colour.

    Args:
        rows: labels, sizes, and what they are.
        unit: what is counted.
        colour: of all.
    """
    return [
        Bar(label, [Piece(colour, size, f"{what}: {words.count(size)} {unit}")], words.count(size))
        for label, size, what in rows
    ]


def service(row: Mapping[str, Any], port_of: str = "server_port") -> str:
    """Return a row's protocol and port, as in tcp/443."""
    port = row[port_of]
    return row["protocol"] if port is None else f"{row['protocol']}/{port}"


def short(number: float) -> str:
    """Return a number for an axis."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g}{letter}"
    return f"{number:.3g}"
