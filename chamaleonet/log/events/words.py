"""A flow's verdict in words, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chamaleonet.log.columns import protocol_name

if TYPE_CHECKING:
    from chamaleonet.log.events.rows import Row

# The ICMP errors that judge flows, by IP version, type and code, in the words of IANA's registries
# (https://www.iana.org/assignments/icmp-parameters, https://www.iana.org/assignments/icmpv6-parameters).
_ICMP = {
    (4, 3, 0): "net unreachable",
    (4, 3, 1): "host unreachable",
    (4, 3, 2): "protocol unreachable",
    (4, 3, 3): "port unreachable",
    (4, 3, 5): "source route failed",
    (4, 3, 6): "destination network unknown",
    (4, 3, 7): "destination host unknown",
    (4, 3, 9): "network administratively prohibited",
    (4, 3, 10): "host administratively prohibited",
    (4, 3, 13): "communication administratively prohibited",
    (4, 11, 0): "time to live exceeded in transit",
    (4, 11, 1): "fragment reassembly time exceeded",
    (6, 1, 0): "no route to destination",
    (6, 1, 1): "communication administratively prohibited",
    (6, 1, 2): "beyond scope of source address",
    (6, 1, 3): "address unreachable",
    (6, 1, 4): "port unreachable",
    (6, 1, 5): "source address failed ingress/egress policy",
    (6, 1, 6): "reject route to destination",
    (6, 3, 0): "hop limit exceeded in transit",
    (6, 3, 1): "fragment reassembly time exceeded",
}
_ICMP_TYPES = {
    (4, 3): "destination unreachable", (4, 11): "time exceeded", (4, 12): "parameter problem",
    (6, 1): "destination unreachable", (6, 3): "time exceeded", (6, 4): "parameter problem",
}  # fmt: skip


def _icmp(row: Row) -> str:
    kind, code = row.icmp_type or 0, row.icmp_code or 0
    name = _ICMP.get((row.version, kind, code)) or _ICMP_TYPES.get((row.version, kind), "error")
    return f"{name} (ICMP {kind}/{code}) from {row.icmp_sender}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def reason(row: Row) -> str:
    """Return why the flow has its verdict, and that it is not to be relied on if it is not."""
    return _why(row) + ("" if row.quality == "sound" else f" ({row.quality})")


def _why(row: Row) -> str:
    if row.verdict == "unanswered":
        return f"no answer to {_count(row.attempts, 'attempt')}"
    if row.verdict == "icmp_error":
        return _icmp(row)
    if row.verdict == "refused":
        return "reset by the server"
    if row.verdict in ("answered", "recovered") and row.reply_delay is not None:
        return f"answered after {row.reply_delay / 1e9:.3f} s"
    return _REASONS[row.verdict]


_REASONS = {
    "answered": "answered",
    "recovered": "answered late",
    "pending": "not decided yet",
    "midstream": "began before it was watched",
    "unsolicited": "a reply that nobody asked for",
}


def end(address: str, port: int | None) -> str:
    """Return one end of a flow; the brackets are those of RFC 3986."""
    if port is None:
        return address
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def sentence(row: Row) -> str:
    """Return the verdict as one line: what became of which flow, and why."""
    return (
        f"{row.verdict} {row.direction} {protocol_name(row.protocol)}"
        f" {end(row.client, row.client_port)} -> {end(row.server, row.server_port)}: {reason(row)}"
    )
