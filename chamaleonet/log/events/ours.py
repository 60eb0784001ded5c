"""What neither EVE nor ECS has a name for: the object ``chamaleonet`` of an event."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from chamaleonet.flows.transitions import State
from chamaleonet.log.columns import COLUMNS, Kind
from chamaleonet.log.events.fields import Field, unsigned

if TYPE_CHECKING:
    from collections.abc import Callable

    from chamaleonet.log.events.rows import Row

# What is absent where, told in the same words by every table of fields.
NO_PORTS = "the protocol has no ports; an ICMP identifier is none"
NO_VLAN = "untagged"

_NAMES = (
    "judged", "verdict", "direction", "attempts", "reply_delay",
    "icmp_type", "icmp_code", "icmp_sender", "quality",
)  # fmt: skip

_NOT_JUDGED = (State.PENDING.label, State.MIDSTREAM.label)

# An integer that JavaScript keeps exact, as Suricata's are.
FLOW_ID: tuple[dict[str, Any], str] = (
    unsigned(53),
    "the same number in all events of one flow, and another one in those of any other",
)


def flow_id(row: Row) -> int:
    """Return a number that names the flow, from its key and the time of its first packet."""
    return int.from_bytes(blake2b(row.key, digest_size=8).digest(), "big") >> 11


def fields(time: dict[str, Any]) -> tuple[Field, ...]:
    """Return the fields of the object: those columns of the flow log, and as they are there.

    Args:
        time: the schema of a time.
    """
    found = []
    for column in COLUMNS:
        if column.name in _NAMES:
            schema = dict(time if column.kind is Kind.TIME else column.kind.schema)
            if column.values:
                schema["enum"] = list(column.values)
            unit = f", {column.unit}" if column.kind is Kind.SECONDS else ""
            meaning = f"{column.meaning}{unit}"
            found.append(Field(f"chamaleonet.{column.name}", schema, meaning, column.null))
    return tuple(found)


def values(row: Row, time: Callable[[int], str]) -> dict[str, Any]:
    """Return the object.

    Args:
        row: the flow.
        time: writes ns since 1970 UTC as text.
    """
    found: dict[str, Any] = {"verdict": row.verdict, "direction": row.direction}
    if row.verdict not in _NOT_JUDGED:
        found["judged"] = time(row.judged)
    found["attempts"] = row.attempts
    if row.reply_delay is not None:
        found["reply_delay"] = row.reply_delay / 1e9
    if row.icmp_sender is not None:
        found["icmp_type"], found["icmp_code"] = row.icmp_type, row.icmp_code
        found["icmp_sender"] = row.icmp_sender
    found["quality"] = row.quality
    return found
