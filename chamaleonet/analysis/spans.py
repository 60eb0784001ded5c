"""The time that a log covers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chamaleonet.analysis.source import Logs


def observed(logs: Logs) -> tuple[int, int] | None:
    """Return the first and the last time that flows or counters tell of, None for an empty log.

    Of a flow it is its last packet's time: it may have begun long before the log did.
    """
    rows = [
        logs.row(table.aggregate(begin=table[time].min(), end=table[time].max()))
        for table, time in ((logs.flows, "last"), (logs.healthy, "minute"))
    ]
    known = [(row["begin"], row["end"]) for row in rows if row["begin"] is not None]
    if not known:
        return None
    begins, ends = zip(*known, strict=True)
    return min(begins), max(ends)
