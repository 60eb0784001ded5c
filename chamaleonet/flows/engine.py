"""The flow engine: batches of packets and the time go in, verdict events come out.

It reads no clock and opens no socket; the live controller, the offline replay and the tests all
feed this one engine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from chamaleonet.flows import snapshot
from chamaleonet.flows.decode import Decoder
from chamaleonet.flows.headers import Counted
from chamaleonet.flows.judge import BROKEN, DONE, end_flows, judge_packets, pass_time
from chamaleonet.flows.records import FLOW, FLOW_EVENT, MARK_CLOSING, Direction, Quality
from chamaleonet.flows.shedding import Quota
from chamaleonet.flows.sights import Sights, new_keys
from chamaleonet.flows.table import Register, new_table
from chamaleonet.flows.transitions import ERRONEOUS, VERDICTS, State
from chamaleonet.units import PRIVATE, Network

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from chamaleonet.capture.batch import PacketBatch
    from chamaleonet.flows.snapshot import Snapshot

# Later timestamps are taken as this one, so that adding a timeout cannot overflow.
_LATEST = 1 << 62


@dataclass(frozen=True, slots=True)
class Settings:
    """What the contract leaves to the operator.

    Attributes:
        internal: prefixes of the network's own hosts.
        timeout: ns without an answer until a flow is unanswered.
        idle_timeout: ns without a packet until a flow is forgotten; more than ``timeout``.
        max_flows: how many flows the table holds, at most 2**31 - 4.
        capture: the states whose packets are captured, some of transitions.CAPTURABLE.
        new_flows: flows that may be opened per second, beyond which they are shed
            (chamaleonet.flows.shedding); 0: any number, as the contract has it.
        evict_judged: whether a full table lets judged flows go too, the longest idle first,
            before it refuses new ones.
    """

    internal: tuple[Network, ...] = PRIVATE
    timeout: int = 3 * 10**9
    idle_timeout: int = 180 * 10**9
    max_flows: int = 1_000_000
    capture: tuple[State, ...] = ERRONEOUS
    new_flows: int = 0
    evict_judged: bool = False


@dataclass(frozen=True, slots=True)
class Output:
    """What the engine has to tell, in the order in which it happened.

    The arrays are borrowed: the engine's next step overwrites them.

    Attributes:
        events: FLOW_EVENT, shape (n,).
        packets: CAPTURED, shape (m,).
        data: uint8: the packets' bytes.
    """

    events: NDArray[Any]
    packets: NDArray[Any]
    data: NDArray[np.uint8]


class Engine:
    """Judges packets by docs/verdicts.md.

    Args:
        settings: what the operator chose.
        judged: the states whose entry is told by a JUDGED event.
        ended: the states (a flow's last) whose end is told by an ENDED event.
        packets: whether captured packets are handed out; they are counted in any case.
        closings_seen: whether packets with FIN or RST reach the engine. Where a switch keeps them
            back, it is also the switch that tells a reused port from a repeated SYN: then any SYN
            on a flow that can be reopened opens a new one.
        sight_interval: ns for which who asks and who is heard is counted together; by default all
            that there is.
        sight_keys: secret of sights.new_keys, for engines whose sights are joined.

    Attributes:
        decoder: of its packets.
        prefixes: the internal prefixes by their number, which begins with 1.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        judged: tuple[State, ...] = (),
        ended: tuple[State, ...] = (),
        packets: bool = False,
        closings_seen: bool = True,
        sight_interval: int = _LATEST,
        sight_keys: NDArray[np.uint64] | None = None,
    ) -> None:
        self.decoder = Decoder(settings.internal)
        self.prefixes = longest_first(settings.internal)
        self._table = new_table(
            internal=self.prefixes,
            timeout=settings.timeout,
            idle_timeout=settings.idle_timeout,
            rows=settings.max_flows,
            keys=self.decoder.keys,
            sight_keys=new_keys() if sight_keys is None else sight_keys,
            sight_interval=sight_interval,
            capture=settings.capture,
            judged=judged,
            ended=ended,
            packets=packets,
            new_flows=settings.new_flows,
            evict_judged=settings.evict_judged,
        )
        if not closings_seen:
            self._table.registers[Register.FIRST_MARKS] = MARK_CLOSING

    def judge(self, batch: PacketBatch, headers: NDArray[Any] | None = None) -> Iterator[Output]:
        """Judge a batch of packets; the iterator must be exhausted before the next step.

        Args:
            batch: the packets, in the order in which they were seen.
            headers: what ``decoder.decode(batch)`` returned, if another thread has done it.
        """
        if headers is None:
            headers = self.decoder.decode(batch)
        done, status = 0, DONE
        while done < len(headers) or status != DONE:
            done, status = judge_packets(
                self._table, headers, batch.buffer, batch.offset, batch.link, done
            )
            yield from self._emptied(status)

    def advance(self, now: int) -> Iterator[Output]:
        """Let time pass without a packet, to ``now`` (ns); it never runs backwards."""
        return self._until_done(lambda: pass_time(self._table, min(now, _LATEST)))

    def finish(self) -> Iterator[Output]:
        """End every flow, as a capture's end does; what is undecided stays pending."""
        return self._until_done(lambda: end_flows(self._table, -1))

    def forget(self, row: int, first: int) -> Iterator[Output]:
        """End one flow; has it ended already, nothing happens.

        Args:
            row: the row that its events bear.
            first: the time of its first packet, which tells it from the row's next flow.
        """
        if self._table.flows[row]["first"] != first:
            return iter(())
        return self._until_done(lambda: end_flows(self._table, row))

    def _until_done(self, step: Callable[[], int]) -> Iterator[Output]:
        status = -1
        while status != DONE:
            status = step()
            yield from self._emptied(status)

    def _emptied(self, status: int) -> Iterator[Output]:
        """Hand the outputs out and empty them."""
        if status == BROKEN:
            raise AssertionError("an event that is illegal in the flow's state")
        table, registers = self._table, self._table.registers
        events, captures = registers[Register.EVENTS], registers[Register.CAPTURES]
        if events or captures:
            yield Output(
                table.events[:events],
                table.captures[:captures],
                table.data[: registers[Register.DATA]],
            )
            registers[[Register.EVENTS, Register.CAPTURES, Register.DATA]] = 0

    def set_timeout(self, timeout: int) -> None:
        """Let pending flows wait so many ns from now on, those that wait already included."""
        self._table.registers[Register.TIMEOUT] = timeout
        self._table.registers[Register.WAKE] = 0  # to be found anew

    def set_quality(self, direction: Direction, quality: Quality, prefix: int = 0) -> None:
        """Say how far verdicts on flows can be relied on from now on.

        Args:
            direction: of the flows.
            quality: of verdicts on them.
            prefix: number of the internal prefix of their hosts; 0: of all, and of flows in
                transit, which have none.
        """
        which = slice(None) if prefix == 0 else prefix
        self._table.quality[which, direction] = quality

    @property
    def sights(self) -> Sights:
        """Who asked and who was heard; to be cleared by who reads it."""
        return Sights(self._table.sights, self._table.sighted)

    def _count(self, register: Register) -> int:
        return int(self._table.registers[register])

    @property
    def now(self) -> int:
        """The largest timestamp so far, ns."""
        return self._count(Register.NOW)

    @property
    def tracked_flows(self) -> int:
        """Flows in the table."""
        return self._count(Register.LIVE)

    @property
    def pending_flows(self) -> int:
        """Flows that wait for an answer."""
        return self._count(Register.PENDING)

    @property
    def untracked(self) -> int:
        """Packets that would have opened a flow, but found the table full."""
        return self._count(Register.UNTRACKED)

    @property
    def shed(self) -> int:
        """Packets whose flow was not opened, or before them, for there were too many."""
        return int(self._table.quota[Quota.SHED])

    @property
    def evicted_judged(self) -> int:
        """Judged flows, others than answered ones, that lost their place to another."""
        return self._count(Register.EVICTED_JUDGED)

    @property
    def degraded(self) -> frozenset[Direction]:
        """The directions that flows are lost of, so that verdicts are DEGRADED."""
        return frozenset(way for way in Direction if self._table.degraded[way] >= self.now)

    @property
    def packets(self) -> int:
        """Packets judged so far."""
        return self._count(Register.PACKETS)

    def live_flows(self, states: tuple[State, ...]) -> NDArray[Any]:
        """Return copies of the live flows in these states: FLOW, shape (n,)."""
        flows = self._table.flows[: self._count(Register.ROWS_USED)]
        live: NDArray[Any] = flows[np.isin(flows["state"], states)]
        assert live.dtype == FLOW
        return live

    def snapshot(self, most: int) -> Snapshot:
        """Return copies of the live flows, at most so many; some healthy ones may be left out."""
        return snapshot.take(self._table, most)

    def restore(self, flows: Snapshot) -> NDArray[Any]:
        """Go on with another engine's flows; nothing is told of them now.

        Args:
            flows: sound, and none of them here already.

        Returns:
            FLOW_EVENT, shape (n,), each with the row, was and flow of one that is here now, as if
            it had just entered its state, but without a time.
        """
        rows = snapshot.put(self._table, flows)
        events = np.zeros(len(rows), FLOW_EVENT)
        events["row"] = rows
        events["flow"] = self._table.flows[rows]
        events["was"] = State.PENDING
        return events

    def summary(self) -> dict[str, Any]:
        """Return section 6 of the contract, and ``untracked`` and ``evicted`` packets and flows."""
        counted = self._table.counted
        verdicts = self._table.verdicts[:, VERDICTS]

        def named(counts: NDArray[np.int64]) -> dict[str, int]:
            labels = (state.label for state in VERDICTS)
            return dict(zip(labels, counts.tolist(), strict=True))

        return {
            "packets": self.packets,
            "bytes": self._count(Register.BYTES),
            **{kind.label: int(counted[kind]) for kind in list(Counted)[: Counted.ICMP_ERRORS]},
            "icmp_errors": int(counted[Counted.ICMP_ERRORS]),
            "icmp_info": int(counted[Counted.ICMP_INFO]),
            "orphans": self._count(Register.ORPHANS),
            "flow_packets": int(counted[Counted.FLOW_PACKETS]),
            "flows": int(verdicts.sum()),
            "verdicts": named(verdicts.sum(axis=0)),
            "directions": {way.label: named(verdicts[way]) for way in Direction},
            "captured_packets": self._count(Register.CAPTURED),
            "untracked": self.untracked,
            "evicted": self._count(Register.EVICTED),
        }


def longest_first(prefixes: tuple[Network, ...]) -> tuple[Network, ...]:
    """Return prefixes in an order in which the first one that holds an address is the longest."""
    return tuple(sorted(set(prefixes), key=lambda p: (p.version, -p.prefixlen, p)))
