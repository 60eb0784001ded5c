"""What the verdict stream says: the messages, field by field.

A message is a MessagePack map. The tables here are the stream's definition:
docs/verdict-stream.md and its schema are made from them, and both ends check by them. A reader may
ignore fields that it does not know; a writer leaves none out. Of a field that came later it is said
what its absence means: a spool may hold records from before an update.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chamaleonet.capture.link import LinkType
from chamaleonet.flows.records import SLAB_BYTES, Direction, Quality
from chamaleonet.flows.transitions import HEALTHY, State
from chamaleonet.log.healthy import DELAYS

if TYPE_CHECKING:
    from collections.abc import Callable

    from chamaleonet.log.stream.position import Position

PROTOCOL = "chamaleonet-verdicts"
VERSION = 2


class MessageError(Exception):
    """A message that is not what the tables say."""


class VersionError(MessageError):
    """The other end speaks another version of the stream, or something else."""


@dataclass(frozen=True)
class Type:
    """A field's type: its name in the documentation, what checks a value, its JSON Schema."""

    name: str
    holds: Callable[[Any], bool]
    schema: dict[str, Any]


@dataclass(frozen=True)
class Field:
    """One field: its name, type and meaning, and what it means that it is missing, if it may be."""

    name: str
    type: Type
    meaning: str
    missing: str = ""


def _integer(bits: int, name: str = "") -> Type:
    return Type(
        name or f"uint {bits}",
        lambda value: type(value) is int and 0 <= value < 1 << bits,
        {"type": "integer", "minimum": 0, "maximum": (1 << bits) - 1},
    )


def _one_of(*labels: str) -> Type:
    return Type("str: " + ", ".join(labels), lambda value: value in labels, {"enum": [*labels]})


def _or_nil(inner: Type) -> Type:
    return Type(
        f"{inner.name}, or nil",
        lambda value: value is None or inner.holds(value),
        {"anyOf": [inner.schema, {"type": "null"}]},
    )


def _has(value: Any, fields: tuple[Field, ...]) -> bool:
    return type(value) is dict and all(
        field.name in value and field.type.holds(value[field.name]) for field in fields
    )


def _binary(least: int, most: int) -> dict[str, Any]:
    """Return the schema of bytes: JSON has none, so it speaks of them in base64."""
    length = {"minLength": (least + 2) // 3 * 4, "maxLength": (most + 2) // 3 * 4}
    return {"type": "string", "contentEncoding": "base64", **length}


_U4, _U8, _U12, _U16, _U32, _U64 = (_integer(bits) for bits in (4, 8, 12, 16, 32, 64))
_TIME = _integer(63, "int, ns")
_TEXT = Type("str", lambda value: type(value) is str, {"type": "string"})
_BOOL = Type("bool", lambda value: type(value) is bool, {"type": "boolean"})
_PROTOCOL = Type("str", _TEXT.holds, {"const": PROTOCOL})
_VERSION = Type("uint 16", _U16.holds, {"const": VERSION})
_ADDRESS = Type(
    "bin, 4 or 16 bytes",
    lambda value: type(value) is bytes and len(value) in (4, 16),
    {"anyOf": [_binary(4, 4), _binary(16, 16)]},
)
_HEADERS = Type(
    f"bin, at most {SLAB_BYTES} bytes",
    lambda value: type(value) is bytes and len(value) <= SLAB_BYTES,
    _binary(0, SLAB_BYTES),
)
_LINK = Type(
    "uint 16",
    lambda value: type(value) is int and value in LinkType.__members__.values(),
    {"enum": sorted(map(int, LinkType))},
)
_VERDICT = _one_of(*(state.label for state in State if state is not State.NONE))
_DIRECTION = _one_of(*(direction.label for direction in Direction))
_QUALITY = _one_of(*(quality.label for quality in Quality))
_FLOW = Type("map, a flow", lambda value: type(value) is dict, {"$ref": "#/$defs/flow"})
_MOST_PACKETS = 16
_PACKETS = Type(
    "array of maps, packets",
    lambda value: type(value) is list and len(value) <= _MOST_PACKETS,
    {"type": "array", "items": {"$ref": "#/$defs/packet"}, "maxItems": _MOST_PACKETS},
)

_HEALTHY = _one_of(*(state.label for state in HEALTHY))
_DELAY = Type(
    f"uint 8, below {len(DELAYS)}",
    lambda value: type(value) is int and 0 <= value < len(DELAYS),
    {"type": "integer", "minimum": 0, "maximum": len(DELAYS) - 1},
)
MOST_COUNTS = 64
_COUNTS = Type(
    "array of maps, counts",
    lambda value: type(value) is list and len(value) <= MOST_COUNTS,
    {"type": "array", "items": {"$ref": "#/$defs/count"}, "maxItems": MOST_COUNTS},
)

POSITION_FIELDS = (
    Field("run", _U64, "which run of the controller; a later run has a greater number"),
    Field("seq", _U64, "which record of the run: 1, 2, 3…; what is missing was dropped"),
)
_POSITION = Type(
    "map, a position",
    lambda value: _has(value, POSITION_FIELDS),
    {"$ref": "#/$defs/position"},
)

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
    Field("quality", _QUALITY, "how far the verdict can be relied on, by docs/visibility.md",
          missing=Quality.SOUND.label),
)  # fmt: skip

PACKET_FIELDS = (
    Field("time", _TIME, "when it was captured, since 1970 UTC"),
    Field("link", _LINK, "link type (https://www.tcpdump.org/linktypes.html)"),
    Field("wire_length", _U32, "bytes it had on the wire"),
    Field("data", _HEADERS, "its headers, no payload"),
)

COUNT_FIELDS = (
    Field("minute", _U32, "minutes from 1970 UTC to the flows' first packets"),
    Field("host", _or_nil(_ADDRESS), "the internal end: client of outbound and internal flows,"
                                     " server of inbound ones; nil: none is internal"),
    Field("direction", _DIRECTION, "by the internal prefixes"),
    Field("protocol", _U8, "IP protocol number"),
    Field("server_port", _or_nil(_U16), "nil where the protocol has no ports"),
    Field("verdict", _HEALTHY, "what became of the flows"),
    Field("delay", _or_nil(_DELAY), "which of docs/flow-log.md's buckets their reply delay falls"
                                    " into; nil: no reply"),
    Field("flows", _U64, "how many there were"),
)  # fmt: skip

_KIND = Field("kind", _TEXT, "which message this is")
_GREETING = (
    _KIND,
    Field("protocol", _PROTOCOL, f'"{PROTOCOL}"'),
    Field("version", _VERSION, f"{VERSION}; both ends close the connection at another"),
    Field("name", _TEXT, "which program speaks, for people"),
)

Messages = dict[str, tuple[Field, ...]]

FROM_CONTROLLER: Messages = {
    "hello": (*_GREETING, Field("run", _U64, "of the positions of new records")),
    "active": (
        _KIND,
        Field("flow", _FLOW, "a flow that is erroneous now, or was by an earlier run, and lives"),
    ),
    "current": (_KIND,),
    "verdict": (
        _KIND,
        *POSITION_FIELDS,
        Field("flow", _FLOW, "a flow, right after its verdict changed"),
        Field("packets", _PACKETS, "its first packet, where the verdict is an erroneous one and"
                                   " the packet was not sent before"),
    ),
    "flow": (
        _KIND,
        *POSITION_FIELDS,
        Field("flow", _FLOW, "a flow that has ended: its record is final"),
    ),
    "counts": (
        _KIND,
        *POSITION_FIELDS,
        Field("counts", _COUNTS, "healthy flows that have ended, by number; counts add up"),
    ),
}  # fmt: skip

FROM_CONSUMER: Messages = {
    "hello": (
        *_GREETING,
        Field("acknowledges", _BOOL, "true: it gets every record, and says which it has kept;"
                                     " false: it follows what happens from now on"),
        Field("position", _or_nil(_POSITION), "of the last record that it has kept, with all"
                                              " before; nil: none. Of a follower it is ignored"),
    ),
    "ack": (_KIND, *POSITION_FIELDS),
}  # fmt: skip

# What the controller keeps for the consumer that acknowledges.
RECORDS: Messages = {kind: FROM_CONTROLLER[kind] for kind in ("verdict", "flow", "counts")}

_MEANINGS = {
    "current": "All that is erroneous now has been told.",
    "ack": "The record at this position and all before are safely kept.",
}


def check(message: object, fields: tuple[Field, ...]) -> dict[str, Any]:
    """Return the message if it has all fields, each of its type.

    Raises:
        MessageError: it has not.
    """
    if type(message) is not dict:
        raise MessageError("not a map")
    for field in fields:
        if field.name not in message:
            if field.missing:
                continue
            raise MessageError(f"{field.name} is missing")
        if not field.type.holds(message[field.name]):
            raise MessageError(f"{field.name} is not {field.type.name}")
    return message


def check_message(message: object, known: Messages) -> dict[str, Any]:
    """Return the message if it is one of the known ones.

    Raises:
        VersionError: it is a hello in another protocol or version.
        MessageError: it is no such message.
    """
    kind = check(message, (_KIND,))["kind"]
    if kind not in known:
        raise MessageError(f"unknown kind {kind!r:.40}")
    if kind == "hello":  # in another version it may have other fields
        greeting = check(message, _GREETING)
        if (greeting["protocol"], greeting["version"]) != (PROTOCOL, VERSION):
            raise VersionError(f"{greeting['protocol']!r:.40} version {greeting['version']}")
    return check(message, known[kind])


def _hello(name: str) -> dict[str, Any]:
    return {"kind": "hello", "protocol": PROTOCOL, "version": VERSION, "name": name}


def controller_hello(name: str, run: int) -> dict[str, Any]:
    """Return the message that the controller begins with."""
    return {**_hello(name), "run": run}


def consumer_hello(name: str, *, acknowledges: bool, position: Position | None) -> dict[str, Any]:
    """Return the message that a consumer begins with."""
    kept = None if position is None else position._asdict()
    return {**_hello(name), "acknowledges": acknowledges, "position": kept}


def ack(position: Position) -> dict[str, Any]:
    """Return the message which says that all up to this position is kept."""
    return {"kind": "ack", **position._asdict()}


_MAPS = {
    "position": POSITION_FIELDS, "flow": FLOW_FIELDS, "packet": PACKET_FIELDS,
    "count": COUNT_FIELDS,
}  # fmt: skip
_DIRECTIONS = {"controller": FROM_CONTROLLER, "consumer": FROM_CONSUMER}


def markdown() -> str:
    """Return the tables as docs/verdict-stream.md shows them."""
    sections = [
        (f"From the {end}: `{kind}`", _MEANINGS.get(kind), fields)
        for end, messages in _DIRECTIONS.items()
        for kind, fields in messages.items()
    ]
    sections += [(f"A {name}", None, fields) for name, fields in _MAPS.items()]
    text = ""
    for title, meaning, fields in sections:
        text += f"### {title}\n\n" + (f"{meaning}\n\n" if meaning else "")
        text += "| field | type | meaning |\n| --- | --- | --- |\n"
        for field in fields:
            missing = f"; missing: {field.missing}" if field.missing else ""
            text += f"| `{field.name}` | {field.type.name} | {field.meaning}{missing} |\n"
        text += "\n"
    return text


def _map_schema(fields: tuple[Field, ...], **fixed: str) -> dict[str, Any]:
    properties = {
        field.name: {"description": field.meaning, **field.type.schema} for field in fields
    }
    for name, value in fixed.items():
        properties[name] |= {"const": value}
    return {
        "type": "object",
        "properties": properties,
        "required": [field.name for field in fields if not field.missing],
    }


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of the stream's messages.

    JSON has no bytes: a ``bin`` is in the schema a string of base64.
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"ChamaleoNet verdict stream, version {VERSION}: a message",
        "anyOf": [{"$ref": f"#/$defs/from_{end}"} for end in _DIRECTIONS],
        "$defs": {
            **{
                f"from_{end}": {
                    "anyOf": [_map_schema(fields, kind=kind) for kind, fields in messages.items()]
                }
                for end, messages in _DIRECTIONS.items()
            },
            **{name: _map_schema(fields) for name, fields in _MAPS.items()},
        },
    }
