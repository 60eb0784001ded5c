"""What the lists show: their columns, how these are written, and by what they are sorted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chamaleonet.log.columns import protocol_name
from chamaleonet.log.events.rows import rfc3339
from chamaleonet.log.events.words import end, reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from chamaleonet.top.findings import LiveFinding
    from chamaleonet.top.model import Count, Known


@dataclass(frozen=True)
class Column:
    """One column of a list.

    Attributes:
        heading: over the column.
        width: characters; 0: all that is left.
        value: what it is sorted by, of an item and ns since 1970.
        text: what is shown; None: the value.
        number: it stands at the right, and the largest come first.
    """

    heading: str
    width: int
    value: Callable[[Any, int], Any]
    text: Callable[[Any, int], str] | None = None
    number: bool = True

    def shown(self, item: Any, now: int) -> str:
        """Return an item's text in this column."""
        return str(self.value(item, now)) if self.text is None else self.text(item, now)


def age(nanoseconds: int) -> str:
    """Return how long something is ago, in five characters at most."""
    seconds = max(nanoseconds, 0) // 10**9
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{min(seconds // size, 9999)}{unit}"
    return f"{seconds}s"


def _last(count: Count, now: int) -> str:
    return age(now - count.last) if count.last else "-"


def _ends(known: Known) -> str:
    row = known.row
    client, server = end(row.client, row.client_port), end(row.server, row.server_port)
    return f"{client} > {server} {protocol_name(row.protocol)}"


def _judged(known: Known, now: int) -> str:
    return age(now - known.row.judged)


def _verdict(known: Known) -> str:
    return known.row.verdict + ("" if known.row.quality == "sound" else "?")


COUNTS = (
    Column("name", 0, lambda count, _: count.name, number=False),
    Column("now", 6, lambda count, _: count.live),
    Column("minute", 8, lambda count, now: count.minute.count(now)),
    Column("total", 7, lambda count, _: count.total),
    Column("recovered", 11, lambda count, _: count.recovered),
    Column("last", 6, lambda count, _: count.last, _last),
)
FLOWS = (
    Column("flow", 0, lambda known, _: _ends(known), number=False),
    Column("verdict", 11, lambda known, _: _verdict(known), number=False),
    Column("state", 6, lambda known, _: known.state or ("now" if known.live else ""), number=False),
    Column("tries", 7, lambda known, _: known.row.attempts),
    Column("judged", 8, lambda known, _: known.row.judged, _judged),
)  # fmt: skip
FINDINGS = (
    Column("finding", 23, lambda finding, _: finding.kind, number=False),
    Column("at", 21, lambda finding, _: finding.subject, number=False),
    Column("resting on", 0, lambda finding, _: finding.detail, number=False),
    Column("flows", 7, lambda finding, _: len(finding.flows)),
)


def flow_lines(known: Known, now: int) -> list[tuple[str, str]]:
    """Return all that is known of a flow: (what, its value)."""
    row = known.row
    state = known.state or ("erroneous now" if known.live else "no longer erroneous")
    lines = [
        ("client", end(row.client, row.client_port)),
        ("server", end(row.server, row.server_port)),
        ("protocol", protocol_name(row.protocol) + (f", VLAN {row.vlan}" if row.vlan else "")),
        ("direction", row.direction),
        ("verdict", f"{row.verdict}: {reason(row)}"),
        ("quality", known.row.quality),
        ("state", state),
        ("ICMP sender", row.icmp_sender or "-"),
        ("attempts", f"{row.attempts}"),
        ("packets", f"{row.client_packets} to the server, {row.server_packets} to the client"),
        ("bytes", f"{row.client_bytes} to the server, {row.server_bytes} to the client"),
        ("first packet", f"{rfc3339(row.first, 3)}, {age(now - row.first)} ago"),
        ("last packet", f"{rfc3339(row.last, 3)}, {age(now - row.last)} ago"),
        ("Community ID", row.community_id),
    ]
    for when, verdict in known.history:
        lines.append(("became", f"{rfc3339(when, 3)} {verdict}"))
    return lines


def finding_key(finding: LiveFinding) -> str:
    """Return what tells a finding from the others."""
    return f"{finding.kind} {finding.subject} {finding.detail.split(',')[0]}"
