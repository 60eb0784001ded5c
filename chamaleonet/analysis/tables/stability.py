"""Table 5: when erroneous flows begin: by hour of the week, and how one hour is like another."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import ibis
import numpy as np

from chamaleonet.analysis.table import Options, Table
from chamaleonet.analysis.tables.skew import SIDES
from chamaleonet.analysis.times import HOUR, MINUTE, SECOND, floor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from chamaleonet.analysis.source import Logs

LAGS = (*range(1, 49), 168)  # hours
# Time zones differ from UTC by multiples of a quarter of an hour.
_QUARTER = 15 * MINUTE
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_NOTE = (
    "An hour is the one that a flow began in. per_hour is the mean over such hours in the log,"
    " hours without erroneous flows included. The working-hours ratio is the mean of a working"
    " hour over that of any other. Autocorrelation is of the flows per hour, about their mean,"
    " over the whole log; there is none for lags as long as the log."
)


def table(logs: Logs, options: Options) -> Table:
    """Return erroneous flows over the hours of the week, and their autocorrelation."""
    begin, last = options.working_hours
    return Table(
        name="stability",
        title="Stability",
        unit="flow",
        vantage="erroneous flows: clients, begun by internal hosts; servers, inbound",
        note=f"{_NOTE} Working hours: {begin}:00-{last}:00 on"
        f" {', '.join(_WEEKDAYS[day] for day in sorted(options.working_days))};"
        f" time zone {options.timezone}.",
        value={side: _side(logs, options, directions) for side, directions in SIDES.items()},
        columns={
            "weekday": ("day", "0 is Monday"),
            "hour": ("hour", str(options.timezone)),
            "hours": ("such hours in the log", "hours"),
            "flows": ("erroneous flows", "flows"),
            "per_hour": ("erroneous flows per hour", "flows per hour"),
            "working_hours_ratio": ("working hours over other hours", ""),
            "lag": ("lag", "hours"),
            "value": ("autocorrelation", ""),
        },
    )


def _side(logs: Logs, options: Options, directions: tuple[str, ...]) -> dict[str, Any]:
    begin, quarters = _series(logs, directions)
    times = begin + _QUARTER * np.arange(len(quarters))
    local = [datetime.fromtimestamp(time // SECOND, options.timezone) for time in times.tolist()]
    of_week = np.array([time.weekday() * 24 + time.hour for time in local], int)
    flows = np.bincount(of_week, quarters, 168).astype(int)
    hours = np.bincount(of_week, minlength=168) / (HOUR // _QUARTER)
    return {
        "hours_of_week": [
            {
                "weekday": hour // 24,
                "hour": hour % 24,
                "hours": float(hours[hour]),
                "flows": int(flows[hour]),
                "per_hour": _mean(flows[hour], hours[hour]),
            }
            for hour in range(168)
        ],
        "working_hours_ratio": _working_ratio(flows, hours, options),
        "autocorrelation": autocorrelation(quarters.reshape(-1, HOUR // _QUARTER).sum(axis=1)),
    }


def _series(logs: Logs, directions: tuple[str, ...]) -> tuple[int, NDArray[np.int64]]:
    """Return the first hour of the log, and erroneous flows by quarter of an hour from there.

    A year has 35,040 of these.
    """
    if logs.span is None:
        return 0, np.zeros(0, np.int64)
    begin, end = (time - time % HOUR for time in logs.span)
    flows = logs.flows.filter(logs.flows.erroneous, logs.flows.direction.isin(directions))
    # A flow that began before the log is put at its begin: else one that lasted for weeks would
    # stretch the time that is looked at.
    quarter = floor(ibis.greatest(flows["first"], begin), _QUARTER)
    counted = logs.arrow(flows.group_by(quarter=quarter).aggregate(flows=flows.count()))
    series = np.zeros((end + HOUR - begin) // _QUARTER, np.int64)
    series[(counted["quarter"].to_numpy() - begin) // _QUARTER] = counted["flows"].to_numpy()
    return begin, series


def _mean(flows: float, hours: float) -> float | None:
    return float(flows / hours) if hours else None


def _working_ratio(
    flows: NDArray[np.int64], hours: NDArray[np.float64], options: Options
) -> float | None:
    day, hour = np.divmod(np.arange(168), 24)
    begin, end = options.working_hours
    working = np.isin(day, list(options.working_days)) & (hour >= begin) & (hour < end)
    at_work = _mean(flows[working].sum(), hours[working].sum())
    at_rest = _mean(flows[~working].sum(), hours[~working].sum())
    return at_work / at_rest if at_work is not None and at_rest else None


def autocorrelation(series: NDArray[np.int64]) -> list[dict[str, Any]]:
    """Return the sample autocorrelation of a series at LAGS that are shorter than it.

    Args:
        series: int64, shape (n,): a number for each hour.
    """
    around = series - series.mean() if len(series) else np.zeros(0)
    power = around @ around
    return [
        {"lag": lag, "value": float(around[:-lag] @ around[lag:] / power) if power else None}
        for lag in LAGS
        if lag < len(series)
    ]
