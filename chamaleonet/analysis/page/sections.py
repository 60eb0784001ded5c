"""The report's tables as sections of the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chamaleonet.analysis import schema
from chamaleonet.analysis.page import figures, grids, words
from chamaleonet.analysis.parts import lists, numbers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from chamaleonet.analysis.page.figures.figure import Figure
    from chamaleonet.analysis.page.grids import Grid

# What the lists of a table are called where their key does not say it; other keys read as they are.
_CAPTIONS: dict[tuple[str, ...], str] = {
    ("health", "all", "hours"): "All ports, by hour",
    ("health", "web", "hours"): "Web ports, by hour",
    ("host_pairs", "ports"): "By server port",
    ("host_pairs", "localities"): "By locality",
    ("skew", "clients", "lorenz"): "Lorenz curve of clients",
    ("skew", "servers", "lorenz"): "Lorenz curve of servers",
    ("skew", "clients", "top"): "Clients with most erroneous flows",
    ("skew", "servers", "top"): "Servers with most erroneous flows",
    ("stability", "clients", "hours_of_week"): "Hour of the week, clients",
    ("stability", "servers", "hours_of_week"): "Hour of the week, servers",
    ("stability", "clients", "autocorrelation"): "Autocorrelation, clients",
    ("stability", "servers", "autocorrelation"): "Autocorrelation, servers",
    ("retries", "cdf"): "Distribution of gaps",
    ("retries", "frequent"): "Most frequent gaps",
    ("retries", "periodic"): "Persistent periodic failures",
    ("scanners", "list"): "Scanners",
    ("scanners", "fan_out"): "Clients of many servers",
    ("timeouts", "percentiles"): "Percentiles of addresses' percentiles of reply delay",
    ("timeouts", "delays"): "Distribution of reply delay",
    ("timeouts", "late"): "Late replies",
    ("timeouts", "judged"): "Verdicts under other timeouts",
    ("artefacts", "duplicates"): "Duplicate responders",
    ("artefacts", "duplicates_counted"): "Duplicate responders among healthy flows",
    ("artefacts", "wakeup"): "First-packet wake-up",
    ("artefacts", "unreachable"): "Late replies that provoked ICMP errors",
    ("leaks", "prefixes"): "By prefix",
    ("leaks", "hosts"): "By leaking host",
    ("network_change", "curve"): "Failures by time since the host appeared",
    ("radiation", "summary"): "In all",
    ("radiation", "sources"): "By source",
    ("radiation", "ports"): "By port",
    ("radiation", "campaigns"): "Campaigns",
    ("radiation", "backscatter"): "Backscatter",
    ("applications", "categories"): "By application",
    ("applications", "popularity"): "Popular and rare ports",
    ("applications", "ports"): "Ports with most failed flows",
}
# What a chart shows already: to be opened by who wants the numbers.
_BEHIND_CHARTS = {"hours", "lorenz", "hours_of_week", "autocorrelation", "cdf", "delays", "curve"}
_MISSING: dict[tuple[str, ...], str] = {
    ("timeouts", "percentiles"): "> 60 s",
    ("timeouts", "delays"): "any",
}
# What it means that there is nothing in a table.
_NOTHING = {
    "verdicts": "no flow in this time",
    "health": "no flow that an internal host began came to a verdict",
    "host_pairs": "every pair's flows were answered, or none was seen",
    "skew": "no internal host was seen",
    "stability": "no erroneous flow in this time",
    "retries": "no failing flow was tried again",
    "scanners": "no client tried address after address, and none contacted very many",
    "timeouts": "no flow was answered, late or in time",
    "artefacts": "no reply was out of the ordinary",
    "simultaneous": "no more servers began to fail at once than chance allows",
    "leaks": "no failed flow left for an address that should stay inside",
    "network_change": "no address appeared that failed in its first hour",
    "applications": "no flow in this time",
    "radiation": "nothing came in unasked",
}


@dataclass(frozen=True)
class Section:
    """A table of the report.

    Attributes:
        name: its key, the section's anchor.
        number: its place in the report, from 1.
        title, unit, vantage, note: as in the report's ``about``.
        numbers: single numbers in groups: what a group is of, "" for the whole; labels and values.
        figures: charts.
        grids: lists of rows.
        folded: lists of rows that the charts show.
        empty: captions of lists without rows.
    """

    name: str
    number: int
    title: str
    unit: str
    vantage: str
    note: str
    numbers: Sequence[tuple[str, Sequence[tuple[str, str]]]]
    figures: Sequence[Figure]
    grids: Sequence[Grid]
    folded: Sequence[Grid]
    empty: Sequence[str]

    @property
    def nothing(self) -> str:
        """What to say where there is nothing at all to show; "" where there is."""
        return "" if self.figures or self.grids else f"Nothing here: {_NOTHING[self.name]}."


def sections(report: Mapping[str, Any]) -> list[Section]:
    """Return the sections of a report, in its order."""
    about = report["about"]["tables"]
    return [
        _section(name, number, value, about[name])
        for number, (name, value) in enumerate(report["tables"].items(), 1)
    ]


def _section(name: str, number: int, value: Any, about: Mapping[str, Any]) -> Section:
    shown: list[Grid] = []
    folded: list[Grid] = []
    empty: list[str] = []
    for path, rows in lists(value):
        full = (name, *path)
        caption = _CAPTIONS.get(full, about["title"])
        if rows:
            missing = _MISSING.get(full, words.NONE)
            grid = grids.grid(
                caption, rows, schema.columns(full), about["columns"], missing=missing
            )
            (folded if path and path[-1] in _BEHIND_CHARTS else shown).append(grid)
        else:
            empty.append(caption)
    return Section(
        name=name,
        number=number,
        title=words.text(about["title"]),
        unit=words.text(about["unit"]),
        vantage=words.text(about["vantage"]),
        note=words.text(about["note"]),
        numbers=_numbers(name, value, about["columns"]),
        figures=figures.of(name, value),
        grids=shown,
        folded=folded,
        empty=empty,
    )


def _numbers(
    name: str, value: Any, columns: Mapping[str, Mapping[str, str]]
) -> list[tuple[str, list[tuple[str, str]]]]:
    groups: dict[str, list[tuple[str, str]]] = {}
    for path, given in numbers(value):
        reads = words.value(given, schema.unit(schema.at((name, *path))))
        group = " ".join(map(words.name, path[:-1]))
        groups.setdefault(group, []).append((columns[path[-1]]["label"], reads))
    return list(groups.items())
