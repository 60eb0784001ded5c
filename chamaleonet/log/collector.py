"""Joins the two roads to the packet logger: packets by its port, verdicts by the stream.

A redirect rule cannot match everything that a flow's key holds (an ICMP identifier, UDP-Lite and
DCCP ports), so the port also carries packets of flows that are well. What is written is therefore
decided here, by the verdicts alone: a packet whose flow is not known to be erroneous goes nowhere.
Packets are cut behind their last header when they come, and wait a moment for their verdict.

Like the flow engine it opens no socket and reads no clock.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, Any

import numpy as np

from chamaleonet.capture.batch import PacketBatch
from chamaleonet.flows.headers import (
    BIT_EQUAL_ENDS,
    BIT_FROM_HIGH,
    BIT_QUOTED,
    BIT_REQUEST,
    BIT_RESPONSE,
    HEADERS,
    Counted,
)
from chamaleonet.flows.records import CAPTURED, MARK_CLIENT_HIGH, Role
from chamaleonet.flows.transitions import ERRONEOUS, State
from chamaleonet.kernels import inlined, kernel
from chamaleonet.log.erroneous import ErroneousFlows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from chamaleonet.flows.decode import Decoder
    from chamaleonet.log.reader import Message
    from chamaleonet.log.sinks import FlowSink, PacketSink

SETTLE = 200_000_000  # ns that a packet waits for its verdict
MOST_HELD = 1_000_000  # packets that wait at most
# A packet is stamped once where the controller sees it and once at our port. Stamps that are this
# close (ns) are taken for the same packet, so that no attempt is counted twice.
_SAME_PACKET = 10_000_000

_NEVER = 1 << 63

_FLOW_PACKETS, _ICMP_ERRORS = int(Counted.FLOW_PACKETS), int(Counted.ICMP_ERRORS)
_UNSOLICITED = int(State.UNSOLICITED)
_LATER, _ERROR = int(Role.LATER), int(Role.ERROR)


@kernel
def _strip(
    headers: Any, buffer: Any, offset: Any, length: Any, kept: Any, start: Any, data: Any
) -> int:
    """Keep the headers of the packets that may belong to a flow; return the bytes kept.

    Args:
        headers: HEADERS, shape (n,).
        buffer: uint8: where the packets lie, with ``offset`` and ``length`` as in PacketBatch.
        offset: int64, shape (n,).
        length: int32, shape (n,).
        kept: int64, shape (n,): 1 for packets to keep.
        start: int64, shape (n,): where in ``data`` a kept packet's bytes are put.
        data: uint8, with room for all bytes up to each kept packet's cut.
    """
    at = 0
    for i in range(len(headers)):
        if kept[i] == 0:
            continue
        start[i] = at
        for j in range(min(int(headers[i].cut), int(length[i]))):
            data[at] = buffer[offset[i] + j]
            at += 1
    return at


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
def _join(headers: Any, link: Any, start: Any, rows: Any, flows: Any, packets: Any) -> int:
    """Fill the CAPTURED records of the packets that are to be written; return their number.

    Args:
        headers: HEADERS, shape (n,): flow packets and ICMP errors.
        link: uint16, shape (n,).
        start: int64, shape (n,): where each packet's bytes lie.
        rows: int32, shape (n,): each packet's flow in ``flows``, or -1.
        flows: KNOWN. Attempts are counted on.
        packets: CAPTURED, shape (n,), zeros.
    """
    count = 0
    for i in range(len(headers)):
        header = headers[i]
        row = rows[i]
        packet = packets[count]
        if header.counted == _FLOW_PACKETS:
            if row < 0:
                continue
            known = flows[row]
            flow = known.flow
            if not (known.since <= header.time < known.until and _to_server(header, flow)):
                continue
            if header.bits & BIT_REQUEST and header.time > flow.last + _SAME_PACKET:
                flow.attempts += np.uint32(flow.attempts < 0xFFFFFFFF)
            packet.role = _LATER
            packet.flow = flow
        else:
            packet.role = _ERROR
            packet.icmp_type, packet.icmp_code = header.icmp_type, header.icmp_code
            packet.orphan = header.bits & BIT_QUOTED == 0
            if row >= 0 and header.bits & BIT_QUOTED:
                packet.flow = flows[row].flow
            elif header.bits & BIT_QUOTED:
                _quoted_flow(header, packet.flow)
        packet.time, packet.wire_length = header.time, header.wire_length
        packet.offset, packet.length = start[i], header.cut
        packet.link = link[i]
        packet.row = -1
        count += 1
    return count


class _Held:
    """Stripped packets that wait for their verdicts."""

    __slots__ = ("data", "headers", "link", "since", "start")

    def __init__(
        self, since: int, headers: NDArray[Any], link: Any, start: Any, data: NDArray[np.uint8]
    ) -> None:
        self.since, self.headers, self.link, self.start = since, headers, link, start
        self.data = data


class Collector:
    """Decides which packets and flows are written.

    Args:
        packets: where packets go.
        flows: where ended flows go.
        decoder: reads headers.
        erroneous: the verdicts whose packets are captured.
        settle: ns that a packet from the port waits for its verdict.
        most_held: packets that wait at most.

    Attributes:
        written: packets written, by verdict: a label of transitions.State, ``orphan``, or
            ``none`` for an ICMP error about a flow that is not known to be erroneous.
        logged: flows written, by verdict.
        dropped: packets not written, by cause: a label of flows.headers.Counted for what belongs
            to no flow, ``not_erroneous``, ``hold_full``; and ``flows_full``, flows of which no
            packet will be written.
        known: the flows known to be erroneous.
        held: packets that wait for their verdict.
    """

    def __init__(
        self,
        packets: PacketSink,
        flows: FlowSink,
        decoder: Decoder,
        *,
        erroneous: tuple[State, ...] = ERRONEOUS,
        settle: int = SETTLE,
        most_held: int = MOST_HELD,
        max_flows: int = 1_000_000,
    ) -> None:
        self.written: Counter[str] = Counter()
        self.logged: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self.known = ErroneousFlows(max_flows)
        self._packets, self._flows, self._decoder = packets, flows, decoder
        self._erroneous = erroneous
        self._settle, self._most_held = settle, most_held
        self._waiting: deque[_Held] = deque()
        self.held = 0
        self._ended: deque[tuple[int, NDArray[Any]]] = deque()
        self._instance = ""
        self._headers = np.empty(0, HEADERS)

    def tell(self, message: Message, now: int) -> None:
        """Take a message of the verdict stream.

        Args:
            message: what was told.
            now: ns of any clock that runs evenly; the same one in all calls.
        """
        if message.kind == "hello":
            if message.instance != self._instance:
                # The controller that spoke before is gone: its flows will get no final record.
                self.give_up()
            self._instance = message.instance
        elif message.kind == "flow":
            self._log(message.flow)
            self._ended.append((now, message.flow))
        else:
            self._learn(message.flow)
            if len(message.packets):
                self._write(message.packets, message.data)

    def _learn(self, flow: NDArray[Any]) -> None:
        if not self.known.put(flow, int(flow["state"][0]) in self._erroneous):
            self.dropped["flows_full"] += 1

    def hold(self, batch: PacketBatch, now: int) -> None:
        """Take packets from the port; of what belongs to a flow the headers are kept for now."""
        if len(self._headers) < len(batch):
            self._headers = np.empty(len(batch), HEADERS)
        headers = self._decoder.decode(batch, self._headers)
        counted = headers["counted"]
        kept = (counted == _FLOW_PACKETS) | (counted == _ICMP_ERRORS)
        for kind, count in enumerate(np.bincount(counted[~kept])):
            if count:
                self.dropped[Counted(kind).label] += int(count)
        number = int(kept.sum())
        if not number:
            return
        if self.held + number > self._most_held:
            self.dropped["hold_full"] += number
            return
        start = np.empty(len(batch), np.int64)
        data = np.empty(int(headers["cut"][kept].astype(np.int64).sum()), np.uint8)
        _strip(headers, batch.buffer, batch.offset, batch.length, kept, start, data)
        self._waiting.append(_Held(now, headers[kept], batch.link[kept], start[kept], data))
        self.held += number

    def release(self, now: int) -> int | None:
        """Write the packets that have waited long enough, and forget flows that have ended.

        Returns:
            When to call again at the latest, None if nothing waits.
        """
        while self._waiting and self._waiting[0].since + self._settle <= now:
            held = self._waiting.popleft()
            self.held -= len(held.headers)
            self._join(held)
        # A packet that came before its flow ended has been joined by now.
        while self._ended and self._ended[0][0] + 2 * self._settle <= now:
            self.known.remove(self._ended.popleft()[1])
        if self._waiting:
            return self._waiting[0].since + self._settle
        return self._ended[0][0] + 2 * self._settle if self._ended else None

    def _join(self, held: _Held) -> None:
        packets = np.zeros(len(held.headers), CAPTURED)
        count = _join(
            held.headers, held.link, held.start,
            self.known.rows_of(held.headers), self.known.records, packets,
        )  # fmt: skip
        if count < len(packets):
            self.dropped["not_erroneous"] += len(packets) - count
        if count:
            self._write(packets[:count], held.data)

    def _write(self, packets: NDArray[Any], data: NDArray[np.uint8]) -> None:
        self._packets.write(packets, data)
        orphan = packets["orphan"] != 0
        self.written["orphan"] += int(orphan.sum())
        _count(self.written, packets["flow"]["state"][~orphan])

    def _log(self, flows: NDArray[Any]) -> None:
        self._flows.write(flows)
        _count(self.logged, flows["state"])

    def flush(self) -> None:
        """Write what waits for its verdict, and forget flows that have ended, at once."""
        self.release(_NEVER)

    def give_up(self) -> None:
        """Log the flows that will get no final record, as they are known, and forget them."""
        self.flush()
        self._log(self.known.clear())


# An ICMP error that quotes nothing.
_ORPHAN = (
    bytes(12) + bytes.fromhex("0800 4500001c 00000000 40010000 0a000001 0a000002 0301") + bytes(6)
)


def warm_up(packets: PacketSink, decoder: Decoder) -> None:
    """Have the kernels compiled or loaded, before packets come; one packet is written."""
    collector = Collector(packets, _Nowhere(), decoder)
    one = np.ones(1, np.int64)
    length = (len(_ORPHAN) * one).astype(np.int32)
    buffer = np.frombuffer(bytearray(_ORPHAN), np.uint8)
    collector.hold(PacketBatch(buffer, 0 * one, length, length, one, one.astype(np.uint16)), 0)
    collector.flush()


class _Nowhere:
    def write(self, _: NDArray[Any]) -> None:
        pass


def _count(counts: Counter[str], states: NDArray[np.uint8]) -> None:
    for state, count in enumerate(np.bincount(states)):
        if count:
            counts[State(state).label] += int(count)
