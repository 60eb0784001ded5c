"""What the verdict stream says: the messages, field by field, and their way to and from records.

A message is a MessagePack map. The tables here are the stream's definition: docs/verdict-stream.md
is made from them, and both ends read and write by them. A consumer may ignore fields that it does
not know; a producer leaves none out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from chamaleonet.capture.link import LinkType
from chamaleonet.flows.records import (
    CAPTURED,
    FLOW,
    MARK_CLIENT_HIGH,
    SLAB_BYTES,
    Direction,
    Query,
    Role,
)
from chamaleonet.flows.transitions import State
from chamaleonet.log.columns import PORT_PROTOCOLS

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

PROTOCOL = "chamaleonet-verdicts"
VERSION = 1


class MessageError(Exception):
    """A message that is not what the tables say."""


@dataclass(frozen=True)
class Type:
    """A field's type: its name in the documentation, and what checks a value."""

    name: str
    holds: Callable[[Any], bool]


def _integer(bits: int) -> Type:
    return Type(f"uint {bits}", lambda value: type(value) is int and 0 <= value < 1 << bits)


def _one_of(*labels: str) -> Type:
    return Type("str: " + ", ".join(labels), lambda value: value in labels)


def _or_nil(inner: Type) -> Type:
    return Type(f"{inner.name}, or nil", lambda value: value is None or inner.holds(value))


_U4, _U8, _U12, _U16, _U32, _U64 = (_integer(bits) for bits in (4, 8, 12, 16, 32, 64))
_TIME = Type("int, ns", lambda value: type(value) is int and 0 <= value < 1 << 63)
_TEXT = Type("str", lambda value: type(value) is str)
_ADDRESS = Type("bin, 4 or 16 bytes", lambda value: type(value) is bytes and len(value) in (4, 16))
_HEADERS = Type(
    f"bin, at most {SLAB_BYTES} bytes",
    lambda value: type(value) is bytes and len(value) <= SLAB_BYTES,
)
_LINK = Type("uint 16", lambda value: type(value) is int and value in LinkType.__members__.values())
_VERDICT = _one_of(*(state.label for state in State if state is not State.NONE))
_DIRECTION = _one_of(*(direction.label for direction in Direction))
_FLOW = Type("map, a flow", lambda value: type(value) is dict)
_PACKETS = Type("array of maps, packets", lambda value: type(value) is list and len(value) <= 16)


@dataclass(frozen=True)
class Field:
    """One field: its name, type and meaning."""

    name: str
    type: Type
    meaning: str


FLOW_FIELDS = (
    Field("first", _TIME, "time of the flow's first packet, since 1970 UTC; with the key (protocol,"
                          " query, both ends) it names the flow"),
    Field("last", _TIME, "time of its last packet so far"),
    Field("judged", _TIME, "when it entered its verdict"),
    Field("verdict", _VERDICT, "where it stands, by docs/verdicts.md"),
    Field("direction", _DIRECTION, "by the internal prefixes"),
    Field("protocol", _U8, "IP protocol number"),
    Field("query", _U4, "ICMP query kind: 1 echo, 2 timestamp, 3 information, 4 address mask;"
                        " else 0"),
    Field("identifier", _or_nil(_U16), "of ICMP queries"),
    Field("client", _ADDRESS, "the end that sent the first packet, network byte order"),
    Field("client_port", _or_nil(_U16), "nil where the protocol has no ports"),
    Field("server", _ADDRESS, "the other end"),
    Field("server_port", _or_nil(_U16), "nil where the protocol has no ports"),
    Field("vlan", _or_nil(_U12), "outermost VLAN of the first packet; nil: untagged"),
    Field("attempts", _U32, "requests that the client sent"),
    Field("client_packets", _U32, "client to server"),
    Field("server_packets", _U32, "server to client"),
    Field("client_bytes", _U64, "client to server, frames on the wire"),
    Field("server_bytes", _U64, "server to client, frames on the wire"),
    Field("reply_delay", _or_nil(_TIME), "from the first packet to the first valid reply; nil:"
                                         " none yet"),
    Field("icmp_type", _or_nil(_U8), "of the ICMP error that judged it; nil: none did"),
    Field("icmp_code", _or_nil(_U8), "of the ICMP error that judged it"),
    Field("icmp_sender", _or_nil(_ADDRESS), "who sent the ICMP error that judged it"),
)  # fmt: skip

PACKET_FIELDS = (
    Field("time", _TIME, "when it was captured, since 1970 UTC"),
    Field("link", _LINK, "link type (https://www.tcpdump.org/linktypes.html)"),
    Field("wire_length", _U32, "bytes it had on the wire"),
    Field("data", _HEADERS, "its headers, no payload"),
)

_KIND = Field("kind", _TEXT, "which message this is")

MESSAGES: dict[str, tuple[Field, ...]] = {
    "hello": (
        _KIND,
        Field("protocol", _TEXT, f'"{PROTOCOL}"'),
        Field("version", _U16, f"{VERSION}; both ends close the connection at another"),
        Field("name", _TEXT, "which program speaks, for people"),
        Field("instance", _TEXT, "another one each time that the program starts"),
    ),
    "active": (
        _KIND,
        Field("flow", _FLOW, "a flow that was erroneous already when the consumer connected"),
    ),
    "verdict": (
        _KIND,
        Field("flow", _FLOW, "a flow, right after its verdict changed"),
        Field("packets", _PACKETS, "its first packet, where the verdict is an erroneous one and"
                                   " the packet was not sent before"),
    ),
    "flow": (
        _KIND,
        Field("flow", _FLOW, "a flow that has ended: its record is final"),
    ),
}  # fmt: skip


def check(message: object, fields: tuple[Field, ...]) -> dict[str, Any]:
    """Return the message if it has all fields, each of its type.

    Raises:
        MessageError: it has not.
    """
    if type(message) is not dict:
        raise MessageError("not a map")
    for field in fields:
        if field.name not in message:
            raise MessageError(f"{field.name} is missing")
        if not field.type.holds(message[field.name]):
            raise MessageError(f"{field.name} is not {field.type.name}")
    return message


def check_message(message: object) -> dict[str, Any]:
    """Return the message if it is one of MESSAGES.

    Raises:
        MessageError: it is not.
    """
    kind = check(message, (_KIND,))["kind"]
    if kind not in MESSAGES:
        raise MessageError(f"unknown kind {kind!r:.40}")
    return check(message, MESSAGES[kind])


def hello(name: str, instance: str) -> dict[str, Any]:
    """Return the message that both ends begin with."""
    return {
        "kind": "hello", "protocol": PROTOCOL, "version": VERSION,
        "name": name, "instance": instance,
    }  # fmt: skip


_VERDICTS = {state.label: state for state in State}
_DIRECTIONS = {direction.label: direction for direction in Direction}
_STATE_LABELS = [state.label for state in State]
_DIRECTION_LABELS = [direction.label for direction in Direction]
_LOW = (1 << 64) - 1


def _pack_address(version: int, high: int, low: int) -> bytes:
    return low.to_bytes(4, "big") if version == 4 else (high << 64 | low).to_bytes(16, "big")


def _unpack_address(address: bytes) -> tuple[int, int]:
    number = int.from_bytes(address, "big")
    return number >> 64, number & _LOW


def pack_flow(flow: np.void) -> dict[str, Any]:
    """Return a FLOW record as the map that FLOW_FIELDS describes."""
    row = dict(zip(FLOW.names or (), flow.item(), strict=True))
    protocol, query, version = row["kind"] >> 8, row["kind"] >> 4 & 15, row["kind"] & 15
    low = _pack_address(version, row["low_hi"], row["low_lo"]), row["ports"] >> 16
    high = _pack_address(version, row["high_hi"], row["high_lo"]), row["ports"] & 0xFFFF
    client, server = (high, low) if row["marks"] & MARK_CLIENT_HIGH else (low, high)
    has_ports = protocol in PORT_PROTOCOLS
    by_icmp = row["sender_hi"] or row["sender_lo"]
    sender = _pack_address(version, row["sender_hi"], row["sender_lo"])
    return {
        "first": row["first"],
        "last": row["last"],
        "judged": row["judged"],
        "verdict": _STATE_LABELS[row["state"]],
        "direction": _DIRECTION_LABELS[row["direction"]],
        "protocol": protocol,
        "query": query,
        "identifier": low[1] if query else None,
        "client": client[0],
        "client_port": client[1] if has_ports else None,
        "server": server[0],
        "server_port": server[1] if has_ports else None,
        "vlan": row["vlan"] or None,
        "attempts": row["attempts"],
        "client_packets": row["client_packets"],
        "server_packets": row["server_packets"],
        "client_bytes": row["client_bytes"],
        "server_bytes": row["server_bytes"],
        "reply_delay": row["reply_delay"] if row["reply_delay"] >= 0 else None,
        "icmp_type": row["icmp_type"] if by_icmp else None,
        "icmp_code": row["icmp_code"] if by_icmp else None,
        "icmp_sender": sender if by_icmp else None,
    }


def unpack_flow(message: dict[str, Any]) -> NDArray[np.void]:
    """Return a FLOW record, shape (1,), from a map that FLOW_FIELDS describes.

    Raises:
        MessageError: a field is missing or not of its type, or two contradict each other.
    """
    flow = check(message, FLOW_FIELDS)
    protocol, query = flow["protocol"], flow["query"]
    client, server, sender = flow["client"], flow["server"], flow["icmp_sender"]
    if len(client) != len(server) or (sender is not None and len(sender) != len(client)):
        raise MessageError("addresses of different IP versions")
    ports = flow["client_port"], flow["server_port"]
    if (protocol in PORT_PROTOCOLS) == (None in ports):
        raise MessageError("ports do not agree with the protocol")
    if query >= len(Query) or (query != Query.NONE) == (flow["identifier"] is None):
        raise MessageError("query and identifier do not agree")
    if query:
        ports = flow["identifier"], flow["identifier"]
    ends = [(*_unpack_address(client), ports[0] or 0), (*_unpack_address(server), ports[1] or 0)]
    marks = MARK_CLIENT_HIGH if ends[0] > ends[1] else 0
    ends.sort()
    record = np.zeros(1, FLOW)
    (low_hi, low_lo, low_port), (high_hi, high_lo, high_port) = ends
    record["low_hi"], record["low_lo"] = low_hi, low_lo
    record["high_hi"], record["high_lo"] = high_hi, high_lo
    record["ports"] = low_port << 16 | high_port
    record["kind"] = protocol << 8 | query << 4 | (4 if len(client) == 4 else 6)
    record["state"] = _VERDICTS[flow["verdict"]]
    record["direction"] = _DIRECTIONS[flow["direction"]]
    record["marks"] = marks
    record["slab"] = -1
    record["reply_delay"] = -1 if flow["reply_delay"] is None else flow["reply_delay"]
    record["vlan"] = flow["vlan"] or 0
    for name in (
        "first", "last", "judged", "attempts",
        "client_packets", "server_packets", "client_bytes", "server_bytes",
    ):  # fmt: skip
        record[name] = flow[name]
    if sender is not None:
        record["sender_hi"], record["sender_lo"] = _unpack_address(sender)
        record["icmp_type"], record["icmp_code"] = flow["icmp_type"] or 0, flow["icmp_code"] or 0
    return record


def pack_packet(packet: np.void, data: NDArray[np.uint8]) -> dict[str, Any]:
    """Return a CAPTURED record and its bytes as the map that PACKET_FIELDS describes."""
    start = int(packet["offset"])
    return {
        "time": int(packet["time"]),
        "link": int(packet["link"]),
        "wire_length": int(packet["wire_length"]),
        "data": data[start : start + int(packet["length"])].tobytes(),
    }


def unpack_packets(
    messages: list[Any], flow: NDArray[np.void]
) -> tuple[NDArray[np.void], NDArray[np.uint8]]:
    """Return the first packets in a verdict message, of the flow in it.

    Returns:
        CAPTURED, shape (m,), and uint8, the bytes that they point into.

    Raises:
        MessageError: a field is missing or not of its type.
    """
    packets = np.zeros(len(messages), CAPTURED)
    data = bytearray()
    for i, message in enumerate(messages):
        packet = check(message, PACKET_FIELDS)
        packets["offset"][i], packets["length"][i] = len(data), len(packet["data"])
        for name in ("time", "link", "wire_length"):
            packets[name][i] = packet[name]
        data += packet["data"]
    packets["role"] = Role.FIRST
    packets["row"] = -1
    packets["flow"] = flow
    return packets, np.frombuffer(data, np.uint8)


def markdown() -> str:
    """Return the tables as docs/verdict-stream.md shows them."""
    sections = [(f"Message `{kind}`", fields) for kind, fields in MESSAGES.items()]
    sections += [("A flow", FLOW_FIELDS), ("A packet", PACKET_FIELDS)]
    text = ""
    for title, fields in sections:
        text += f"### {title}\n\n| field | type | meaning |\n| --- | --- | --- |\n"
        for field in fields:
            text += f"| `{field.name}` | {field.type.name} | {field.meaning} |\n"
        text += "\n"
    return text
