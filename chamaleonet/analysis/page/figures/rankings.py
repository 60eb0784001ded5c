"""Who, or what, has most: bars."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chamaleonet.analysis.page import charts, words
from chamaleonet.analysis.page.charts import Bar, Piece
from chamaleonet.analysis.page.figures.figure import MOST_BARS, figure, legend, ranked, service

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chamaleonet.analysis.page.figures.figure import Figure, Row

FAN_OUT = {"scanner": "c1", "other": "well"}


def scanners(value: Row) -> Iterator[Figure]:
    """Yield the clients of most servers, scanners apart."""
    rows = value["fan_out"][:MOST_BARS]
    if not rows:
        return
    scanning = {row["client"] for row in value["list"]}
    bars = []
    for row in rows:
        kind = "scanner" if row["client"] in scanning else "other"
        size = words.count(row["servers"])
        tip = f"{row['client']}, {kind}: {size} servers, {words.count(row['failed'])} failed flows"
        bars.append(Bar(row["client"], [Piece(FAN_OUT[kind], row["servers"], tip)], size))
    title = "Distinct servers by client"
    kinds = ("scanner" if row["client"] in scanning else "other" for row in rows)
    drawing = charts.bars(title, bars, whole=max(row["servers"] for row in rows))
    yield figure(title, drawing, legend(FAN_OUT, kinds))


def leaks(value: Row) -> Iterator[Figure]:
    """Yield the flows by prefix."""
    rows = [
        (row["prefix"], row["flows"], f"{row['prefix']}, {row['purpose']}")
        for row in value["prefixes"]
    ]
    yield from _most("Leaked flows by prefix", rows)


def radiation(value: Row) -> Iterator[Figure]:
    """Yield the flows by port, and by campaign."""
    named = [(service(row, "port"), row["flows"]) for row in value["ports"]]
    campaigns = [
        (row["network"], row["flows"], f"{row['network']}, {service(row, 'port')}")
        for row in value["campaigns"]
    ]
    ports = [(name, flows, name) for name, flows in named]
    yield from _most("Unanswered flows from outside by port", ports)
    yield from _most("Campaigns by source network", campaigns)


def _most(title: str, rows: list[tuple[str, int, str]]) -> Iterator[Figure]:
    """Yield the first rows, which have most flows: labels, flows and what they are."""
    shown = rows[:MOST_BARS]
    if shown:
        largest = max(size for _, size, _ in shown)
        yield figure(title, charts.bars(title, ranked(shown, "flows"), whole=largest))
