"""Time in the tables: integers of nanoseconds since 1970 UTC.

Spark's timestamps end at microseconds and the log's do not, so no query sees a timestamp: with
integers both engines compute the same, to the nanosecond.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ibis.expr.types as ir

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 3600 * SECOND
DAY = 24 * HOUR

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def floor(time: ir.IntegerColumn, step: int) -> ir.IntegerColumn:
    """Return the start of the interval of ``step`` ns, counted from 1970, that a time is in.

    Ibis divides integers as floating-point numbers, which have not enough digits for a
    nanosecond; a remainder is exact.
    """
    return time - time % step


def nanoseconds(time: datetime) -> int:
    """Return a time, which must have a time zone, as nanoseconds since 1970 UTC."""
    passed = time - _EPOCH
    return (passed.days * 86400 + passed.seconds) * SECOND + passed.microseconds * 1000


def iso(time: int) -> str:
    """Return a time as ISO 8601 in UTC: to the second, or where that is not all, nanosecond."""
    second, fraction = divmod(time, SECOND)
    text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{fraction:09d}Z" if fraction else f"{text}Z"
