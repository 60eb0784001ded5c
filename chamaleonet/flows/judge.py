"""Flows become verdicts: sections 3 to 5 of docs/verdicts.md, one packet at a time.

The kernels here find out which Event a packet, an ICMP error or the time is for a flow; what
becomes of the flow then stands in transitions.TABLE and nowhere else.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chamaleonet.flows.decode import hash_key
from chamaleonet.flows.headers import (
    BIT_CLOSING,
    BIT_EQUAL_ENDS,
    BIT_FROM_HIGH,
    BIT_QUOTED,
    BIT_REQUEST,
    BIT_RESET,
    BIT_RESPONSE,
    BIT_SYN,
    Counted,
)
from chamaleonet.flows.loads import be32, be64
from chamaleonet.flows.records import (
    MARK_CLIENT_HIGH,
    MARK_CLOSING,
    MARK_DELIVERED,
    MARK_RESTORED,
    SLAB_BYTES,
    Change,
    Direction,
    Quality,
    Role,
)
from chamaleonet.flows.shedding import (
    INSIDE,
    INTERVAL,
    LATE,
    NONE,
    OUTSIDE,
    Quota,
    admit,
    claim,
    shed,
)
from chamaleonet.flows.sights import note_sight
from chamaleonet.flows.table import (
    EVICTABLE_LIST,
    LISTS,
    OTHER_LIST,
    PENDING_LIST,
    Register,
    append,
    find,
    give_row,
    give_slab,
    has_room,
    head_of,
    insert,
    is_last,
    prefix_of,
    remove,
    take_row,
    take_slab,
    unlink,
)
from chamaleonet.flows.transitions import ILLEGAL, Event, State
from chamaleonet.kernels import inlined, kernel, prefetch

# What a kernel returns; JUDGE stops early where the outputs are full.
DONE, FULL, BROKEN = 0, 1, 2

# How many packets ahead a flow's slot and row are asked of memory.
_SLOT_AHEAD, _ROW_AHEAD = 16, 8

U8, U16, U32, U64 = np.uint8, np.uint16, np.uint32, np.uint64
_MOST_U32 = U32(0xFFFFFFFF)


@inlined
def _masked(table: Any, register: int, state: Any) -> bool:
    return bool(table.registers[register] >> state & 1)


@inlined
def _is_captured(table: Any, flow: Any) -> bool:
    """Tell whether a flow's packets are: if its verdict is suspect it may be well, so they stay."""
    return _masked(table, Register.CAPTURE_MASK, flow.state) and flow.quality != Quality.SUSPECT


@inlined
def _tell(table: Any, row: int, change: int, was: Any, time: int) -> None:
    """Put a flow event out."""
    at = table.registers[Register.EVENTS]
    event = table.events[at]
    event.time = time
    event.change = U8(change)
    event.was = U8(was)
    event.row = row
    event.flow = table.flows[row]
    table.registers[Register.EVENTS] = at + 1


@inlined
def _capture(table: Any, row: int, role: int, header: Any, link: Any) -> Any:
    """Put a captured packet out, all but its bytes; return where these go."""
    at = table.registers[Register.CAPTURES]
    packet = table.captures[at]
    offset = table.registers[Register.DATA]
    packet.time = header.time
    packet.wire_length = header.wire_length
    packet.link = link
    packet.offset = offset
    packet.role = U8(role)
    packet.orphan = U8(row < 0)
    packet.icmp_type = U8(0)
    packet.icmp_code = U8(0)
    packet.row = row
    packet.flow = table.flows[row]  # an orphan's row is -1: the last, which is all zero
    table.registers[Register.CAPTURES] = at + 1
    return packet


@inlined
def _capture_packet(
    table: Any, row: int, role: int, header: Any, buffer: Any, offset: Any, link: Any
) -> None:
    """Capture a packet that lies in the batch."""
    table.registers[Register.CAPTURED] += 1
    if table.registers[Register.KEEP_PACKETS] == 0:
        return
    packet = _capture(table, row, role, header, link)
    packet.length = header.cut
    if role == Role.ERROR:
        packet.icmp_type, packet.icmp_code = header.icmp_type, header.icmp_code
    for i in range(int(header.cut)):
        table.data[packet.offset + i] = buffer[offset + i]
    table.registers[Register.DATA] += int(header.cut)


@inlined
def _keep_first(table: Any, row: int, header: Any, buffer: Any, offset: Any, link: Any) -> None:
    """Keep the first packet of a flow until its verdict."""
    flow = table.flows[row]
    if table.registers[Register.KEEP_PACKETS] == 0:
        return
    flow.slab = take_slab(table)
    kept = table.slab[flow.slab]
    kept.time = header.time
    kept.wire_length = header.wire_length
    kept.link = link
    kept.length = min(U16(SLAB_BYTES), header.cut)
    for i in range(int(kept.length)):
        kept.bytes[i] = buffer[offset + i]


@inlined
def _deliver_first(table: Any, row: int) -> None:
    """Capture the first packet of a flow, which was kept until now."""
    flow = table.flows[row]
    flow.marks |= U8(MARK_DELIVERED)
    table.registers[Register.CAPTURED] += 1
    if flow.slab < 0:
        return
    kept = table.slab[flow.slab]
    packet = _capture(table, row, Role.FIRST, kept, kept.link)
    packet.length = kept.length
    for i in range(int(kept.length)):
        table.data[packet.offset + i] = kept.bytes[i]
    table.registers[Register.DATA] += int(kept.length)


@inlined
def _enter(table: Any, row: int, event: int, time: int) -> bool:
    """Let an event happen to a flow, and tell what comes of it.

    Returns:
        False if the event is illegal in the flow's state, which no packet can bring about.
    """
    flow = table.flows[row]
    was = flow.state
    state = table.transitions[was, event]
    if state == ILLEGAL:
        return False
    if state == was:
        return True
    registers = table.registers
    if state == State.NONE:
        if _masked(table, Register.ENDED_MASK, was):
            _tell(table, row, Change.ENDED, was, time)
        _leave(table, row)
        return True
    flow.state = state
    flow.judged = time
    flow.quality = table.quality[flow.prefix, flow.direction]
    if time <= table.degraded[flow.direction]:
        flow.quality = max(flow.quality, U8(Quality.DEGRADED))
    if state == State.UNANSWERED and flow.marks & U8(MARK_RESTORED):
        flow.quality = U8(Quality.SUSPECT)  # its reply may have come when nobody watched
    table.verdicts[flow.direction, state] += 1
    note_sight(table, flow, registers[Register.NOW], registers[Register.SIGHT_INTERVAL])
    if was != State.NONE:
        table.verdicts[flow.direction, was] -= 1
        unlink(table, row)
    if was == State.PENDING:
        registers[Register.PENDING] -= 1
    elif state == State.PENDING:
        registers[Register.PENDING] += 1
    append(table, row, state)
    if _is_captured(table, flow) and flow.marks & U8(MARK_DELIVERED) == U8(0):
        _deliver_first(table, row)
    if flow.marks & U8(MARK_DELIVERED) or state not in (State.PENDING, State.UNANSWERED):
        give_slab(table, flow)  # no verdict can ask for it any more
    if _masked(table, Register.JUDGED_MASK, state):
        _tell(table, row, Change.JUDGED, was, time)
    return True


@inlined
def _leave(table: Any, row: int) -> None:
    """Take a flow out of the table."""
    flow = table.flows[row]
    if flow.state == State.PENDING:
        table.registers[Register.PENDING] -= 1
    give_slab(table, flow)
    flow.state = State.NONE
    unlink(table, row)
    remove(table, row, hash_key(flow, table.keys))
    give_row(table, row)
    table.registers[Register.LIVE] -= 1


@inlined
def _is_idle(table: Any, flow: Any) -> bool:
    registers = table.registers
    return bool(flow.last + registers[Register.IDLE_TIMEOUT] <= registers[Register.NOW])


@inlined
def _pass_time(table: Any, now: int) -> int:
    """Advance the clock: judge what is due and forget what is idle.

    A flow is forgotten for good when it heads its list; that may be a little late in OTHER_LIST,
    which flows enter by their verdict, so whoever looks a flow up asks _is_idle as well.
    """
    registers = table.registers
    registers[Register.NOW] = max(registers[Register.NOW], now)
    now = registers[Register.NOW]
    if now < registers[Register.WAKE]:
        return DONE
    # Nothing that comes later is due before this; what is here already may be.
    wake = now + registers[Register.TIMEOUT]
    while True:
        row = head_of(table, PENDING_LIST)
        if row < 0:
            break
        deadline = table.flows[row].first + registers[Register.TIMEOUT]
        if deadline > now:
            wake = min(wake, deadline)
            break
        if not has_room(table):
            return FULL
        if not _enter(table, row, Event.DEADLINE, deadline):
            return BROKEN
    for which in (EVICTABLE_LIST, OTHER_LIST):
        while True:
            row = head_of(table, which)
            if row < 0:
                break
            flow = table.flows[row]
            if not _is_idle(table, flow):
                wake = min(wake, flow.last + registers[Register.IDLE_TIMEOUT])
                break
            if not has_room(table):
                return FULL
            if not _enter(table, row, Event.END, now):
                return BROKEN
    registers[Register.WAKE] = wake
    return DONE


@inlined
def _find_live(table: Any, header: Any) -> int:
    """Return the row of a packet's flow, or -1; a flow that turns out to be idle is forgotten."""
    row = find(table, header, header.hash)
    if row >= 0 and _is_idle(table, table.flows[row]):
        _enter(table, row, Event.END, table.registers[Register.NOW])
        return -1
    return row


@inlined
def _direction(client_prefix: int, server_prefix: int) -> int:
    if client_prefix:
        return Direction.INTERNAL if server_prefix else Direction.OUTBOUND
    return Direction.INBOUND if server_prefix else Direction.TRANSIT


@inlined
def _sender(header: Any) -> Any:
    """Return the address, as two words, that a packet comes from."""
    if header.bits & BIT_FROM_HIGH:
        return header.high_hi, header.high_lo
    return header.low_hi, header.low_lo


@inlined
def _prefixes(table: Any, header: Any) -> Any:
    """Return the internal prefixes (numbers from 1, 0: none) of a packet's sender and receiver."""
    version = U64(header.kind) & U64(15)
    low = prefix_of(table, version, header.low_hi, header.low_lo)
    high = prefix_of(table, version, header.high_hi, header.high_lo)
    if header.bits & BIT_FROM_HIGH:
        return high, low
    return low, high


@inlined
def _first_event(header: Any) -> int:
    """Return which event a flow's first packet is: section 3."""
    if header.bits & BIT_REQUEST:
        return Event.OPEN_REQUEST
    return Event.OPEN_RESPONSE if header.bits & BIT_RESPONSE else Event.OPEN_MIDSTREAM


@inlined
def _degrade(table: Any, direction: int) -> None:
    """Note that flows of a direction are lost: what waits for its verdict now may be affected."""
    table.degraded[direction] = table.registers[Register.NOW] + table.registers[Register.TIMEOUT]


@inlined
def _most_in_an_interval(table: Any) -> int:
    """Return how many flows may be opened in an interval so that all can be pending.

    Half of the table is for bursts; at a rate that fills the other half in a timeout there is
    always room, as by then the first of them are judged and may be evicted.
    """
    half = (len(table.links) - LISTS) >> 1
    lasting = half * INTERVAL // table.registers[Register.TIMEOUT]
    return int(max(lasting, (half - table.registers[Register.PENDING]) >> 2))


@inlined
def _try_to_open(table: Any, header: Any, buffer: Any, offset: Any, link: Any) -> bool:
    """Open a flow by its first packet, unless that is to be shed."""
    registers, quota = table.registers, table.quota
    event = _first_event(header)
    client, server = _prefixes(table, header)
    direction = _direction(client, server)
    if quota[Quota.PER_INTERVAL]:
        now, idle_timeout = registers[Register.NOW], registers[Register.IDLE_TIMEOUT]
        may_open = claim(quota, table.remembered, header, now, idle_timeout)
        if may_open == LATE:
            event = Event.OPEN_MIDSTREAM
        if may_open != NONE:
            hi, lo = _sender(header)
            group = INSIDE if direction in (Direction.OUTBOUND, Direction.INTERNAL) else OUTSIDE
            version, most = U64(header.kind) & U64(15), _most_in_an_interval(table)
            if not admit(quota, table.buckets, table.salts, now, most, group, version, hi, lo):
                may_open = NONE
                _degrade(table, direction)
        if may_open == NONE:
            shed(quota, table.remembered, header, now, idle_timeout)
            return True
    return _open(table, header, buffer, offset, link, event, client, server)


@inlined
def _make_room(table: Any) -> bool:
    """Free a row of the full table: the flow that is missed least has to go."""
    registers = table.registers
    row = head_of(table, EVICTABLE_LIST)
    if row < 0 and registers[Register.EVICT_JUDGED]:
        row = head_of(table, OTHER_LIST)
        if row >= 0:  # its late packets would open another flow, whoever sends them
            registers[Register.EVICTED_JUDGED] += 1
            direction = int(table.flows[row].direction)
            _degrade(table, direction)
            if direction in (Direction.OUTBOUND, Direction.INBOUND):
                _degrade(table, Direction.OUTBOUND + Direction.INBOUND - direction)
    if row < 0:
        return False
    _enter(table, row, Event.END, registers[Register.NOW])
    registers[Register.EVICTED] += 1
    return True


@inlined
def _open(
    table: Any, header: Any, buffer: Any, offset: Any, link: Any,
    event: int, client: int, server: int,
) -> bool:  # fmt: skip
    """Open a flow by its first packet: section 3."""
    registers = table.registers
    row = take_row(table)
    if row < 0:
        if not _make_room(table):
            registers[Register.UNTRACKED] += 1
            return True
        row = take_row(table)
    flow = table.flows[row]
    flow.low_hi, flow.low_lo = header.low_hi, header.low_lo
    flow.high_hi, flow.high_lo = header.high_hi, header.high_lo
    flow.ports, flow.kind = header.ports, header.kind
    now = registers[Register.NOW]
    flow.first = flow.last = now
    flow.reply_delay = -1
    flow.client_packets, flow.client_bytes = U32(1), U64(header.wire_length)
    flow.server_packets, flow.server_bytes = U32(0), U64(0)
    flow.sender_hi = flow.sender_lo = U64(0)
    flow.icmp_type = flow.icmp_code = U8(0)
    flow.vlan = header.vlan
    flow.slab = -1
    flow.attempts = U32(1 if header.bits & BIT_REQUEST else 0)
    flow.direction = _direction(client, server)
    flow.prefix = U8(client if client else server)
    flow.marks = U8(registers[Register.FIRST_MARKS])
    if header.bits & BIT_CLOSING:
        flow.marks |= U8(MARK_CLOSING)
    if header.bits & BIT_FROM_HIGH:
        flow.marks |= U8(MARK_CLIENT_HIGH)
    flow.state = State.NONE
    insert(table, row, header.hash)
    registers[Register.LIVE] += 1
    _keep_first(table, row, header, buffer, offset, link)
    return _enter(table, row, event, now)


@inlined
def _is_icmp_query(header: Any) -> bool:
    return bool(header.kind >> U16(4) & U16(15))


@inlined
def _from_server(flow: Any, header: Any) -> bool:
    """Tell a packet's direction, or for an ICMP error that of the quoted packet."""
    if header.bits & BIT_EQUAL_ENDS:
        # A host that pings itself: the reply type alone makes it server to client. As the first
        # packet of an unsolicited flow it made its sender the "client".
        is_reply = bool(header.bits & BIT_RESPONSE)
        return _is_icmp_query(header) and is_reply != (flow.state == State.UNSOLICITED)
    return bool(header.bits & BIT_FROM_HIGH) != bool(flow.marks & U8(MARK_CLIENT_HIGH))


@inlined
def _server_event(table: Any, flow: Any, header: Any) -> int:
    """Return which event a packet from the server is."""
    registers = table.registers
    if flow.state == State.UNSOLICITED:
        asks = header.bits & BIT_REQUEST and (header.bits & BIT_SYN or _is_icmp_query(header))
        early = registers[Register.NOW] - flow.first < registers[Register.TIMEOUT]
        return Event.SOLICITATION if asks and early else Event.SERVER
    if header.bits & BIT_RESET:
        return Event.RESET
    if _is_icmp_query(header) and header.bits & BIT_REQUEST:
        return Event.SERVER
    return Event.REPLY


@inlined
def _exchange_ends(table: Any, flow: Any) -> None:
    """Make the server of a flow its client: the request was seen after its response."""
    flow.marks ^= U8(MARK_CLIENT_HIGH)
    client_packets, client_bytes = flow.client_packets, flow.client_bytes
    flow.client_packets, flow.client_bytes = flow.server_packets, flow.server_bytes
    flow.server_packets, flow.server_bytes = client_packets, client_bytes
    flow.attempts += U32(1)
    table.verdicts[flow.direction, flow.state] -= 1
    if flow.direction == Direction.OUTBOUND:
        flow.direction = Direction.INBOUND
    elif flow.direction == Direction.INBOUND:
        flow.direction = Direction.OUTBOUND
    table.verdicts[flow.direction, flow.state] += 1


@inlined
def _judge_flow_packet(table: Any, header: Any, buffer: Any, offset: Any, link: Any) -> bool:
    """Judge a packet that belongs to a flow: section 4."""
    registers = table.registers
    row = _find_live(table, header)
    if row < 0:
        return _try_to_open(table, header, buffer, offset, link)
    flow = table.flows[row]
    if (
        header.bits & BIT_SYN
        and flow.marks & U8(MARK_CLOSING)
        and table.transitions[flow.state, Event.REOPEN] != ILLEGAL
    ):
        _enter(table, row, Event.REOPEN, registers[Register.NOW])
        return _try_to_open(table, header, buffer, offset, link)
    flow.last = registers[Register.NOW]
    if header.bits & BIT_CLOSING:
        flow.marks |= U8(MARK_CLOSING)
    if flow.state != State.PENDING and not is_last(table, row):
        unlink(table, row)
        append(table, row, flow.state)
    if _from_server(flow, header):
        flow.server_packets += U32(flow.server_packets != _MOST_U32)
        flow.server_bytes += U64(header.wire_length)
        event = _server_event(table, flow, header)
        if event == Event.SOLICITATION:
            _exchange_ends(table, flow)
        elif event == Event.REPLY and table.transitions[flow.state, event] != flow.state:
            flow.reply_delay = flow.last - flow.first
        return _enter(table, row, event, registers[Register.NOW])
    flow.client_packets += U32(flow.client_packets != _MOST_U32)
    flow.client_bytes += U64(header.wire_length)
    if header.bits & BIT_REQUEST and flow.attempts != _MOST_U32:
        flow.attempts += U32(1)
    if _is_captured(table, flow):
        _capture_packet(table, row, Role.LATER, header, buffer, offset, link)
    return _enter(table, row, Event.CLIENT, registers[Register.NOW])


@inlined
def _judge_icmp_error(table: Any, header: Any, buffer: Any, offset: Any, link: Any) -> bool:
    """Judge an ICMP error, which is captured whether it is tied to a flow or not."""
    registers = table.registers
    row = _find_live(table, header) if header.bits & BIT_QUOTED else -1
    legal = True
    if row < 0:
        registers[Register.ORPHANS] += 1
    else:
        flow = table.flows[row]
        event = Event.ERROR_SERVER if _from_server(flow, header) else Event.ERROR_CLIENT
        if table.transitions[flow.state, event] != flow.state:
            flow.icmp_type, flow.icmp_code = header.icmp_type, header.icmp_code
            network = offset + int(header.network)
            if header.kind & U16(15) == U16(4):
                flow.sender_lo = U64(be32(buffer, network + 12))
            else:
                flow.sender_hi = be64(buffer, network + 8)
                flow.sender_lo = be64(buffer, network + 16)
        legal = _enter(table, row, event, registers[Register.NOW])
    _capture_packet(table, row, Role.ERROR, header, buffer, offset, link)
    return legal


@inlined
def _prefetch(table: Any, headers: Any, i: int) -> None:
    """Ask memory for what later packets will need: at a million flows, each is a cache miss."""
    mask = U64(len(table.slots) - 1)
    if i + _SLOT_AHEAD < len(headers):
        prefetch(table.slots, int(U64(headers[i + _SLOT_AHEAD].hash) & mask))
    if i + _ROW_AHEAD < len(headers):
        slot = table.slots[U64(headers[i + _ROW_AHEAD].hash) & mask]
        row = int(slot & U64(0xFFFFFFFF)) - 1
        if row >= 0:
            prefetch(table.flows, row)
            prefetch(table.links, row)


@kernel
def judge_packets(table: Any, headers: Any, buffer: Any, offset: Any, link: Any, start: int) -> Any:
    """Judge decoded packets from ``start`` on.

    Returns:
        (how many of the batch's packets are done, DONE, FULL or BROKEN). FULL means that the
        outputs are to be emptied before the rest can be judged.
    """
    registers = table.registers
    for i in range(start, len(headers)):
        _prefetch(table, headers, i)
        header = headers[i]
        status = _pass_time(table, header.time)
        if status == DONE and not has_room(table):
            status = FULL
        if status != DONE:
            return i, status
        registers[Register.PACKETS] += 1
        registers[Register.BYTES] += int(header.wire_length)
        table.counted[header.counted] += 1
        legal = True
        if header.counted == Counted.FLOW_PACKETS:
            legal = _judge_flow_packet(table, header, buffer, offset[i], link[i])
        elif header.counted == Counted.ICMP_ERRORS:
            legal = _judge_icmp_error(table, header, buffer, offset[i], link[i])
        if not legal:
            return i, BROKEN
    return len(headers), DONE


@kernel
def pass_time(table: Any, now: int) -> int:
    """Let time pass without a packet; FULL means: empty the outputs and call again."""
    return int(_pass_time(table, now))


@kernel
def end_flows(table: Any, row: int) -> int:
    """End one flow, or all of them where ``row`` is -1; FULL means: empty and call again."""
    now = table.registers[Register.NOW]
    if row >= 0:
        if table.flows[row].state != State.NONE:
            _enter(table, row, Event.END, now)
        return DONE
    for which in (PENDING_LIST, EVICTABLE_LIST, OTHER_LIST):
        while True:
            row = head_of(table, which)
            if row < 0:
                break
            if not has_room(table):
                return FULL
            if not _enter(table, row, Event.END, now):
                return BROKEN
    return DONE
