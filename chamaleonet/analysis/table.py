"""What a table of the report is, and what one may choose for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from chamaleonet.analysis.indicators import Indicator
    from chamaleonet.analysis.suppressions import Suppression
    from chamaleonet.units import Network


@dataclass(frozen=True)
class Options:
    """What the operator may choose.

    Attributes:
        timezone: of working hours and hours of the week.
        working_hours: first hour of the working day, and the hour that it ends with.
        working_days: days of the week that are worked, Monday is 0.
        internal_only: prefixes that must not be seen outside.
        timeout: seconds that the log's verdicts waited for a reply.
        without_scanners: leave out what scanners began, in every table but ``scanners``.
        indicators: addresses that must not be talked to, each with where that is said.
        suppressions: findings not to be shown.
    """

    timezone: tzinfo = UTC
    working_hours: tuple[int, int] = (9, 17)
    working_days: frozenset[int] = frozenset(range(5))
    internal_only: tuple[Network, ...] = ()
    timeout: float = 3.0
    without_scanners: bool = False
    indicators: tuple[Indicator, ...] = ()
    suppressions: tuple[Suppression, ...] = ()


@dataclass(frozen=True)
class Table:
    """One table of the report.

    Attributes:
        name: as in JSON, under ``tables``.
        title: a few words.
        unit: what is counted: packets, flows or host pairs.
        vantage: whose traffic, seen from where.
        note: what was done, by which source, and what the log cannot tell.
        value: what goes to JSON: a list of rows, or a dict of named lists and numbers.
        columns: of all rows in ``value``: what to call a column, and its unit or "".
    """

    name: str
    title: str
    unit: str
    vantage: str
    note: str
    value: list[dict[str, Any]] | dict[str, Any]
    columns: Mapping[str, tuple[str, str]] = field(default_factory=dict)
