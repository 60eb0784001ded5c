"""The columns of the flow log: what each is called, holds and means.

The Arrow schema, the JSON Schema and the table in docs/flow-log.md are made from COLUMNS.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from chamaleonet.flows.records import Direction, Quality
from chamaleonet.flows.transitions import VERDICTS

# Protocols with a name in the log (https://www.iana.org/assignments/protocol-numbers); any other
# is its number.
PROTOCOLS = {
    1: "icmp", 2: "igmp", 4: "ipip", 6: "tcp", 8: "egp", 17: "udp", 33: "dccp", 41: "ipv6",
    46: "rsvp", 47: "gre", 50: "esp", 51: "ah", 58: "icmpv6", 88: "eigrp", 89: "ospf",
    97: "etherip", 103: "pim", 108: "ipcomp", 112: "vrrp", 115: "l2tp", 132: "sctp",
    136: "udplite", 137: "mpls-in-ip",
}  # fmt: skip

# The protocols whose flows have ports.
PORT_PROTOCOLS = (6, 17, 33, 132, 136)


def protocol_name(number: int) -> str:
    """Return how the log writes an IP protocol."""
    return PROTOCOLS.get(number, str(number))


class Kind(Enum):
    """A column's type: as Arrow and Parquet call it, and as JSON Schema describes it."""

    TIME = (
        "timestamp[ns, tz=UTC]",
        {
            "type": "string",
            "format": "date-time",
            "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$",
        },
    )
    LABEL = ("dictionary<string>", {"type": "string"})
    TEXT = ("string", {"type": "string"})
    UINT8 = ("uint8", {"type": "integer", "minimum": 0, "maximum": 2**8 - 1})
    UINT16 = ("uint16", {"type": "integer", "minimum": 0, "maximum": 2**16 - 1})
    UINT32 = ("uint32", {"type": "integer", "minimum": 0, "maximum": 2**32 - 1})
    UINT64 = ("uint64", {"type": "integer", "minimum": 0, "maximum": 2**64 - 1})
    SECONDS = ("float64", {"type": "number", "minimum": 0})

    def __init__(self, arrow: str, schema: dict[str, Any]) -> None:
        self.arrow = arrow
        self.schema = schema


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        name: as in Parquet and JSON.
        kind: its type.
        meaning: one sentence, without a full stop.
        unit: empty where the values are no quantity.
        null: when the value is missing; empty for never.
        values: all values that there are, where they can be listed.
        before: the value of rows that were written before there was this column; empty where
            there always was.
    """

    name: str
    kind: Kind
    meaning: str
    unit: str = ""
    null: str = ""
    values: tuple[str, ...] = ()
    before: str = ""


_NO_PORTS = "the protocol has no ports; an ICMP identifier is none"
_NO_ICMP = "no ICMP error judged the flow"

COLUMNS = (
    Column("first", Kind.TIME, "time of the flow's first packet", "UTC"),
    Column("last", Kind.TIME, "time of its last packet so far, in either direction", "UTC"),
    Column(
        "judged", Kind.TIME, "when it came to its verdict: a packet's time, or the deadline", "UTC",
        null="the verdict is pending or midstream: nothing was judged",
    ),
    Column(
        "verdict", Kind.LABEL, "what became of the flow, by docs/verdicts.md",
        values=tuple(state.label for state in VERDICTS),
    ),
    Column(
        "direction", Kind.LABEL, "where client and server are, by the internal prefixes",
        values=tuple(direction.label for direction in Direction),
    ),
    Column("protocol", Kind.LABEL, "IP protocol: its name in lower case, or its number as text"),
    Column("client", Kind.TEXT, "address of the end that sent the first packet (RFC 5952)"),
    Column("client_port", Kind.UINT16, "port of the client", null=_NO_PORTS),
    Column("server", Kind.TEXT, "address of the other end"),
    Column("server_port", Kind.UINT16, "port of the server", null=_NO_PORTS),
    Column("vlan", Kind.UINT16, "outermost VLAN of the first packet", null="untagged"),
    Column(
        "attempts", Kind.UINT32,
        "requests that the client sent: SYNs, datagrams or queries, the first included", "packets",
    ),
    Column("client_packets", Kind.UINT32, "packets from client to server", "packets"),
    Column("server_packets", Kind.UINT32, "packets from server to client", "packets"),
    Column("client_bytes", Kind.UINT64, "bytes from client to server, frames on the wire", "bytes"),
    Column("server_bytes", Kind.UINT64, "bytes from server to client, frames on the wire", "bytes"),
    Column(
        "reply_delay", Kind.SECONDS, "from the first packet to the first valid reply", "seconds",
        null="no valid reply was seen",
    ),
    Column("icmp_type", Kind.UINT8, "type of the ICMP error that judged the flow", null=_NO_ICMP),
    Column("icmp_code", Kind.UINT8, "code of that ICMP error", null=_NO_ICMP),
    Column("icmp_sender", Kind.TEXT, "address that sent that ICMP error", null=_NO_ICMP),
    Column("community_id", Kind.TEXT, "Community ID version 1, seed 0, of the flow"),
    Column(
        "quality", Kind.LABEL, "how far the verdict can be relied on, see docs/visibility.md",
        values=tuple(quality.label for quality in Quality), before=Quality.SOUND.label,
    ),
)  # fmt: skip


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of one line of the JSON Lines flow log."""
    properties = {}
    for column in COLUMNS:
        schema = dict(column.kind.schema)
        if column.values:
            schema["enum"] = list(column.values)
        if column.null:
            schema["type"] = [schema["type"], "null"]
        unit = f"; {column.unit}" if column.unit else ""
        null = f"; null: {column.null}" if column.null else ""
        properties[column.name] = {"description": f"{column.meaning}{unit}{null}", **schema}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "ChamaleoNet flow log record",
        "type": "object",
        "properties": properties,
        "required": [column.name for column in COLUMNS],
        "additionalProperties": False,
    }


def markdown(columns: tuple[Column, ...] = COLUMNS) -> str:
    """Return a table of columns as docs/flow-log.md shows it."""
    rows = ["| column | type | unit | meaning | null where |", "| --- | --- | --- | --- | --- |"]
    for column in columns:
        values = f" ({', '.join(column.values)})" if column.values else ""
        rows.append(
            f"| `{column.name}` | `{column.kind.arrow}` | {column.unit}"
            f" | {column.meaning}{values} | {column.null or 'never'} |"
        )
    return "\n".join(rows) + "\n"
