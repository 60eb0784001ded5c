"""Numbers and lists as people say them."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chamaleonet.analysis.findings.finding import Evidence

_UNITS = ((86400, "days"), (3600, "hours"), (60, "minutes"), (1, "seconds"))


def count(number: int, noun: str) -> str:
    """Return ``1 host`` or ``1,234 hosts``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {_plural(noun)}"


def _plural(noun: str) -> str:
    return noun[:-1] + "ies" if noun.endswith("y") else noun + "s"


def duration(seconds: float) -> str:
    """Return a duration in a unit that suits it: ``90 seconds``, ``1.5 hours``."""
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds >= 2 * size), _UNITS[-1])
    number = f"{float(f'{seconds / size:.2g}'):g}"
    return f"{number} {unit.removesuffix('s') if number == '1' else unit}"


def who(addresses: Sequence[str], noun: str = "host") -> str:
    """Return the address of one, or how many they are."""
    return addresses[0] if len(addresses) == 1 else count(len(addresses), noun)


def every(evidence: Sequence[Evidence]) -> str:
    """Return `` about every 5 minutes,`` by the median period, nothing where there is none."""
    periods = [row.period for row in evidence if row.period]
    return f" about every {duration(median(periods))}," if periods else ""


def listing(words: Sequence[str], most: int = 3) -> str:
    """Return ``a``, ``a and b``, or ``a, b, c and 4 more``."""
    shown = list(words[:most])
    if len(words) > most:
        shown.append(f"{len(words) - most:,} more")
    return shown[0] if len(shown) == 1 else ", ".join(shown[:-1]) + " and " + shown[-1]
