"""Several detectors that stand where one flow engine and its ring would."""

from __future__ import annotations

import dataclasses
import logging
import select
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from chamaleonet.capture.fanout import open_group
from chamaleonet.capture.packetsocket import Statistics
from chamaleonet.capture.ring import warm_up
from chamaleonet.capture.spread import Secret, ways
from chamaleonet.detectors.frames import Counts, Kind, pack, pack_numbers
from chamaleonet.detectors.process import DetectorProcess
from chamaleonet.detectors.told import Told
from chamaleonet.flows.engine import Output, longest_first
from chamaleonet.flows.records import CAPTURED, FLOW_EVENT, SLAB, Direction, Quality
from chamaleonet.flows.sights import new_keys, new_sights
from chamaleonet.flows.snapshot import Snapshot
from chamaleonet.flows.table import MOST_PREFIXES
from chamaleonet.flows.transitions import State
from chamaleonet.log.tally import COUNT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from chamaleonet.capture.batch import PacketBatch
    from chamaleonet.flows.engine import Settings

log = logging.getLogger(__name__)

_LIVE = tuple(state for state in State if state is not State.NONE)

_PAUSE_SECONDS = 1.0  # at least, from one start of a detector to the next
_PATIENCE_SECONDS = 20.0  # for what detectors have to do all at once
_SILENT_SECONDS = 5.0  # a detector that was not heard of for so long does not work


class Detectors:
    """Judges the packets of an interface in several processes; has what Probe asks of an Engine.

    Verdicts are those of one engine, for all that is tied to one flow goes to one process. What
    differs: each has its share of ``max_flows`` and of new flows, and a detector's death loses the
    flows that it was waiting with.

    Args:
        name: what logs call the switch.
        interface: of the candidate port.
        number: of detectors.
        snaplen: bytes of a packet at most.
        retire: as Ring's.
        lag: as Detector's.
        send_counts: called with COUNT records of healthy flows.
        settings: as Engine's.
        options: as Engine's.

    Attributes:
        now: the time that has passed, ns.
        restarts: how many detectors were started again.
        lost_flows: flows that waited for their reply in a detector that died.
        unexpected: packets that came by another way than the interface: not judged.
        verdicts: flows that became healthy, by switch.flowcounts.keys_of, since it was emptied:
            no events tell of them.
        prefixes: as Engine's.
        sights: as Engine's, of all detectors.
    """

    def __init__(
        self, name: str, interface: str, number: int, snaplen: int, retire: int, lag: int,
        send_counts: Callable[[NDArray[Any]], None], settings: Settings, **options: Any,
    ) -> None:  # fmt: skip
        self._name, self._number, self._lag = name, number, lag
        self._send_counts = send_counts
        self.verdicts: Counter[int] = Counter()
        share = -(-settings.max_flows // number)
        new_flows = -(-settings.new_flows // number)
        self._settings = dataclasses.replace(settings, max_flows=share, new_flows=new_flows)
        self._options = options | {"sight_keys": new_keys()}
        self.prefixes = longest_first(settings.internal)
        self.sights = new_sights(min(len(self.prefixes), MOST_PREFIXES))
        # Of flows that began before a detector did, the last are due after twice the timeout.
        self._degraded_seconds = 2 * settings.timeout / 1e9
        self._told = Told(share * number, options["ended"])
        self._quality = np.zeros((len(self.sights.flows), len(Direction)), np.uint8)
        self._past = Counts()  # of detectors that have died
        self.now = self.restarts = self.lost_flows = self.unexpected = 0
        self._early: list[Output] = []  # what was told before anybody asked
        self._restored: list[NDArray[Any]] = []
        warm_up()  # once, not in each of them
        self._secret = Secret.new()
        self._sockets = open_group(interface, number, snaplen, self._secret, retire=retire)
        self._statistics = [Statistics(each) for each in self._sockets]
        now = time.monotonic()
        self._processes = [self._start(index, now) for index in range(number)]

    def _start(self, index: int, monotonic: float) -> DetectorProcess:
        return DetectorProcess(
            self._sockets[index], self._settings, self._options, self._lag, self.sights, monotonic
        )

    # As an engine.

    def judge(self, batch: PacketBatch) -> Iterator[Output]:
        """Count packets that came by another way: they belong to we know not whom."""
        self.unexpected += len(batch)
        return iter(())

    def advance(self, now: int) -> Iterator[Output]:
        """Yield what the detectors have told; start those again that have died.

        Args:
            now: ns since 1970. The detectors' own clocks let time pass; this one says when the
                flows of a detector ended that has died.
        """
        self.now = max(self.now, now)
        yield from self._early
        self._early.clear()
        monotonic = time.monotonic()
        for index, process in enumerate(self._processes):
            process.channel.flush()
            yield from self._heard(process, index, monotonic)
            if process.channel.ended:
                if not process.ended:
                    yield self._bury(index, now)
                if monotonic - process.started >= _PAUSE_SECONDS:
                    self._restart(index, monotonic)
            elif process.degraded and monotonic - process.began >= self._degraded_seconds:
                process.degraded = False
                self._qualify(process)

    def finish(self) -> Iterator[Output]:
        """Have all detectors end their flows and themselves; yield what they tell until then."""
        for process in self._processes:
            process.channel.put(pack(Kind.FINISH))
        until = time.monotonic() + _PATIENCE_SECONDS
        while (running := self._running()) and time.monotonic() < until:
            yield from self._wait(until)
        if running:
            log.error("%s: %d detectors do not end", self._name, len(running))

    def forget(self, row: int, first: int) -> Iterator[Output]:
        """Have one flow ended: as Engine does it, but what comes of it is told later."""
        at, index = divmod(row, self._number)
        self._processes[index].channel.put(pack_numbers(Kind.FORGET, at, first))
        return iter(())

    def set_quality(self, direction: Direction, quality: Quality, prefix: int = 0) -> None:
        """Say how far verdicts on flows can be relied on from now on, as to an Engine."""
        self._quality[prefix or slice(None), direction] = quality
        for process in self._processes:
            _command(process, direction, quality, prefix)

    def live_flows(self, states: tuple[State, ...]) -> NDArray[Any]:
        """Return the flows in these states, as they were last told: FLOW, shape (n,)."""
        return self._told.live(states)

    def snapshot(self, most: int) -> Snapshot:
        """Return the flows that were told of, at most so many; those that wait are not known."""
        return Snapshot(self._told.live(_LIVE)[:most], np.empty(0, SLAB))

    def restore(self, flows: Snapshot) -> NDArray[Any]:
        """Have each detector go on with its part of another engine's flows: as Engine does it.

        It waits until they have; to be called once, at the beginning.
        """
        table = flows.flows
        ends = ((table[f"{end}_hi"], table[f"{end}_lo"]) for end in ("low", "high"))
        belongs = ways(self._secret, table["kind"] & 15 == 4, *ends) % self._number
        for index, process in enumerate(self._processes):
            part = table[belongs == index]
            process.channel.put(pack(Kind.RESTORE, part.tobytes(), flows.firsts.tobytes()))
        until = time.monotonic() + _PATIENCE_SECONDS
        while len(self._restored) < self._number and self._running() and time.monotonic() < until:
            self._early += self._wait(until)
        restored = np.concatenate([np.empty(0, FLOW_EVENT), *self._restored])
        self._restored.clear()
        return restored

    def _running(self) -> list[DetectorProcess]:
        return [process for process in self._processes if not process.channel.ended]

    def _wait(self, until: float) -> Iterator[Output]:
        """Wait for a detector to say something, at most until then, and yield what it is."""
        channels = [process.channel for process in self._running()]
        sending = [channel for channel in channels if channel.queued]
        now = time.monotonic()
        select.select(channels, sending, [], max(0.0, until - now))
        for index, process in enumerate(self._processes):
            process.channel.flush()
            yield from self._heard(process, index, now)

    @property
    def packets(self) -> int:
        """Packets judged so far."""
        return self._past.packets + sum(each.counts.packets for each in self._processes)

    @property
    def untracked(self) -> int:
        """Packets that would have opened a flow, but found the table full."""
        return self._past.untracked + sum(each.counts.untracked for each in self._processes)

    @property
    def shed(self) -> int:
        """Packets whose flow was not opened, or before them, for there were too many."""
        return self._past.shed + sum(each.counts.shed for each in self._processes)

    @property
    def evicted_judged(self) -> int:
        """Judged flows, others than answered ones, that lost their place to another."""
        past = self._past.evicted_judged
        return past + sum(each.counts.evicted_judged for each in self._processes)

    @property
    def degraded(self) -> frozenset[Direction]:
        """The directions that some detector loses flows of."""
        return frozenset(
            way for way in Direction for each in self._processes if each.counts.degraded >> way & 1
        )

    @property
    def tracked_flows(self) -> int:
        """Flows in the tables."""
        return sum(each.counts.tracked_flows for each in self._processes)

    @property
    def pending_flows(self) -> int:
        """Flows that wait for an answer."""
        return sum(each.counts.pending_flows for each in self._processes)

    # As a ring.

    def batches(self) -> Iterator[PacketBatch]:
        """Yield nothing: the detectors read the rings."""
        return iter(())

    @property
    def dropped(self) -> int:
        """Packets that the kernel dropped so far because a ring was full."""
        return sum(each.dropped for each in self._statistics)

    def close(self) -> None:
        """End the detectors and give the rings back."""
        for process in self._processes:
            process.end()
        for each in self._sockets:
            each.close()

    # As what they are.

    @property
    def working(self) -> int:
        """How many were heard of just now."""
        since = time.monotonic() - _SILENT_SECONDS
        return sum(each.heard >= since and not each.channel.ended for each in self._processes)

    @property
    def queued(self) -> int:
        """Bytes that wait in detectors for the controller."""
        return sum(each.counts.queued for each in self._processes)

    @property
    def cpu_seconds(self) -> float:
        """How long the detectors have used a processor."""
        return (self._past.cpu_time + sum(each.counts.cpu_time for each in self._processes)) / 1e9

    @property
    def process_ids(self) -> list[int]:
        """The detectors' process ids."""
        return [each.number for each in self._processes]

    def _heard(self, process: DetectorProcess, index: int, monotonic: float) -> Iterator[Output]:
        """Yield what a detector has told; keep or pass on the numbers."""
        for frame in process.frames(monotonic):
            if frame.kind == Kind.VERDICTS:
                for key, number in zip(frame.numbers(0), frame.numbers(1), strict=True):
                    self.verdicts[key] += number
            elif frame.kind == Kind.TALLY:
                self._send_counts(frame.parts[0].view(COUNT))
            elif frame.kind == Kind.RESTORED:
                events = frame.parts[0].view(FLOW_EVENT)
                self._restored.append(self._renamed_events(events, index))
            else:
                yield self._renamed(frame.output(), index)

    def _renamed(self, output: Output, index: int) -> Output:
        """Let the rows be ours, and take note of what is told."""
        packets = output.packets
        rows = packets["row"]
        packets["row"] = np.where(rows < 0, rows, rows * self._number + index)
        return Output(self._renamed_events(output.events, index), packets, output.data)

    def _renamed_events(self, events: NDArray[Any], index: int) -> NDArray[Any]:
        events["row"] = events["row"] * self._number + index
        self._told.take(events)
        return events

    def _qualify(self, process: DetectorProcess) -> None:
        """Tell a detector of the qualities in force."""
        for (prefix, direction), quality in np.ndenumerate(self._quality):
            if not prefix or quality != self._quality[0, direction]:
                _command(process, direction, int(quality), prefix)

    def _bury(self, index: int, now: int) -> Output:
        """Take leave of a detector that has died; return the end of its flows."""
        process = self._processes[index]
        status, counts = process.end(), process.counts
        log.error(
            "%s: detector %d died (exit status %d) with %d flows that waited for their reply",
            self._name, index, status, counts.pending_flows,
        )  # fmt: skip
        self.lost_flows += counts.pending_flows
        self._past = self._past._replace(
            packets=self._past.packets + counts.packets,
            untracked=self._past.untracked + counts.untracked,
            shed=self._past.shed + counts.shed,
            evicted_judged=self._past.evicted_judged + counts.evicted_judged,
            cpu_time=self._past.cpu_time + counts.cpu_time,
        )
        process.counts = Counts()
        events = self._told.end(index, self._number, now)
        return Output(events, np.empty(0, CAPTURED), np.empty(0, np.uint8))

    def _restart(self, index: int, monotonic: float) -> None:
        """Start a detector again: it goes on with the packets that wait in its ring."""
        process = self._processes[index] = self._start(index, monotonic)
        self.restarts += 1
        # Late replies to requests that died with the other look like requests, and fail.
        process.degraded = True
        self._qualify(process)


def _command(process: DetectorProcess, direction: int, quality: int, prefix: int) -> None:
    """Tell a detector of a quality."""
    least = Quality.DEGRADED if process.degraded else Quality.SOUND
    process.channel.put(pack_numbers(Kind.QUALITY, direction, max(quality, least), prefix))
