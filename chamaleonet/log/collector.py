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
from chamaleonet.flows.headers import HEADERS, Counted
from chamaleonet.flows.records import CAPTURED, FLOW, Quality
from chamaleonet.flows.transitions import ERRONEOUS, State
from chamaleonet.log.departed import Departed
from chamaleonet.log.erroneous import ErroneousFlows
from chamaleonet.log.joining import join, strip, survey, tally

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from chamaleonet.flows.decode import Decoder
    from chamaleonet.log.sinks import CountSink, EventSink, FlowSink, PacketSink
    from chamaleonet.log.stream.reader import Message

SETTLE = 200_000_000  # ns that a packet waits for its verdict
MOST_HELD = 1_000_000  # packets that wait at most

_NEVER = 1 << 63
# Flows that have ended are known as such for so long, in case that another controller does not.
_REMEMBERED = 10 * 10**9  # ns
_MOST_REMEMBERED = 50_000

_FLOW_PACKETS, _ICMP_ERRORS = Counted.FLOW_PACKETS, Counted.ICMP_ERRORS
_BELONGS_TO_NO_FLOW = [kind for kind in Counted if kind not in (_FLOW_PACKETS, _ICMP_ERRORS)]


class _Held:
    """Stripped packets that wait for their verdicts."""

    __slots__ = ("data", "headers", "link", "since")

    def __init__(
        self, since: int, headers: NDArray[Any], link: NDArray[np.uint16], data: NDArray[np.uint8]
    ) -> None:
        self.since, self.headers, self.link, self.data = since, headers, link, data


class Collector:
    """Decides which packets and flows are written.

    Args:
        packets: where packets go.
        flows: where ended flows go.
        decoder: reads headers.
        erroneous: the verdicts whose packets are captured.
        counts: where counters of healthy flows go.
        events: are told of verdicts and ends as they come.
        departed: the flows of a controller that is gone.
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
        departed: the flows of a controller that is gone.
    """

    def __init__(
        self,
        packets: PacketSink,
        flows: FlowSink,
        decoder: Decoder,
        *,
        erroneous: tuple[State, ...] = ERRONEOUS,
        counts: CountSink | None = None,
        events: tuple[EventSink, ...] = (),
        departed: Departed | None = None,
        settle: int = SETTLE,
        most_held: int = MOST_HELD,
        max_flows: int = 1_000_000,
    ) -> None:
        self.written: Counter[str] = Counter()
        self.logged: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self.known = ErroneousFlows(decoder.keys, max_flows)
        self._packets, self._flows, self._decoder = packets, flows, decoder
        self._erroneous = erroneous
        self._counts_sink = counts
        self._events = events
        self.departed = departed or Departed()
        self._settle, self._most_held = settle, most_held
        self._waiting: deque[_Held] = deque()
        self.held = 0
        self._ended: deque[tuple[int, NDArray[Any]]] = deque()
        self._just_logged: deque[tuple[int, NDArray[Any]]] = deque(maxlen=_MOST_REMEMBERED)
        self._run = 0
        # Working memory: what a batch needs, again and again.
        self._headers = np.empty(0, HEADERS)
        self._captured = np.empty(0, CAPTURED)
        self._counts = np.zeros(len(Counted), np.int64)

    def tell(self, message: Message, now: int) -> None:
        """Take a message of the verdict stream.

        Args:
            message: what was told.
            now: ns of any clock that runs evenly; the same one in all calls.
        """
        if message.kind == "hello":
            if message.run != self._run:
                self.flush()
                self.departed.add(self.known.clear())
                self._forget_logged(now)
                logged = [flow for _, flow in self._just_logged] or [np.empty(0, FLOW)]
                self.departed.remember(np.concatenate(logged), self._run)
            self._run = message.run
        elif message.kind == "current":
            self._log(self.departed.settle(self._run))
        elif message.kind == "counts":
            if self._counts_sink is not None:
                self._counts_sink.write(message.counts)
        elif message.kind == "flow":
            self._ended.append((now, message.flow))
            self._just_logged.append((now, message.flow))
            self._forget_logged(now)
            if not self.departed.ended(message.flow):
                self._log(message.flow)
        else:
            self._learn(message.flow)
            if message.position is None or message.position.run == self._run:
                self.departed.active(message.flow)
            if message.kind == "verdict":
                for sink in self._events:
                    sink.verdicts(message.flow)
            if len(message.packets):
                self._write(message.packets, message.data)

    def _forget_logged(self, now: int) -> None:
        while self._just_logged and self._just_logged[0][0] + _REMEMBERED <= now:
            self._just_logged.popleft()

    def _learn(self, flow: NDArray[Any]) -> None:
        # While replies are out of sight, what is well seems to fail: its packets are not for us.
        suspect = flow["quality"][0] == Quality.SUSPECT
        if not self.known.put(flow, int(flow["state"][0]) in self._erroneous and not suspect):
            self.dropped["flows_full"] += 1

    def hold(self, batch: PacketBatch, now: int) -> None:
        """Take packets from the port; of what belongs to a flow the headers are kept for now."""
        if len(self._headers) < len(batch):
            self._headers = np.empty(len(batch), HEADERS)
        headers = self._decoder.decode(batch, self._headers)
        self._counts[:] = 0
        size = survey(headers, self._counts)
        counts = self._counts.tolist()
        for kind in _BELONGS_TO_NO_FLOW:
            if counts[kind]:
                self.dropped[kind.label] += counts[kind]
        number = counts[_FLOW_PACKETS] + counts[_ICMP_ERRORS]
        if not number:
            return
        if self.held + number > self._most_held:
            self.dropped["hold_full"] += number
            return
        held = _Held(
            now, np.empty(number, HEADERS), np.empty(number, np.uint16), np.empty(size, np.uint8)
        )
        strip(headers, batch.link, batch.buffer, batch.offset, held.headers, held.link, held.data)
        self._waiting.append(held)
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
        number = len(held.headers)
        if len(self._captured) < number:
            self._captured = np.empty(number, CAPTURED)
        count = join(held.headers, held.link, self.known.table, self._captured)
        if count < number:
            self.dropped["not_erroneous"] += number - count
        if count:
            self._write(self._captured[:count], held.data)

    def _write(self, packets: NDArray[Any], data: NDArray[np.uint8]) -> None:
        self._packets.write(packets, data)
        states = np.zeros(len(State), np.int64)
        self.written["orphan"] += tally(packets, states)
        _add(self.written, states)

    def _log(self, flows: NDArray[Any]) -> None:
        if not len(flows):
            return
        self._flows.write(flows)
        for sink in self._events:
            sink.ended(flows)
        _add(self.logged, np.bincount(flows["state"]))

    def flush(self) -> None:
        """Write what waits for its verdict, and forget flows that have ended, at once."""
        self.release(_NEVER)

    def give_up(self) -> None:
        """Log the flows whose final record may never come, as they are known."""
        self.flush()
        self.departed.add(self.known.clear())
        self._log(self.departed.give_up(self._run))


# An ICMP error that quotes nothing.
_ORPHAN = (
    bytes(12) + bytes.fromhex("0800 4500001c 00000000 40010000 0a000001 0a000002 0301") + bytes(6)
)


def warm_up(packets: PacketSink, decoder: Decoder) -> None:
    """Have the kernels compiled or loaded, before packets come; one packet is written."""
    collector = Collector(packets, _Nowhere(), decoder)
    flow = np.zeros(1, FLOW)
    collector.known.put(flow, True)
    collector.known.remove(flow)
    one = np.ones(1, np.int64)
    length = (len(_ORPHAN) * one).astype(np.int32)
    buffer = np.frombuffer(bytearray(_ORPHAN), np.uint8)
    collector.hold(PacketBatch(buffer, 0 * one, length, length, one, one.astype(np.uint16)), 0)
    collector.flush()


class _Nowhere:
    def write(self, _: NDArray[Any]) -> None:
        pass


def _add(counts: Counter[str], states: NDArray[Any]) -> None:
    for state, count in enumerate(states.tolist()):
        if count:
            counts[State(state).label] += count
