"""Counters that follow what somebody else counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from prometheus_client import Counter


class Total:
    """A counter that follows a total which somebody else counts."""

    def __init__(self, increase: Callable[[float], None]) -> None:
        self._increase = increase
        self._last = 0.0

    def follow(self, total: float) -> None:
        """Raise the counter to ``total``."""
        if total > self._last:
            self._increase(total - self._last)
            self._last = total


class Totals:
    """A counter with one label that follows totals which somebody else counts."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._totals: dict[str, Total] = {}

    def follow(self, totals: Mapping[str, int]) -> None:
        """Raise the counter's children to ``totals``."""
        for label, total in totals.items():
            if label not in self._totals:
                self._totals[label] = Total(self._counter.labels(label).inc)
            self._totals[label].follow(total)
