"""Events with the field names of the Elastic Common Schema.

https://www.elastic.co/docs/reference/ecs; of its versions the one that ECS_VERSION names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chamaleonet import __version__
from chamaleonet.flows.records import Quality
from chamaleonet.flows.transitions import State
from chamaleonet.log.columns import protocol_name
from chamaleonet.log.events import ours
from chamaleonet.log.events.fields import (
    ADDRESS,
    COMMUNITY_ID,
    TEXT,
    UINT16,
    UINT32,
    Field,
    array,
    one_of,
    unsigned,
)
from chamaleonet.log.events.rows import rfc3339
from chamaleonet.log.events.words import sentence

if TYPE_CHECKING:
    from chamaleonet.log.events.rows import Row

ECS_VERSION = "8.17.0"

_TIME = {
    "type": "string",
    "format": "date-time",
    "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$",
}
_LONG = unsigned(63)  # Elasticsearch's largest integer type, of what is not negative
_MOST = _LONG["maximum"]
_KEYWORD_NUMBER = {"type": "string", "pattern": r"^\d+$"}

FIELDS = (
    Field("@timestamp", _TIME, "when the verdict came, or of a flow that ended, its last packet"),
    Field("ecs.version", one_of(ECS_VERSION), "the version of the schema"),
    Field("message", TEXT, "the event in words"),
    Field("event.kind", one_of("event"), "no alert: a rule of yours may make it one"),
    Field("event.category", array(one_of("network")), "what it is about"),
    Field("event.type", array(one_of("connection", "info", "end")),
          "`connection`, and `info` where the verdict changed or `end` where the flow ended"),
    Field("event.action", one_of("verdict", "flow"), "its verdict changed, or it ended"),
    Field("event.module", one_of("chamaleonet"), "who tells"),
    Field("event.dataset", one_of("chamaleonet.verdict", "chamaleonet.flow"), "module and action"),
    Field("event.outcome", one_of("success", "failure", "unknown"),
          "`success` of an answered or recovered flow, `failure` of one that was refused, stayed"
          " unanswered or got an ICMP error; `unknown` of a failure that is suspect"),
    Field("event.start", _TIME, "time of the flow's first packet"),
    Field("event.end", _TIME, "time of its last packet so far, in either direction"),
    Field("event.duration", _LONG, "nanoseconds from start to end"),
    Field("source.ip", ADDRESS, "the client: the end that sent the first packet (RFC 5952)"),
    Field("source.port", UINT16, "port of the client", ours.NO_PORTS),
    Field("source.packets", UINT32, "packets from client to server"),
    Field("source.bytes", _LONG, "bytes from client to server, frames on the wire"),
    Field("destination.ip", ADDRESS, "the server: the other end"),
    Field("destination.port", UINT16, "port of the server", ours.NO_PORTS),
    Field("destination.packets", UINT32, "packets from server to client"),
    Field("destination.bytes", _LONG, "bytes from server to client, frames on the wire"),
    Field("network.type", one_of("ipv4", "ipv6"), "IP version"),
    Field("network.transport", TEXT, "IP protocol: its name in lower case, or its number"),
    Field("network.iana_number", _KEYWORD_NUMBER, "IP protocol number, a keyword"),
    Field("network.community_id", COMMUNITY_ID, "Community ID version 1, seed 0"),
    Field("network.direction", one_of("outbound", "inbound", "internal", "external"),
          "where client and server are, by the internal prefixes; transit is `external` here"),
    Field("network.packets", unsigned(33), "packets in both directions"),
    Field("network.bytes", _LONG, "bytes in both directions"),
    Field("network.vlan.id", _KEYWORD_NUMBER, "outermost VLAN of the first packet, a keyword",
          ours.NO_VLAN),
    Field("related.ip", array(ADDRESS), "all addresses in the event"),
    Field("observer.product", one_of("ChamaleoNet"), "who saw it"),
    Field("observer.type", one_of("sensor"), "what kind of device that is"),
    Field("observer.version", TEXT, "its version"),
    Field("chamaleonet.flow_id", *ours.FLOW_ID),
    *ours.fields(_TIME),
)  # fmt: skip

_OUTCOMES = {
    State.ANSWERED: "success", State.RECOVERED: "success",
    State.REFUSED: "failure", State.ICMP_ERROR: "failure", State.UNANSWERED: "failure",
    State.PENDING: "unknown", State.MIDSTREAM: "unknown", State.UNSOLICITED: "unknown",
}  # fmt: skip
_OUTCOME = {state.label: outcome for state, outcome in _OUTCOMES.items()}
_SUSPECT = Quality.SUSPECT.label
_TYPES = {"verdict": ["connection", "info"], "flow": ["connection", "end"]}
_OBSERVER = {"product": "ChamaleoNet", "type": "sensor", "version": __version__}


def _outcome(row: Row) -> str:
    outcome = _OUTCOME[row.verdict]
    return "unknown" if outcome == "failure" and row.quality == _SUSPECT else outcome


def _transport(protocol: int) -> str:
    return "ipv6-icmp" if protocol == 58 else protocol_name(protocol)


def event(row: Row, kind: str) -> dict[str, Any]:
    """Return the event that FIELDS describes; ``kind`` is its ``event.action``."""
    start, end = rfc3339(row.first), rfc3339(row.last)
    source: dict[str, Any] = {"ip": row.client}
    destination: dict[str, Any] = {"ip": row.server}
    if row.client_port is not None:
        source["port"], destination["port"] = row.client_port, row.server_port
    client_bytes, server_bytes = min(row.client_bytes, _MOST), min(row.server_bytes, _MOST)
    source["packets"], source["bytes"] = row.client_packets, client_bytes
    destination["packets"], destination["bytes"] = row.server_packets, server_bytes
    network: dict[str, Any] = {
        "type": "ipv4" if row.version == 4 else "ipv6",
        "transport": _transport(row.protocol),
        "iana_number": str(row.protocol),
        "community_id": row.community_id,
        "direction": "external" if row.direction == "transit" else row.direction,
        "packets": row.client_packets + row.server_packets,
        "bytes": min(client_bytes + server_bytes, _MOST),
    }
    if row.vlan is not None:
        network["vlan"] = {"id": str(row.vlan)}
    related = [row.client, row.server]
    if row.icmp_sender not in (None, row.server):
        related.append(row.icmp_sender)
    return {
        "@timestamp": rfc3339(row.judged) if kind == "verdict" else end,
        "ecs": {"version": ECS_VERSION},
        "message": sentence(row),
        "event": {
            "kind": "event",
            "category": ["network"],
            "type": _TYPES[kind],
            "action": kind,
            "module": "chamaleonet",
            "dataset": f"chamaleonet.{kind}",
            "outcome": _outcome(row),
            "start": start,
            "end": end,
            "duration": max(row.last - row.first, 0),
        },
        "source": source,
        "destination": destination,
        "network": network,
        "related": {"ip": related},
        "observer": _OBSERVER,
        "chamaleonet": {"flow_id": ours.flow_id(row), **ours.values(row, rfc3339)},
    }
