"""When redirect rules were in the switches, by what ``ovs-ofctl monitor --timestamp`` printed.

Times are UTC (the monitor was run so) and whole milliseconds.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import TYPE_CHECKING, NamedTuple

from chamaleonet.errors import UserError
from chamaleonet.switch.match import FlowKey
from chamaleonet.switch.rules import Cookie, Kind, Rule, rule_text

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import numpy as np

Fields = frozenset[str]  # words of a match, such as "nw_src=10.0.0.1"

_TIME = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}): ")
_EVENT = re.compile(r" event=(\w+).* table=(\d+).* cookie=(0x[0-9a-f]+) (\S*) actions=")
_PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "icmp6": 58, "sctp": 132}
# What a rule asks beyond addresses, protocol and ports.
_BESIDE = ("cookie", "table", "priority", "ct_state", "tcp_flags")
_FOREVER = 1 << 62


class Span(NamedTuple):
    """A rule from when it was there until it was gone, ns."""

    fields: Fields
    since: int
    until: int

    def covers(self, fields: Fields) -> bool:
        """Tell whether the rule matches all that a narrower match does."""
        return all(word in fields or _holds(word, fields) for word in self.fields)


class Rules:
    """The redirect rules of a run.

    Args:
        spans: of all of them.
        aggregates: numbers of the tables in which rules stand for many flows each.
    """

    def __init__(self, spans: Iterable[tuple[int, Span]], aggregates: frozenset[int]) -> None:
        self._own: dict[Fields, list[Span]] = {}
        self._aggregates: list[Span] = []
        for table, span in sorted(spans, key=lambda each: each[1].since):
            if table in aggregates:
                self._aggregates.append(span)
            else:
                self._own.setdefault(span.fields, []).append(span)

    def own(self, fields: Fields) -> list[Span]:
        """Return when there was a rule with just this match, in the order of time."""
        return self._own.get(fields, [])

    def aggregated(self, fields: Fields) -> list[Span]:
        """Return when there was an aggregate that stood for such a rule."""
        return [span for span in self._aggregates if span.covers(fields)]


def fields_of(flow: np.void) -> Fields:
    """Return what the redirect rule of a flow (FLOW) matches."""
    match = FlowKey.of(flow).matchable.client_to_server()
    return _fields(rule_text(Rule(0, 0, match)).partition(" actions=")[0])


def read(files: Iterable[Path], aggregates: frozenset[int]) -> Rules:
    """Read what monitors printed.

    Args:
        files: one for each switch.
        aggregates: as ``Rules`` has it.

    Raises:
        UserError: a file cannot be read.
    """
    spans: list[tuple[int, Span]] = []
    for path in files:
        try:
            text = path.read_text(errors="replace")
        except OSError as error:
            raise UserError(f"{path}: {error.strerror}") from None
        spans += _spans(text)
    return Rules(spans, aggregates)


def _spans(text: str) -> list[tuple[int, Span]]:
    found, time = [], 0
    there: dict[tuple[int, Fields], int] = {}
    for line in text.splitlines():
        if stamp := _TIME.match(line):
            moment = datetime.fromisoformat(stamp[1]).replace(tzinfo=UTC)
            time = round(moment.timestamp() * 1000) * 10**6
        event = _EVENT.match(line)
        if event is None:
            continue
        cookie = Cookie.of(int(event[3], 16))
        if cookie is None or cookie.kind is not Kind.REDIRECT:
            continue
        place = int(event[2]), _fields(event[4])
        if event[1] == "DELETED":
            if place in there:
                found.append((place[0], Span(place[1], there.pop(place), time)))
        else:
            there.setdefault(place, time)
    return found + [
        (table, Span(fields, since, _FOREVER)) for (table, fields), since in there.items()
    ]


def _fields(text: str) -> Fields:
    """Return a match as words that are the same whoever wrote it."""
    words: set[str] = set()
    for word in text.split(","):
        name, _, _ = word.partition("=")
        if name in _BESIDE or not word:
            continue
        if (protocol := _PROTOCOLS.get(name.removesuffix("6") if name != "icmp6" else name)) and (
            "=" not in word
        ):
            words |= {"ipv6" if name.endswith("6") else "ip", f"nw_proto={protocol}"}
        else:
            words.add(word)
    return frozenset(words)


def _holds(word: str, fields: Fields) -> bool:
    """Tell whether a word with a prefix holds the address that stands in its place."""
    name, _, prefix = word.partition("=")
    if "/" not in prefix:
        return False
    network = ip_network(prefix, strict=False)
    return any(
        ip_network(value) in (network,) or ip_network(value).subnet_of(network)  # type: ignore[arg-type]
        for key, _, value in (each.partition("=") for each in fields)
        if key == name
    )
