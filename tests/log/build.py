"""FLOW and CAPTURED records for the tests of the log."""

from __future__ import annotations

import ipaddress

import numpy as np

from chamaleonet.flows.records import (
    CAPTURED,
    FLOW,
    FLOW_EVENT,
    MARK_CLIENT_HIGH,
    Change,
    Query,
    Role,
)
from chamaleonet.flows.transitions import State

SECOND = 1_000_000_000
START = 1_790_000_000 * SECOND
PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "icmpv6": 58, "sctp": 132, "udplite": 136}


def words(address: str) -> tuple[int, int]:
    number = int(ipaddress.ip_address(address))
    return number >> 64, number & (2**64 - 1)


def flow(
    protocol: int | str,
    client: str,
    server: str,
    client_port: int = 0,
    server_port: int = 0,
    *,
    query: Query = Query.NONE,
    state: State = State.UNANSWERED,
    **fields: int,
) -> np.ndarray:
    """Return FLOW, shape (1,). The ends are ordered as the engine orders them: by address."""
    record = np.zeros(1, FLOW)
    ends = [(*words(client), client_port), (*words(server), server_port)]
    swapped = ends[0] > ends[1]
    if swapped:
        ends.reverse()
        record["marks"] = MARK_CLIENT_HIGH
    record["low_hi"], record["low_lo"], low_port = ends[0]
    record["high_hi"], record["high_lo"], high_port = ends[1]
    record["ports"] = low_port << 16 | high_port
    number = PROTOCOLS[protocol] if isinstance(protocol, str) else protocol
    version = ipaddress.ip_address(client).version
    record["kind"] = number << 8 | query << 4 | version
    record["state"] = state
    record["reply_delay"] = -1
    record["first"] = record["last"] = START
    record["judged"] = START + 3 * SECOND
    record["attempts"] = record["client_packets"] = 1
    for name, value in fields.items():
        record[name] = value
    return record


def captured(
    flow: np.ndarray | None, data: bytes = b"\xaa" * 54, *, role: Role = Role.FIRST, **fields: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return one CAPTURED record, of an orphan without a flow, and its bytes."""
    record = np.zeros(1, CAPTURED)
    record["time"], record["length"], record["link"] = START, len(data), 1
    record["wire_length"], record["role"] = len(data) + 20, role
    if flow is None:
        record["orphan"], record["row"] = 1, -1
    else:
        record["flow"] = flow
    for name, value in fields.items():
        record[name] = value
    return record, np.frombuffer(bytearray(data), np.uint8)


def event(
    flow: np.ndarray, change: Change = Change.JUDGED, was: State = State.PENDING, row: int = 0
) -> np.ndarray:
    """Return one FLOW_EVENT record."""
    record = np.zeros(1, FLOW_EVENT)
    record["time"], record["change"], record["was"] = flow["judged"], change, was
    record["row"], record["flow"] = row, flow
    return record


NO_EVENTS, NO_PACKETS = np.empty(0, FLOW_EVENT), np.empty(0, CAPTURED)
NO_DATA = np.empty(0, np.uint8)
