"""What happened when: health by the hour, the hours of a week, and failures at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from chamaleonet.analysis.page import axes, charts, words
from chamaleonet.analysis.page.figures.figure import SIDES, figure, legend, service, short
from chamaleonet.analysis.page.frame import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH

if TYPE_CHECKING:
    from collections.abc import Iterator
    from xml.etree.ElementTree import Element

    from chamaleonet.analysis.page.figures.figure import Figure, Row

AGGREGATES = {"network": "c1", "port": "c6", "sweep": "c4"}

_WIDE = 2 * WIDTH
_UPPER, _LOWER = (160, TOP), (300, 190)  # pixels of two panels, bottom and top
_HOUR, _DAY = 3600.0, 86400.0
_MOST_HOURS = 14 * 24  # beyond, a point of the hourly chart is a day
_WEEK = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_LEAST = 0.2  # that an axis of correlations reaches to at least


class _Step(NamedTuple):
    """An hour or a day: its begin, flows (failed ones if that is all that is known), health."""

    at: float
    flows: int
    health: float | None
    tip: str


def health(value: Row) -> Iterator[Figure]:
    """Yield health over volume, of all ports and of the web's."""
    for key, title in (("all", "All ports"), ("web", "Web ports (80, 88, 443, 8080)")):
        if not value[key]["hours"]:
            continue
        known = value[key]["health"] is not None
        step, steps = _steps(value[key]["hours"], known=known)
        each = "hour" if step == _HOUR else "day"
        x = axes.clock(steps[0].at, steps[-1].at + step, LEFT, WIDTH - RIGHT, ticks=5)
        most = max(part.flows for part in steps)
        if not known:
            points = [(part.at, part.flows, part.tip) for part in steps]
            y = axes.linear(0, most, HEIGHT - BOTTOM, TOP, reads=short)
            drawing = charts.lines(
                f"{title}: failed flows by {each}", [charts.Series("c1", points)], x, y,
                x_title="UTC", y_title="failed flows", steps=True,
            )  # fmt: skip
            yield figure(title, drawing)
            continue
        worst = min(part.health for part in steps if part.health is not None)
        drawing = charts.panels(
            f"{title}: health over flow volume by {each}",
            [(part.at, part.health, part.tip) for part in steps],
            [part.flows for part in steps],
            x, axes.shares(*_UPPER, low=worst), axes.linear(0, most, *_LOWER, reads=short, ticks=3),
            x_title="UTC", titles=("health", "flows"), step=step,
        )  # fmt: skip
        yield figure(title, drawing)


def _steps(hours: list[Row], *, known: bool) -> tuple[float, list[_Step]]:
    """Return the width of a step in seconds, and all steps from the first hour to the last."""
    times = [axes.seconds(row["hour"]) for row in hours]
    step = _HOUR if times[-1] - times[0] < _MOST_HOURS * _HOUR else _DAY
    sums: dict[float, tuple[int, int]] = {}
    for at, row in zip(times, hours, strict=True):
        failed, flows = sums.get(at - at % step, (0, 0))
        sums[at - at % step] = failed + row["failed"], flows + (row["flows"] if known else 0)
    first, last = min(sums), max(sums)
    all_times = (first + n * step for n in range(int((last - first) // step) + 1))
    return step, [_step(at, *sums.get(at, (0, 0)), step, known=known) for at in all_times]


def _step(at: float, failed: int, flows: int, step: float, *, known: bool) -> _Step:
    when = axes.moment(at).strftime("%a %-d %b %H:%M" if step == _HOUR else "%a %-d %b")
    if not known:
        return _Step(at, failed, None, f"{when}: {words.count(failed)} failed")
    if not flows:
        return _Step(at, 0, None, f"{when}: no flow")
    health = 1 - failed / flows
    tip = f"{when}: health {words.share(health)}, {words.count(failed)} of {words.count(flows)}"
    return _Step(at, flows, health, f"{tip} flows failed")


def stability(value: Row) -> Iterator[Figure]:
    """Yield the hours of the week, and the autocorrelation."""
    for side in SIDES:
        hours = value[side]["hours_of_week"]
        if any(row["flows"] for row in hours):
            yield figure(f"Hour of the week, {side}", _week(side, hours))
    for side in SIDES:
        lags = [row for row in value[side]["autocorrelation"] if row["value"] is not None]
        if lags:
            yield figure(f"Autocorrelation, {side}", _autocorrelation(side, lags))


def _week(side: str, hours: list[Row]) -> Element:
    rows = []
    for day, name in enumerate(_WEEK):
        cells = []
        for row in hours[day * 24 : day * 24 + 24]:
            rate = row["per_hour"]
            told = "not in the log" if rate is None else f"{words.plain(rate)} erroneous flows"
            cells.append((rate, f"{name} {row['hour']:02}:00: {told}"))
        rows.append((name, cells))
    names = [str(hour) if hour % 3 == 0 else "" for hour in range(24)]
    return charts.strip(
        f"Erroneous flows per hour of the week, {side}", rows, names, x_title="hour of the day"
    )


def _autocorrelation(side: str, lags: list[Row]) -> Element:
    values = [row["value"] for row in lags]
    y = axes.linear(min(0, *values), max(_LEAST, *values), HEIGHT - BOTTOM, TOP)
    return charts.columns(
        f"Autocorrelation of erroneous flows per hour, {side}",
        [(row["value"], f"{row['lag']} h: {words.plain(row['value'])}") for row in lags],
        # The lag of a week is a column of its own at the end.
        [str(row["lag"]) if row["lag"] in (1, 12, 24, 36, 168) else "" for row in lags],
        y, x_title="lag in hours", y_title="autocorrelation",
    )  # fmt: skip


def simultaneous(rows: list[Row]) -> Iterator[Figure]:
    """Yield the events over time."""
    if not rows:
        return
    shown = [_event(row) for row in rows]
    begin, end = min(event[0] for event in shown), max(event[1] for event in shown)
    spare = max((end - begin) * 0.03, _HOUR)
    drawing = charts.events(
        "Simultaneous failures over time: newly failing servers", shown,
        axes.clock(begin - spare, end + spare, LEFT, _WIDE - RIGHT, ticks=10),
        axes.linear(0, max(event[2] for event in shown), HEIGHT - BOTTOM, TOP, reads=short),
        x_title="UTC", y_title="servers",
    )  # fmt: skip
    kinds = legend(AGGREGATES, map(_aggregate, rows))
    yield figure("Servers that begin to fail at once", drawing, kinds, wide=True)


def _aggregate(row: Row) -> str:
    return "sweep" if row["sweep"] else str(row["aggregate"])


def _event(row: Row) -> tuple[float, float, float, str, str]:
    """Return an event: begin, end, servers, colour and what it tells."""
    begin, longest = axes.seconds(row["time"]), row["longest_recovery"]
    what = [row["network"] or "", service(row) if row["protocol"] else ""]
    tip = f"{words.time(row['time'])}, {' '.join(filter(None, what))}:"
    tip += f" {words.count(row['failing_servers'])} servers begin to fail"
    if longest is not None:
        tip += f", {words.count(row['recovered'])} recover within {words.seconds(longest)}"
    if row["failing"]:
        tip += f", {words.count(row['failing'])} are still failing"
    return begin, begin + (longest or 0), row["failing_servers"], AGGREGATES[_aggregate(row)], tip
