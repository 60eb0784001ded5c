"""Which charts show which table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chamaleonet.analysis.page.figures import distributions, outcomes, overtime, rankings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from chamaleonet.analysis.page.figures.figure import Figure

_FIGURES: dict[str, Callable[[Any], Iterable[Figure]]] = {
    "verdicts": outcomes.verdicts,
    "health": overtime.health,
    "host_pairs": outcomes.host_pairs,
    "skew": distributions.skew,
    "stability": overtime.stability,
    "retries": distributions.retries,
    "scanners": rankings.scanners,
    "timeouts": distributions.timeouts,
    "simultaneous": overtime.simultaneous,
    "leaks": rankings.leaks,
    "network_change": distributions.network_change,
    "applications": outcomes.applications,
    "radiation": rankings.radiation,
}


def of(name: str, value: Any) -> list[Figure]:
    """Return the charts of a table's value; none where there is nothing to draw."""
    return list(_FIGURES[name](value)) if name in _FIGURES else []
