"""The collector's compiled part: what is kept of packets, and which are written."""

from __future__ import annotations

from typing import Any

import numpy as np

from chamaleonet.flows.headers import (
    BIT_EQUAL_ENDS,
    BIT_FROM_HIGH,
    BIT_QUOTED,
    BIT_REQUEST,
    BIT_RESPONSE,
    Counted,
)
from chamaleonet.flows.records import MARK_CLIENT_HIGH, Role
from chamaleonet.flows.transitions import State
from chamaleonet.kernels import inlined, kernel
from chamaleonet.log.erroneous import row_of
from chamaleonet.log.text import write_bytes

# A packet is stamped once where the controller sees it and once at our port. Stamps that are this
# close (ns) are taken for the same packet, so that no attempt is counted twice.
_SAME_PACKET = 10_000_000

_FLOW_PACKETS, _ICMP_ERRORS = int(Counted.FLOW_PACKETS), int(Counted.ICMP_ERRORS)
_UNSOLICITED = int(State.UNSOLICITED)
_LATER, _ERROR = int(Role.LATER), int(Role.ERROR)


@kernel
def survey(headers: Any, counts: Any) -> int:
    """Count packets (HEADERS) by Counted; return the bytes of those that may belong to a flow."""
    size = 0
    for i in range(len(headers)):
        counted = headers[i].counted
        counts[counted] += 1
        if counted in (_FLOW_PACKETS, _ICMP_ERRORS):
            size += int(headers[i].cut)
    return size


@kernel
def strip(
    headers: Any, link: Any, buffer: Any, offset: Any, kept: Any, kept_link: Any, data: Any
) -> None:
    """Keep the headers of the packets that may belong to a flow.

    Args:
        headers: HEADERS, shape (n,).
        link: uint16, shape (n,).
        buffer: uint8: where the packets lie, at ``offset`` (int64, shape (n,)).
        offset: as said.
        kept: HEADERS, with room for those that are kept.
        kept_link: uint16: theirs.
        data: uint8: their bytes, up to each one's cut, one behind the other.
    """
    count, at = 0, 0
    for i in range(len(headers)):
        header = headers[i]
        if header.counted not in (_FLOW_PACKETS, _ICMP_ERRORS):
            continue
        kept[count] = header
        kept_link[count] = link[i]
        count += 1
        at = write_bytes(buffer, offset[i], int(header.cut), data, at)


@inlined
def _to_server(header: Any, flow: Any) -> bool:
    """Tell whether a packet runs from its flow's client to its server."""
    if header.bits & BIT_EQUAL_ENDS:
        # A host that pings itself: the reply's type tells, as in the flow engine.
        reply = header.bits & BIT_RESPONSE != 0
        return not (header.kind >> 4 & 15 and reply != (flow.state == _UNSOLICITED))
    return bool(header.bits & BIT_FROM_HIGH != 0) == bool(flow.marks & MARK_CLIENT_HIGH != 0)


@inlined
def _quoted_flow(header: Any, flow: Any) -> None:
    """Fill the record of a flow of which only an ICMP error's quote is known."""
    flow.low_hi, flow.low_lo = header.low_hi, header.low_lo
    flow.high_hi, flow.high_lo = header.high_hi, header.high_lo
    flow.ports, flow.kind = header.ports, header.kind
    # The quoted packet's sender is the client, unless what is quoted is a reply.
    if (header.bits & BIT_FROM_HIGH != 0) != (header.bits & BIT_RESPONSE != 0):
        flow.marks = MARK_CLIENT_HIGH


@kernel
def join(headers: Any, link: Any, known: Any, packets: Any) -> int:
    """Fill the CAPTURED records of the packets that are to be written; return their number.

    Args:
        headers: HEADERS, shape (n,): flow packets and ICMP errors, their bytes one behind the
            other.
        link: uint16, shape (n,).
        known: erroneous.Known. Attempts are counted on.
        packets: CAPTURED, with room for n.
    """
    count, end = 0, 0
    for i in range(len(headers)):
        header = headers[i]
        start = end
        end += int(header.cut)
        row = row_of(known, headers, i)
        packet = packets[count]
        if header.counted == _FLOW_PACKETS:
            if row < 0:
                continue
            flow, span = known.flows[row], known.spans[row]
            if not (span.since <= header.time < span.until and _to_server(header, flow)):
                continue
            if header.bits & BIT_REQUEST and header.time > flow.last + _SAME_PACKET:
                flow.attempts += np.uint32(flow.attempts < 0xFFFFFFFF)
            packet.role = _LATER
            packet.orphan = packet.icmp_type = packet.icmp_code = 0
            packet.flow = flow
        else:
            packet.role = _ERROR
            packet.icmp_type, packet.icmp_code = header.icmp_type, header.icmp_code
            quotes = header.bits & BIT_QUOTED != 0
            packet.orphan = not quotes
            packet.flow = known.flows[row if quotes else -1]  # the last one is all zero
            if quotes and row < 0:
                _quoted_flow(header, packet.flow)
        packet.time, packet.wire_length = header.time, header.wire_length
        packet.offset, packet.length = start, header.cut
        packet.link = link[i]
        packet.row = row
        count += 1
    return count


@kernel
def tally(packets: Any, states: Any) -> int:
    """Count packets (CAPTURED) by their flow's state; return how many orphans there are.

    Args:
        packets: CAPTURED, shape (n,).
        states: int64, counted on, all but orphans.
    """
    orphans = 0
    for i in range(len(packets)):
        if packets[i].orphan:
            orphans += 1
        else:
            states[packets[i].flow.state] += 1
    return orphans
