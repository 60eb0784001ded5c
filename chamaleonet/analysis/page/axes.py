"""Scales of the charts: from values to pixels, with the ticks that people expect."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from chamaleonet.analysis.page import words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_STEPS = (1, 2, 2.5, 5, 10)
_HOUR, _DAY = 3600, 86400
_CLOCK = (
    60, 300, 900, _HOUR, 3 * _HOUR, 6 * _HOUR, 12 * _HOUR, _DAY, 2 * _DAY, 7 * _DAY, 14 * _DAY,
    28 * _DAY, 91 * _DAY, 182 * _DAY, 364 * _DAY,
)  # fmt: skip
_TICKS = 6
# People read durations by these.
_DURATIONS = (0.001, 0.01, 0.1, 1, 10, 60, 600, 3600, 86400, 864000, 8640000)


@dataclass(frozen=True)
class Scale:
    """Values to pixels.

    Attributes:
        low, high: the values at the ends.
        start, end: their pixels.
        ticks: values to mark, and how they read.
        along: what distances are of: the values, or their logarithms.
    """

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[tuple[float, str], ...]
    along: Callable[[float], float] = float

    def __call__(self, given: float) -> float:
        """Return the pixel of a value."""
        low, high = self.along(self.low), self.along(self.high)
        return self.start + (self.along(given) - low) / (high - low) * (self.end - self.start)


def linear(
    low: float, high: float, start: float, end: float,
    *, reads: Callable[[float], str] = words.plain, ticks: int = _TICKS,
) -> Scale:  # fmt: skip
    """Return a scale from ``low`` to the first tick that is not below ``high``."""
    high = high if high > low else low + 1
    rough = (high - low) / ticks
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * step for step in _STEPS if size * step >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    values = [round(n * step, 12) for n in range(first, last + 1)]
    return Scale(values[0], values[-1], start, end, _reading(values, reads))


def shares(start: float, end: float, *, low: float = 0.0) -> Scale:
    """Return a scale of shares up to 1, from one that is at most ``low``."""
    floor = next(floor for floor in (0.9, 0.8, 0.5, 0.0) if floor <= low)
    step = (1 - floor) / (4 if floor in (0.0, 0.8) else 5)
    values = [round(floor + n * step, 3) for n in range(round((1 - floor) / step) + 1)]
    return Scale(floor, 1.0, start, end, _reading(values, lambda part: f"{part:.0%}"))


def logarithmic(
    low: float, high: float, start: float, end: float,
    values: Iterable[float] = _DURATIONS, reads: Callable[[float], str] = words.seconds,
) -> Scale:  # fmt: skip
    """Return a logarithmic scale, by default of seconds; ``low`` is positive."""
    shown = [each for each in values if low <= each <= high]
    return Scale(low, high, start, end, _reading(shown, reads), along=math.log10)


def clock(begin: float, until: float, start: float, end: float, *, ticks: int = _TICKS) -> Scale:
    """Return a scale of times, seconds since 1970, with ticks at round hours or days of UTC."""
    until = max(until, begin + 1)
    step = next((step for step in _CLOCK if (until - begin) / step <= ticks), _CLOCK[-1])
    # Days are counted from a Monday.
    monday = 4 * _DAY
    first = math.ceil((begin - monday) / step) * step + monday
    values = range(first, math.floor(until) + 1, step)
    pattern = "%-d %b" if step >= _DAY else "%-d %b %H:%M" if until - begin > _DAY else "%H:%M"
    return Scale(
        begin, until, start, end, _reading(values, lambda at: moment(at).strftime(pattern))
    )


def moment(seconds: float) -> datetime:
    """Return a time in UTC from seconds since 1970."""
    return datetime.fromtimestamp(seconds, UTC)


def seconds(iso: str) -> float:
    """Return seconds since 1970 of a time of the report."""
    return datetime.fromisoformat(iso).timestamp()


def _reading(
    values: Iterable[float], reads: Callable[[float], str]
) -> tuple[tuple[float, str], ...]:
    return tuple((each, reads(each)) for each in values)
