"""A result as a figure: SVG, the same bytes for the same rows, readable without colour."""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

    from benchmarks.experiments.result import Result

# Of the palette that Okabe and Ito made for all kinds of colour vision; marks and dashes besides.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#666666")
_MARKS = ("o", "s", "^", "D", "v", "x", "P")
_DASHES = ("-", "--", ":", "-.")
_HATCHES = ("", "///", "...", "xxx", "\\\\\\", "ooo")
_SETTINGS = {"svg.hashsalt": "chamaleonet", "svg.fonttype": "path", "font.family": "DejaVu Sans"}


def draw(result: Result, path: Path) -> None:
    """Write a result's figure to a file."""
    with mpl.rc_context(_SETTINGS):
        figure = Figure(figsize=(7, 4), layout="constrained")
        axes = figure.subplots()
        chart = result.experiment.chart
        lines = _series(result)
        if chart.kind == "bar":
            _bars(axes, lines)
        else:
            _lines(axes, lines, steps=chart.kind == "steps")
        _published(axes, result)
        _axes(axes, result)
        if len(axes.get_legend_handles_labels()[1]) > 1:
            figure.legend(loc="outside lower center", ncols=2, fontsize="small", frameon=False)
        figure.savefig(path, format="svg", metadata={"Date": None})


def _series(result: Result) -> dict[str, tuple[list[Any], list[Any]]]:
    chart = result.experiment.chart
    lines: dict[str, tuple[list[Any], list[Any]]] = {}
    for row in result.rows:
        parts = [_part(result, name, row[name]) for name in chart.series if row[name] is not None]
        for y in chart.ys:
            if row[y] is None:
                continue
            title = [result.experiment.column(y).title] if len(chart.ys) > 1 else []
            xs, ys = lines.setdefault(", ".join(parts + title), ([], []))
            xs.append(row[chart.x])
            ys.append(row[y])
    return lines


def _part(result: Result, name: str, value: Any) -> str:
    """Return a value in the name of a line: a number with its unit."""
    unit = result.experiment.column(name).unit
    return f"{value:.4g} {unit}" if unit and unit != "share" else str(value)


def _lines(axes: Axes, lines: dict[str, tuple[list[Any], list[Any]]], *, steps: bool) -> None:
    looks = zip(cycle(_COLOURS), cycle(_MARKS), cycle(_DASHES), strict=False)
    for (label, (xs, ys)), (colour, mark, dash) in zip(lines.items(), looks, strict=False):
        if xs == [None]:  # it has no place on this axis: a level
            axes.axhline(ys[0], label=label, color=colour, linestyle=dash)
            continue
        axes.plot(
            xs, ys, label=label, color=colour, marker=mark, markersize=4,
            linestyle=dash if len(xs) > 1 else "",
            drawstyle="steps-post" if steps else "default", markevery=max(1, len(xs) // 15),
        )  # fmt: skip


def _bars(axes: Axes, lines: dict[str, tuple[list[Any], list[Any]]]) -> None:
    places = list(dict.fromkeys(str(x) for xs, _ in lines.values() for x in xs))
    width = 0.8 / len(lines)
    looks = zip(cycle(_COLOURS), cycle(_HATCHES), strict=False)
    for at, ((label, (xs, ys)), (colour, hatch)) in enumerate(
        zip(lines.items(), looks, strict=False)
    ):
        where = [places.index(str(x)) - 0.4 + width * (at + 0.5) for x in xs]
        axes.bar(where, ys, width, label=label, color=colour, hatch=hatch, edgecolor="black")
    axes.set_xticks(range(len(places)), places)
    if max(map(len, places)) > 12:
        axes.tick_params(axis="x", labelrotation=20)


def _published(axes: Axes, result: Result) -> None:
    """Draw the published numbers of these columns: points, or levels where no x was published."""
    numbers = [
        each for each in result.experiment.published
        if each.column in result.experiment.chart.ys and not isinstance(each.value, str)
    ]  # fmt: skip
    points = [(each.x, each.value) for each in numbers if each.x is not None]
    levels = {each.value for each in numbers if each.x is None}
    if points:
        xs, ys = zip(*points, strict=True)
        axes.plot(xs, ys, label="published", color="black", marker="*", markersize=9, linestyle="")
    for level in sorted(levels):
        axes.axhline(level, label="published", color="black", linewidth=2, linestyle=(0, (1, 3)))


def _axes(axes: Axes, result: Result) -> None:
    chart = result.experiment.chart
    x, y = result.experiment.column(chart.x), result.experiment.column(chart.ys[0])
    axes.set_xlabel(x.heading)
    axes.set_ylabel(y.heading if len(chart.ys) == 1 else y.unit or "number")
    if "x" in chart.log:
        axes.set_xscale("log")
    if "y" in chart.log:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    for axis, column in ((axes.xaxis, x), (axes.yaxis, y)):
        if column.unit == "share":
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.4g}%"))
        elif column is y or chart.kind != "bar":
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
