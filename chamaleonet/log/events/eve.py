"""Events with the field names of Suricata's EVE (https://docs.suricata.io, "Eve JSON Format")."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chamaleonet.flows.records import Query
from chamaleonet.log.columns import protocol_name
from chamaleonet.log.events import ours
from chamaleonet.log.events.fields import (
    ADDRESS,
    COMMUNITY_ID,
    TEXT,
    UINT8,
    UINT16,
    UINT32,
    UINT64,
    Field,
    array,
    one_of,
)
from chamaleonet.log.events.rows import second

if TYPE_CHECKING:
    from chamaleonet.log.events.rows import Row

# As Suricata writes it and readers of EVE expect it: microseconds, an offset without a colon.
_TIME = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+0000$"}

_NO_QUERY = "the flow is no ICMP query"

FIELDS = (
    Field("timestamp", _TIME, "when the verdict came, or of a flow that ended, its last packet"),
    Field("flow_id", *ours.FLOW_ID),
    Field("event_type", one_of("verdict", "flow"), "its verdict changed, or it ended"),
    Field("vlan", array({"type": "integer", "minimum": 1, "maximum": 4095}),
          "outermost VLAN of the first packet", ours.NO_VLAN),
    Field("src_ip", ADDRESS, "the client: the end that sent the first packet (RFC 5952)"),
    Field("src_port", UINT16, "port of the client", ours.NO_PORTS),
    Field("dest_ip", ADDRESS, "the server: the other end"),
    Field("dest_port", UINT16, "port of the server", ours.NO_PORTS),
    Field("proto", TEXT, "IP protocol: its name as Suricata writes it, or its number"),
    Field("icmp_type", UINT8, "type of the client's ICMP messages, such as 8 of a ping", _NO_QUERY),
    Field("icmp_code", UINT8, "their code, which is 0", _NO_QUERY),
    Field("community_id", COMMUNITY_ID, "Community ID version 1, seed 0"),
    Field("flow.pkts_toserver", UINT32, "packets from client to server"),
    Field("flow.pkts_toclient", UINT32, "packets from server to client"),
    Field("flow.bytes_toserver", UINT64, "bytes from client to server, frames on the wire"),
    Field("flow.bytes_toclient", UINT64, "bytes from server to client, frames on the wire"),
    Field("flow.start", _TIME, "time of the flow's first packet"),
    Field("flow.end", _TIME, "time of its last packet so far, in either direction"),
    Field("flow.age", UINT64, "whole seconds from start to end"),
    *ours.fields(_TIME),
)  # fmt: skip

# Where Suricata does not write a protocol's name in capitals.
_UNLIKE = {
    4: "IP-in-IP", 41: "IPv6", 58: "IPv6-ICMP", 108: "IPComp", 136: "UDPLite", 137: "MPLS-in-IP",
}  # fmt: skip
_PROTO = [_UNLIKE.get(number, protocol_name(number).upper()) for number in range(256)]

# The types of request and reply, by protocol and query (RFC 792, RFC 950, RFC 4443).
_ICMP_TYPES = {
    (1, Query.ECHO): (8, 0),
    (1, Query.TIMESTAMP): (13, 14),
    (1, Query.INFORMATION): (15, 16),
    (1, Query.ADDRESS_MASK): (17, 18),
    (58, Query.ECHO): (128, 129),
}


def _time(nanoseconds: int) -> str:
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return f"{second(seconds)}.{rest // 1000:06}+0000"


def event(row: Row, kind: str) -> dict[str, Any]:
    """Return the event that FIELDS describes; ``kind`` is its ``event_type``."""
    found: dict[str, Any] = {
        "timestamp": _time(row.judged if kind == "verdict" else row.last),
        "flow_id": ours.flow_id(row),
        "event_type": kind,
    }
    if row.vlan is not None:
        found["vlan"] = [row.vlan]
    found["src_ip"] = row.client
    if row.client_port is not None:
        found["src_port"] = row.client_port
    found["dest_ip"] = row.server
    if row.server_port is not None:
        found["dest_port"] = row.server_port
    found["proto"] = _PROTO[row.protocol]
    if types := row.query and _ICMP_TYPES.get((row.protocol, Query(row.query))):
        # The client of an unsolicited flow is the one that replied.
        found["icmp_type"], found["icmp_code"] = types[row.verdict == "unsolicited"], 0
    found["community_id"] = row.community_id
    found["flow"] = {
        "pkts_toserver": row.client_packets,
        "pkts_toclient": row.server_packets,
        "bytes_toserver": row.client_bytes,
        "bytes_toclient": row.server_bytes,
        "start": _time(row.first),
        "end": _time(row.last),
        "age": max(row.last - row.first, 0) // 1_000_000_000,
    }
    found["chamaleonet"] = ours.values(row, _time)
    return found
