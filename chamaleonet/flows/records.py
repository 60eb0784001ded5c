"""The records that the flow engine keeps and hands out, as NumPy structured types.

An address is two uint64 in host order, most significant first: an IPv6 address as it is, an IPv4
address in the low 32 bits. ``version`` tells them apart.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# One flow, 128 bytes: two cache lines, the first of which holds all that most packets touch.
FLOW = np.dtype(
    [
        # The key. "low" and "high" are the flow's ends in order, so that both directions are one.
        ("low_hi", np.uint64),
        ("low_lo", np.uint64),
        ("high_hi", np.uint64),
        ("high_lo", np.uint64),
        # low end's port << 16 | high end's; ICMP queries: the identifier twice; else 0
        ("ports", np.uint32),
        # IP protocol << 8 | query kind << 4 | IP version
        ("kind", np.uint16),
        ("state", np.uint8),  # transitions.State
        ("marks", np.uint8),  # MARK_ bits
        ("slab", np.int32),  # where its first packet is kept, or -1
        ("client_packets", np.uint32),  # saturates
        ("last", np.int64),  # time of its last packet, ns
        ("server_packets", np.uint32),  # saturates
        ("attempts", np.uint32),  # requests that the client sent, saturates
        # Second cache line.
        ("first", np.int64),  # time of its first packet, ns
        ("judged", np.int64),  # time of its last change of state, ns
        ("reply_delay", np.int64),  # first reply - first packet, ns; -1 while there is none
        ("client_bytes", np.uint64),  # on the wire
        ("server_bytes", np.uint64),
        ("sender_hi", np.uint64),  # who sent the ICMP error that judged it
        ("sender_lo", np.uint64),
        ("vlan", np.uint16),  # outermost VLAN of the first packet, 0: untagged
        ("icmp_type", np.uint8),  # of the ICMP error that judged it
        ("icmp_code", np.uint8),
        ("direction", np.uint8),  # Direction
        ("quality", np.uint8),  # Quality of what "state" says
        ("prefix", np.uint8),  # number of the internal prefix of its host, 0: it has none
        ("spare", np.uint8),
    ]
)
assert FLOW.itemsize == 128

MARK_CLIENT_HIGH = 1  # the client is the "high" end
MARK_CLOSING = 2  # a FIN or RST was seen
MARK_DELIVERED = 4  # its first packet was captured
MARK_RESTORED = 8  # it was there before this engine: see snapshot.py


class Direction(IntEnum):
    """Where the flow runs, seen from the internal prefixes."""

    OUTBOUND = 0  # client inside, server outside
    INBOUND = 1  # client outside, server inside
    INTERNAL = 2
    TRANSIT = 3

    @property
    def label(self) -> str:
        """The name in summaries, logs and metric labels."""
        return self.name.lower()


class Quality(IntEnum):
    """How far a verdict can be relied on; of two, the higher one holds."""

    SOUND = 0
    DEGRADED = 1  # some packets were shed when it was come to: one of this flow's may be among them
    SUSPECT = 2  # replies were out of sight: silence may be ours alone

    @property
    def label(self) -> str:
        """The name in logs."""
        return self.name.lower()


class Query(IntEnum):
    """ICMP query kinds, part of a flow's key (RFC 792, RFC 950, RFC 4443)."""

    NONE = 0
    ECHO = 1
    TIMESTAMP = 2
    INFORMATION = 3
    ADDRESS_MASK = 4


class Change(IntEnum):
    """What a flow event tells."""

    JUDGED = 0  # the flow entered another state
    ENDED = 1  # the flow left the table; its record is final


# A flow event: what happened, when, and the flow as it was right after (ENDED: right before).
FLOW_EVENT = np.dtype(
    [
        ("time", np.int64),  # ns
        ("change", np.uint8),  # Change
        ("was", np.uint8),  # transitions.State before
        ("spare", np.uint8, (2,)),
        ("row", np.int32),  # the flow's row in the table: its name while it lives
        ("flow", FLOW),
    ]
)


class Role(IntEnum):
    """Why a packet was captured."""

    FIRST = 0  # first packet of a flow, delivered with its verdict
    LATER = 1  # client to server, after the verdict
    ERROR = 2  # an ICMP error


# A captured packet: its headers lie in the output's byte buffer.
CAPTURED = np.dtype(
    [
        ("time", np.int64),  # ns, the packet's own
        ("offset", np.int64),  # into the byte buffer
        ("length", np.uint16),  # bytes kept: ends with the last header of the key
        ("link", np.uint16),  # link type
        ("wire_length", np.uint32),
        ("role", np.uint8),  # Role
        ("orphan", np.uint8),  # 1: an ICMP error that is tied to no flow; "flow" is all zero
        ("icmp_type", np.uint8),  # role ERROR
        ("icmp_code", np.uint8),
        ("row", np.int32),  # as in FLOW_EVENT; -1 for an orphan
        ("flow", FLOW),  # as it was right after the packet
    ]
)


def raw(records: NDArray[Any]) -> NDArray[Any]:
    """Return records as plain bytes of their size: NumPy copies those, but fields one by one.

    4096 records are copied in 8 us so, in 500 us otherwise.
    """
    return records.view(np.dtype(("V", records.dtype.itemsize)))


_HEAD_AND_FLOW = np.dtype([("head", "V16"), ("flow", "V128")])
assert FLOW_EVENT.itemsize == _HEAD_AND_FLOW.itemsize


def ended_flows(events: NDArray[Any]) -> NDArray[Any]:
    """Return copies of the flows that ended, of FLOW_EVENT records: FLOW, shape (n,)."""
    flows: NDArray[Any] = events.view(_HEAD_AND_FLOW)["flow"][events["change"] == Change.ENDED]
    return flows.view(FLOW)


# FLOW begins with the key: addresses, ports, kind.
assert FLOW.fields is not None
_KEY_BYTES = FLOW.fields["state"][1]
_FIRST = slice(FLOW.fields["first"][1], FLOW.fields["first"][1] + 8)
NAME_BYTES = _KEY_BYTES + 8


def names_of(flows: NDArray[Any]) -> list[bytes]:
    """Return what tells flows from all others: the key and the time of the first packet.

    Args:
        flows: FLOW, shape (n,).
    """
    return [flow[:_KEY_BYTES] + flow[_FIRST] for flow in map(np.void.tobytes, flows)]


SLAB_BYTES = 128  # kept of a first packet

# The first packet of a pending flow.
SLAB = np.dtype(
    [
        ("time", np.int64),
        ("length", np.uint16),
        ("link", np.uint16),
        ("wire_length", np.uint32),
        ("bytes", np.uint8, (SLAB_BYTES,)),
    ]
)
