"""What became of flows and pairs: shares, in which what went well is pale."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from chamaleonet.analysis.page import charts
from chamaleonet.analysis.page.figures.figure import (
    MOST_BARS,
    figure,
    legend,
    ranked,
    service,
    stacked,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chamaleonet.analysis.page.figures.figure import Figure, Row

VERDICTS = {
    "answered": "well", "recovered": "c3", "refused": "c4", "icmp_error": "c2", "unanswered": "c1",
    "unsolicited": "c5", "pending": "pale", "midstream": "paler",
}  # fmt: skip
FAILURES = {"failed": "c1", "came through": "well"}
OUTCOMES = {"answered": "well", "mixed": "c3", "refused": "c4", "unanswered": "c1"}


def verdicts(rows: list[Row]) -> Iterator[Figure]:
    """Yield the verdicts' shares by direction, and by protocol."""
    for title, by in (("Verdicts by direction", "direction"), ("Verdicts by protocol", "protocol")):
        counts: dict[str, Counter[str]] = {}
        for row in rows:
            counts.setdefault(row[by], Counter())[row["verdict"]] += row["flows"]
        chosen = sorted(counts.items(), key=lambda each: -each[1].total())
        if chosen:
            yield figure(
                title,
                charts.bars(title, stacked(chosen[:MOST_BARS], VERDICTS, "flows")),
                legend(VERDICTS, (key for _, each in chosen for key in each)),
            )


def host_pairs(value: Row) -> Iterator[Figure]:
    """Yield the outcomes' shares by locality, and by server port."""
    localities = [(row["locality"], _outcomes(row)) for row in value["localities"]]
    ports = [(f"{service(row)} {row['locality']}", _outcomes(row)) for row in value["ports"]]
    for title, rows in (("By locality", localities), ("By server port", ports)):
        chosen = [each for each in rows if any(each[1].values())][:MOST_BARS]
        if chosen:
            yield figure(
                title,
                charts.bars(
                    f"Logged host pairs by outcome, {title.lower()}",
                    stacked(chosen, OUTCOMES, "pairs"),
                ),
                legend(OUTCOMES, (key for _, each in chosen for key in each if each[key])),
            )


def _outcomes(row: dict[str, Any]) -> dict[str, int]:
    return {outcome: row[outcome] for outcome in OUTCOMES}


def applications(value: Row) -> Iterator[Figure]:
    """Yield how many flows of each application failed."""
    rows = sorted(value["categories"], key=lambda row: -(row["flows"] or row["failed"]))
    rows = rows[:MOST_BARS]
    if not rows:
        return
    named = [(f"{row['category']} {row['direction']}", row) for row in rows]
    title = "Failed flows by application"
    if all(row["flows"] is not None for row in rows):
        counts = [
            (label, {"failed": row["failed"], "came through": row["flows"] - row["failed"]})
            for label, row in named
        ]
        bars = stacked(counts, FAILURES, "flows")
        yield figure(title, charts.bars(title, bars), legend(FAILURES, FAILURES))
    else:
        bars = ranked(((label, row["failed"], label) for label, row in named), "failed flows")
        yield figure(title, charts.bars(title, bars, whole=max(row["failed"] for row in rows)))
