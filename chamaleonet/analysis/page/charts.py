"""The charts of the report: values to drawings. They know nothing of what is drawn.

Colours are classes, so that a style sheet makes them fit a light page, a dark one and paper.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from chamaleonet.analysis.page import axes
from chamaleonet.analysis.page.frame import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    horizontal,
    vertical,
)
from chamaleonet.analysis.page.frame import marker as draw_marker
from chamaleonet.analysis.page.svg import add, drawing, mark

if TYPE_CHECKING:
    from collections.abc import Sequence
    from xml.etree.ElementTree import Element

    from chamaleonet.analysis.page.axes import Scale

_LABEL, _VALUE = 140, 80  # beside horizontal bars
_BAR, _ROW = 18, 27  # heights of a bar, and of it with the space below
_LETTERS = 20  # that a label beside a bar has room for
_CELL = 0.9  # opacity that tells the largest value of a strip from none: 0.1 to 1


@dataclass(frozen=True)
class Piece:
    """A part of a bar.

    Attributes:
        colour: a class.
        size: how long.
        tip: what it tells when pointed at.
    """

    colour: str
    size: float
    tip: str


@dataclass(frozen=True)
class Bar:
    """A horizontal bar: its label, its pieces, and the number behind it."""

    label: str
    pieces: Sequence[Piece]
    number: str


@dataclass(frozen=True)
class Series:
    """A line: its colour, a class, and its points: x, y, and what they tell.

    Where ``y`` is None the line is broken.
    """

    colour: str
    points: Sequence[tuple[float, float | None, str]]


def bars(label: str, rows: Sequence[Bar], *, whole: float | None = None) -> Element:
    """Return horizontal bars.

    Args:
        label: what is drawn, for those who do not see it.
        rows: from top to bottom.
        whole: what the full width stands for; None where that is each row's own sum.
    """
    svg = drawing(WIDTH, _ROW * len(rows) + 4, label)
    width = WIDTH - _LABEL - _VALUE
    for index, row in enumerate(rows):
        top = 2 + index * _ROW
        middle = top + _BAR / 2
        name = row.label if len(row.label) <= _LETTERS else row.label[: _LETTERS - 1] + "…"
        text = add(svg, "text", x=_LABEL - 8, y=middle, class_="row")
        text.text = name
        if name != row.label:
            add(text, "title", row.label)
        unit = width / (whole or sum(piece.size for piece in row.pieces) or 1)
        x: float = _LABEL
        for piece in row.pieces:
            if piece.size:
                mark(
                    svg, "rect", piece.tip, f"bar {piece.colour}",
                    x=x, y=top, width=max(piece.size * unit, 0.5), height=_BAR,
                )  # fmt: skip
            x += piece.size * unit
        at = WIDTH - _VALUE + 8 if whole is None else x + 6
        add(svg, "text", row.number, x=at, y=middle, class_="number")
    return svg


def lines(
    label: str, series: Sequence[Series], x: Scale, y: Scale,
    *, x_title: str, y_title: str, steps: bool = False, diagonal: bool = False,
    marker: tuple[float, str] | None = None,
) -> Element:  # fmt: skip
    """Return lines over two axes.

    Args:
        label: what is drawn, for those who do not see it.
        series: the lines; later ones lie above.
        x: from LEFT to WIDTH - RIGHT.
        y: from HEIGHT - BOTTOM to TOP.
        x_title: what the horizontal axis tells.
        y_title: what the vertical one tells.
        steps: a value holds until the next one.
        diagonal: draw the line on which both axes are equal.
        marker: a value of x to be marked, and how.
    """
    svg = drawing(WIDTH, HEIGHT, label)
    horizontal(svg, x, y.start, x_title)
    vertical(svg, y, x, y_title)
    if diagonal:
        add(svg, "line", x1=x.start, y1=y.start, x2=x.end, y2=y.end, class_="reference")
    if marker is not None:
        draw_marker(svg, x, y, *marker)
    for each in series:
        _line(svg, each, x, y, steps=steps)
    return svg


def panels(
    label: str, upper: Sequence[tuple[float, float | None, str]], lower: Sequence[float],
    x: Scale, y_upper: Scale, y_lower: Scale, *, x_title: str, titles: tuple[str, str], step: float,
) -> Element:  # fmt: skip
    """Return a line over columns that share their horizontal axis.

    Args:
        label: what is drawn, for those who do not see it.
        upper: begins of steps, the line's values there, and what both panels tell of a step;
            None breaks the line.
        lower: heights of columns, one for each step.
        x: both panels' horizontal scale.
        y_upper: scale of the line.
        y_lower: scale of the columns.
        x_title: what the horizontal axis tells.
        titles: what the vertical ones tell.
        step: width of a step, as ``x`` measures.
    """
    svg = drawing(WIDTH, y_lower.start + BOTTOM, label)
    horizontal(svg, x, y_lower.start, x_title)
    vertical(svg, y_upper, x, titles[0])
    vertical(svg, y_lower, x, titles[1])
    for (at, _, tip), size in zip(upper, lower, strict=True):
        left, right = x(at), x(min(at + step, x.high))
        gap = 1 if right - left > 4 else 0  # narrow ones touch
        top = y_lower(size)
        add(
            svg, "rect", class_="bar muted",
            x=left, y=top, width=max(right - left - gap, 0.5), height=y_lower.start - top,
        )  # fmt: skip
        mark(
            svg, "rect", tip, "band",
            x=left, y=y_upper.end, width=right - left, height=y_lower.start - y_upper.end,
        )  # fmt: skip
    _path(svg, "c6", [(at + step / 2, y) for at, y, _ in upper], x, y_upper, steps=False)
    return svg


def columns(
    label: str, values: Sequence[tuple[float, str]], names: Sequence[str], y: Scale,
    *, x_title: str, y_title: str,
) -> Element:  # fmt: skip
    """Return vertical columns from zero, up or down.

    Args:
        label: what is drawn, for those who do not see it.
        values: heights, and what they tell.
        names: of the columns; "" for one without.
        y: from HEIGHT - BOTTOM to TOP.
        x_title: what the horizontal axis tells.
        y_title: what the vertical one tells.
    """
    svg = drawing(WIDTH, HEIGHT, label)
    width = (WIDTH - LEFT - RIGHT) / len(values)
    ticks = tuple((n + 0.5, name) for n, name in enumerate(names) if name)
    x = axes.Scale(0, len(values), LEFT, WIDTH - RIGHT, ticks)
    horizontal(svg, x, y.start, x_title)
    vertical(svg, y, x, y_title)
    zero = y(0)
    for index, (size, tip) in enumerate(values):
        end = y(size)
        mark(
            svg, "rect", tip, "bar c1", x=LEFT + index * width + width * 0.15, y=min(zero, end),
            width=width * 0.7, height=max(abs(zero - end), 0.5),
        )  # fmt: skip
    add(svg, "line", x1=x.start, x2=x.end, y1=zero, y2=zero, class_="axis")
    return svg


def strip(
    label: str, rows: Sequence[tuple[str, Sequence[tuple[float | None, str]]]],
    names: Sequence[str], *, x_title: str,
) -> Element:  # fmt: skip
    """Return cells that are the darker the larger their value.

    Args:
        label: what is drawn, for those who do not see it.
        rows: names, and cells: their value, None for unknown, and what they tell.
        names: of the columns; "" for one without.
        x_title: what the horizontal axis tells.
    """
    size = (WIDTH - LEFT - RIGHT) / len(names)
    svg = drawing(WIDTH, size * len(rows) + TOP + BOTTOM, label)
    largest = max((given or 0 for _, cells in rows for given, _ in cells), default=0) or 1
    for index, (name, cells) in enumerate(rows):
        top = TOP + index * size
        add(svg, "text", name, x=LEFT - 8, y=top + size / 2, class_="row")
        for column, (given, tip) in enumerate(cells):
            shade = "0" if given is None else f"{0.1 + _CELL * given / largest:.3f}"
            mark(
                svg, "rect", tip, "cell", x=LEFT + column * size, y=top, width=size - 1,
                height=size - 1, fill_opacity=shade,
            )  # fmt: skip
    bottom = TOP + size * len(rows)
    for column, name in enumerate(names):
        if name:
            add(svg, "text", name, x=LEFT + column * size, y=bottom + 14, class_="tick start")
    add(svg, "text", x_title, x=(LEFT + WIDTH - RIGHT) / 2, y=bottom + 34, class_="title")
    return svg


def events(
    label: str, shown: Sequence[tuple[float, float, float, str, str]], x: Scale, y: Scale,
    *, x_title: str, y_title: str,
) -> Element:  # fmt: skip
    """Return events over time: circles with a line for as long as they lasted.

    Args:
        label: what is drawn, for those who do not see it.
        shown: begin, end, height, colour and what they tell.
        x: of times.
        y: of heights.
        x_title: what the horizontal axis tells.
        y_title: what the vertical one tells.
    """
    svg = drawing(x.end + RIGHT, HEIGHT, label)
    horizontal(svg, x, y.start, x_title)
    vertical(svg, y, x, y_title)
    for begin, end, size, colour, tip in shown:
        if end > begin:
            add(
                svg, "line", x1=x(begin), x2=x(min(end, x.high)), y1=y(size), y2=y(size),
                class_=f"span {colour}",
            )  # fmt: skip
        mark(svg, "circle", tip, f"event {colour}", cx=x(begin), cy=y(size), r=5)
    return svg


def _line(svg: Element, series: Series, x: Scale, y: Scale, *, steps: bool) -> None:
    """Draw a line with its points."""
    _path(svg, series.colour, [point[:2] for point in series.points], x, y, steps=steps)
    for at, value, tip in series.points:
        if value is not None:
            mark(svg, "circle", tip, f"point {series.colour}", cx=x(at), cy=y(value), r=4)


def _path(
    svg: Element, colour: str, points: Sequence[tuple[float, float | None]], x: Scale, y: Scale,
    *, steps: bool,
) -> None:  # fmt: skip
    """Draw a line, broken where there is no value."""
    path: list[str] = []
    before: float | None = None
    for at, value in points:
        if value is not None:
            if steps and before is not None:
                path.append(f"L{x(at):.1f} {y(before):.1f}")
            path.append(f"{'M' if before is None else 'L'}{x(at):.1f} {y(value):.1f}")
        before = value
    add(svg, "path", d="".join(path), class_=f"line {colour}")
