"""Healthy flows as counters: how many there were, and nothing about whom they were with.

Flows that are well are not logged. So that failures can be set in proportion to them, they are
counted by the minute they began in, internal host, direction, protocol, server port, verdict and
reply delay; their other end is never looked at. What a row holds is told in healthy.py.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import numpy as np

from chamaleonet.flows.records import MARK_CLIENT_HIGH, Direction
from chamaleonet.flows.transitions import HEALTHY, state_mask
from chamaleonet.kernels import inlined, kernel
from chamaleonet.log.columns import PORT_PROTOCOLS
from chamaleonet.log.healthy import DELAYS

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

# A counter: its key, and sums over its flows.
COUNT = np.dtype(
    [
        ("host_hi", np.uint64),  # the internal end; 0 where there is none
        ("host_lo", np.uint64),
        ("minute", np.int64),  # of the flows' first packets, since 1970 UTC
        ("kind", np.uint16),  # IP protocol << 8 | IP version
        ("server_port", np.uint16),
        ("direction", np.uint8),
        ("state", np.uint8),
        ("delay", np.uint8),  # index into DELAYS; NO_REPLY
        ("complete", np.uint8),  # 1: packets and bytes are those of the whole flows
        ("flows", np.uint64),
        ("client_packets", np.uint64),
        ("server_packets", np.uint64),
        ("client_bytes", np.uint64),
        ("server_bytes", np.uint64),
    ]
)
NO_REPLY = 255

MINUTE = 60 * 10**9  # ns
_HEALTHY = state_mask(HEALTHY)
_INBOUND, _TRANSIT = int(Direction.INBOUND), int(Direction.TRANSIT)
_BOUNDS = np.array([round(bound * 1e9) for bound in DELAYS[:-1]], np.int64)  # the last is infinite
_HAS_PORTS = np.zeros(256, np.bool_)
_HAS_PORTS[list(PORT_PROTOCOLS)] = True


@inlined
def _fill_key(flow: Any, key: Any) -> None:
    """Write under what a flow is counted."""
    protocol = int(flow.kind >> 8)
    client_high = flow.marks & MARK_CLIENT_HIGH != 0
    # The internal end: of an inbound flow the server's.
    if flow.direction == _TRANSIT:
        key.host_hi = key.host_lo = np.uint64(0)
    elif client_high != (flow.direction == _INBOUND):
        key.host_hi, key.host_lo = flow.high_hi, flow.high_lo
    else:
        key.host_hi, key.host_lo = flow.low_hi, flow.low_lo
    key.minute = flow.first // MINUTE
    key.kind = protocol << 8 | int(flow.kind & 15)
    port = 0
    if _HAS_PORTS[protocol]:
        port = int(flow.ports >> 16) if client_high else int(flow.ports & 0xFFFF)
    key.server_port = port
    key.direction, key.state = flow.direction, flow.state
    key.delay = NO_REPLY
    if flow.reply_delay >= 0:
        key.delay = 0
        while key.delay < len(_BOUNDS) and flow.reply_delay > _BOUNDS[key.delay]:
            key.delay += 1


@inlined
def _hash(key: Any, secret: Any) -> Any:
    word = (
        np.uint64(key.minute) << np.uint64(40)
        ^ np.uint64(key.kind) << np.uint64(24)
        ^ np.uint64(key.server_port) << np.uint64(8)
        ^ np.uint64(key.direction) << np.uint64(5)
        ^ np.uint64(key.state)
    )
    mixed = (key.host_hi ^ secret[0]) * secret[1] ^ (key.host_lo ^ secret[2]) * secret[3]
    mixed = (mixed ^ mixed >> np.uint64(29) ^ word) * secret[4] ^ np.uint64(key.delay)
    mixed = (mixed ^ mixed >> np.uint64(32)) * secret[5]
    return mixed ^ mixed >> np.uint64(31)


@inlined
def _same(one: Any, other: Any) -> bool:
    return bool(
        one.host_lo == other.host_lo
        and one.host_hi == other.host_hi
        and one.minute == other.minute
        and one.kind == other.kind
        and one.server_port == other.server_port
        and one.direction == other.direction
        and one.state == other.state
        and one.delay == other.delay
    )


@kernel
def _count(flows: Any, counts: Any, slots: Any, used: int, secret: Any) -> int:
    """Add flows to the counters; return how many counters are in use then.

    Args:
        flows: FLOW, shape (n,).
        counts: COUNT, with room for n more.
        slots: int32, shape (power of two,), at most half in use: a counter's index + 1, or 0.
        used: counters in use before.
        secret: uint64, shape (6,): keys the hash.
    """
    mask = np.uint64(len(slots) - 1)
    for i in range(len(flows)):
        flow = flows[i]
        if _HEALTHY >> int(flow.state) & 1 == 0:
            continue
        new = counts[used]
        _fill_key(flow, new)
        slot = _hash(new, secret) & mask
        while slots[slot] != 0 and not _same(counts[slots[slot] - 1], new):
            slot = (slot + np.uint64(1)) & mask
        if slots[slot] == 0:
            used += 1
            slots[slot] = used
        count = counts[slots[slot] - 1]
        count.complete = 1
        count.flows += np.uint64(1)
        count.client_packets += np.uint64(flow.client_packets)
        count.server_packets += np.uint64(flow.server_packets)
        count.client_bytes += flow.client_bytes
        count.server_bytes += flow.server_bytes
    return used


_ROOM = 1 << 15  # counters
_STEP = 1 << 12  # flows counted at a time


class Tally:
    """Counts healthy flows; a sinks.FlowSink that lets all others pass by.

    Args:
        full: called with COUNT records, shape (n,), when there are many; they are borrowed.
    """

    def __init__(self, full: Callable[[NDArray[Any]], None]) -> None:
        self._full = full
        self._counts = np.zeros(_ROOM + 1, COUNT)  # one more, where a key is put together
        self._slots = np.zeros(2 * _ROOM, np.int32)
        self._used = 0
        self._secret = np.array([secrets.randbits(64) | 1 for _ in range(6)], np.uint64)

    def write(self, flows: NDArray[Any]) -> None:
        """Count ended flows: FLOW, shape (n,)."""
        for first in range(0, len(flows), _STEP):
            if self._used + _STEP > _ROOM:
                self.flush()
            step = flows[first : first + _STEP]
            self._used = _count(step, self._counts, self._slots, self._used, self._secret)

    def flush(self) -> None:
        """Hand out what was counted since the last time, and begin anew."""
        if self._used:
            self._full(self._counts[: self._used])
            self._counts[: self._used + 1] = 0
            self._slots[:] = 0
            self._used = 0
