"""Flows as plain Python values, for what tells of one flow at a time: events, syslog, terminals."""

from __future__ import annotations

import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from chamaleonet.flows.records import FLOW, MARK_CLIENT_HIGH, Direction, Quality
from chamaleonet.flows.transitions import State
from chamaleonet.log.columns import PORT_PROTOCOLS
from chamaleonet.log.community_id import COMMUNITY_ID_BYTES
from chamaleonet.log.flowtext import flow_texts

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Row(NamedTuple):
    """One flow; what the flow log has a column for is as in columns.COLUMNS, but as said here.

    Attributes:
        first: ns since 1970 UTC, as are ``last`` and ``judged``.
        protocol: IP protocol number.
        version: 4 or 6.
        query: flows.records.Query.
        reply_delay: ns.
        key: what no other flow has: its key in the table and its ``first``.
    """

    first: int
    last: int
    judged: int
    verdict: str
    direction: str
    protocol: int
    version: int
    query: int
    client: str
    client_port: int | None
    server: str
    server_port: int | None
    vlan: int | None
    attempts: int
    client_packets: int
    server_packets: int
    client_bytes: int
    server_bytes: int
    reply_delay: int | None
    icmp_type: int | None
    icmp_code: int | None
    icmp_sender: str | None
    community_id: str
    quality: str
    key: bytes


def _view(*names: str) -> np.dtype[Any]:
    """Return FLOW with these fields alone: what is not there takes no time to convert."""
    fields = FLOW.fields
    assert fields is not None
    return np.dtype(
        {
            "names": names,
            "formats": [fields[name][0] for name in names],
            "offsets": [fields[name][1] for name in names],
            "itemsize": FLOW.itemsize,
        }
    )


_NEEDED = _view(
    "first", "last", "judged", "state", "direction", "kind", "marks", "ports", "vlan", "attempts",
    "client_packets", "server_packets", "client_bytes", "server_bytes", "reply_delay",
    "icmp_type", "icmp_code", "quality",
)  # fmt: skip
_KEY_BYTES = 38  # FLOW begins with the key: addresses, ports, kind
_VERDICTS = [state.label for state in State]
_DIRECTIONS = [direction.label for direction in Direction]
_QUALITIES = [quality.label for quality in Quality]


def rows(flows: NDArray[np.void]) -> list[Row]:
    """Return flows as rows.

    Args:
        flows: FLOW, shape (n,).
    """
    flows = np.ascontiguousarray(flows)
    texts = flow_texts(flows)
    client_ends, server_ends, sender_ends = ends = texts.ends.tolist()
    clients, servers, senders = (
        written[: end[-1]].tobytes().decode()
        for written, end in zip(texts.addresses, ends, strict=True)
    )
    community_ids, records = texts.community_ids.tobytes().decode(), flows.tobytes()
    found = []
    for i, (
        first, last, judged, state, direction, kind, marks, ports, vlan, attempts,
        client_packets, server_packets, client_bytes, server_bytes, reply_delay,
        icmp_type, icmp_code, quality,
    ) in enumerate(flows.view(_NEEDED).tolist()):  # fmt: skip
        protocol, start = kind >> 8, i * FLOW.itemsize
        client_port = server_port = None
        if protocol in PORT_PROTOCOLS:
            client_port, server_port = ports >> 16, ports & 0xFFFF
            if marks & MARK_CLIENT_HIGH:
                client_port, server_port = server_port, client_port
        sender = senders[sender_ends[i] : sender_ends[i + 1]] or None
        found.append(
            Row(
                first, last, judged, _VERDICTS[state], _DIRECTIONS[direction],
                protocol, kind & 15, kind >> 4 & 15,
                clients[client_ends[i] : client_ends[i + 1]], client_port,
                servers[server_ends[i] : server_ends[i + 1]], server_port,
                vlan or None, attempts, client_packets, server_packets, client_bytes, server_bytes,
                reply_delay if reply_delay >= 0 else None,
                icmp_type if sender else None, icmp_code if sender else None, sender,
                community_ids[i * COMMUNITY_ID_BYTES : (i + 1) * COMMUNITY_ID_BYTES],
                _QUALITIES[quality],
                records[start : start + _KEY_BYTES] + first.to_bytes(8, "big", signed=True),
            )
        )  # fmt: skip
    return found


@lru_cache(maxsize=4096)
def second(seconds: int) -> str:
    """Return a time since 1970 UTC as ISO 8601 writes it, without fraction and zone.

    Events come in the order of time, so that most ask for a second that was asked for before.
    """
    return f"{datetime.datetime.fromtimestamp(seconds, datetime.UTC):%Y-%m-%dT%H:%M:%S}"


def rfc3339(time: int, digits: int = 9) -> str:
    """Return ns since 1970 UTC as text (RFC 3339), cut to so many fractional digits."""
    seconds, rest = divmod(time, 1_000_000_000)
    return f"{second(seconds)}.{rest:09}"[: 20 + digits] + "Z"
