"""How hosts, gaps, delays and ages are spread: curves."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from chamaleonet.analysis.page import axes, charts, words
from chamaleonet.analysis.page.charts import Bar, Piece
from chamaleonet.analysis.page.figures.figure import SIDES, figure, legend
from chamaleonet.analysis.page.frame import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chamaleonet.analysis.page.figures.figure import Figure, Row

DIRECTIONS = {"outbound": "c1", "internal": "c6", "inbound": "c4", "transit": "c3"}

_X, _Y = (LEFT, WIDTH - RIGHT), (HEIGHT - BOTTOM, TOP)
_AROUND = 3  # steps shown before and behind all that changes
_SMALL = 0.01  # share that an axis reaches to at least


def skew(value: Row) -> Iterator[Figure]:
    """Yield the Lorenz curves of clients and servers."""
    curves = {side: value[side]["lorenz"] for side in SIDES if value[side]["lorenz"]}
    if not curves:
        return
    series = [
        charts.Series(
            SIDES[side], [(row["hosts"], row["flows"], _lorenz(side, row)) for row in curve]
        )
        for side, curve in curves.items()
    ]
    drawing = charts.lines(
        "Lorenz curve: share of erroneous flows over share of hosts", series,
        axes.shares(*_X), axes.shares(*_Y), x_title="hosts, fewest erroneous flows first",
        y_title="erroneous flows", diagonal=True,
    )  # fmt: skip
    named = [(SIDES[side], f"{side}, Gini {words.value(value[side]['gini'])}") for side in curves]
    yield figure("Lorenz curve of erroneous flows", drawing, named)


def _lorenz(side: str, row: Row) -> str:
    hosts, flows = words.share(row["hosts"]), words.share(row["flows"])
    return f"{side}: {hosts} of the hosts have {flows} of the erroneous flows"


def retries(value: Row) -> Iterator[Figure]:
    """Yield the distribution of gaps."""
    steps = value["cdf"]
    if not steps:
        return
    last = next((n for n, row in enumerate(steps) if row["shorter"] == 1), len(steps) - 1)
    first = next((n for n, row in enumerate(steps) if row["shorter"] > 0), last)
    shown = steps[max(0, first - _AROUND) : last + _AROUND + 1]
    points = [(row["gap"], row["shorter"], _gap(row)) for row in shown]
    drawing = charts.lines(
        "Cumulative distribution of gaps between attempts", [charts.Series("c1", points)],
        axes.logarithmic(shown[0]["gap"], shown[-1]["gap"], *_X), axes.shares(*_Y),
        x_title="gap", y_title="share of shorter gaps",
    )  # fmt: skip
    yield figure("Gaps between attempts", drawing)


def _gap(row: Row) -> str:
    return f"{words.share(row['shorter'])} of the gaps are shorter than {words.seconds(row['gap'])}"


def timeouts(value: Row) -> Iterator[Figure]:
    """Yield how other timeouts would judge, and the distribution of reply delay."""
    judged = _by_direction(row for row in value["judged"] if row["false_share"] is not None)
    tried = sorted({row["timeout"] for rows in judged.values() for row in rows})
    if len(tried) > 1:
        yield _judged(judged, tried, value["recommended"]["timeout"])
    delays = _by_direction(
        row for row in value["delays"] if row["delay"] is not None and row["share"] is not None
    )
    if delays:
        yield _delays(delays)


def _by_direction(rows: Iterator[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["direction"], []).append(row)
    return found


def _judged(judged: dict[str, list[Row]], tried: list[float], chosen: float | None) -> Figure:
    highest = max(row["false_share"] for rows in judged.values() for row in rows)
    drawing = charts.lines(
        "Share of the flows judged unanswered that are answered after all, by timeout",
        [
            charts.Series(
                DIRECTIONS[direction],
                [(row["timeout"], row["false_share"], _false(row)) for row in rows],
            )
            for direction, rows in judged.items()
        ],
        axes.logarithmic(tried[0], tried[-1], *_X, tried),
        axes.linear(0, max(highest, _SMALL), *_Y, reads=words.share),
        x_title="timeout", y_title="answered after all",
        marker=None if chosen is None else (chosen, f"recommended: {words.seconds(chosen)}"),
    )  # fmt: skip
    return figure("Judged again by other timeouts", drawing, legend(DIRECTIONS, judged))


def _false(row: Row) -> str:
    part, late = words.share(row["false_share"]), words.count(row["late"])
    return (
        f"{row['direction']}, {words.seconds(row['timeout'])}: {part} of those judged unanswered"
        f" are answered after all ({late} flows)"
    )


def _delays(delays: dict[str, list[Row]]) -> Figure:
    rows = [row for each in delays.values() for row in each]
    bounds = [row["delay"] for row in rows]
    drawing = charts.lines(
        "Cumulative distribution of reply delay by direction",
        [
            charts.Series(
                DIRECTIONS[direction], [(row["delay"], row["share"], _delay(row)) for row in each]
            )
            for direction, each in delays.items()
        ],
        axes.logarithmic(min(bounds), max(bounds), *_X), axes.shares(*_Y),
        x_title="reply within", y_title="share of replies",
    )  # fmt: skip
    return figure("Reply delay", drawing, legend(DIRECTIONS, delays))


def _delay(row: Row) -> str:
    part, delay = words.share(row["share"]), words.seconds(row["delay"])
    return f"{row['direction']}: {part} of the replies within {delay}"


def network_change(value: Row) -> Iterator[Figure]:
    """Yield the failures by time since a host appeared."""
    if not value["failures"]:
        return
    bars = []
    for before, row in pairwise([{"seconds": 0, "failures": 0}, *value["curve"]]):
        size = row["failures"] - before["failures"]
        span = f"{words.seconds(before['seconds'])} to {words.seconds(row['seconds'])}"
        until = words.share(row["share"])
        tip = f"{span}: {words.count(size)} failures; until then {until} of the first hour's"
        bars.append(Bar(span, [Piece("c1", size, tip)], f"{words.count(size)} ({until})"))
    drawing = charts.bars(
        "Failures by time since the host's address appeared", bars,
        whole=max(bar.pieces[0].size for bar in bars),
    )  # fmt: skip
    yield figure("Failures by time since the host appeared (share until then)", drawing)
