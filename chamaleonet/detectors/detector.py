"""A detector: a ring and a flow engine in a process of its own.

It is started by the controller with two descriptors, and asks for no right of its own. What it has
to tell waits until the controller takes it; when too much waits it takes no more packets, so that
what is lost is lost in the ring, where it is counted, and never an event.
"""

from __future__ import annotations

import contextlib
import logging
import math
import pickle
import select
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING, Any

from chamaleonet.capture.ring import Ring
from chamaleonet.detectors.channel import Channel
from chamaleonet.detectors.digest import Digest
from chamaleonet.detectors.frames import (
    Counts,
    Kind,
    pack,
    pack_numbers,
    pack_sights,
    pack_verdicts,
)
from chamaleonet.detectors.gather import Gathered
from chamaleonet.flows.engine import Engine
from chamaleonet.flows.records import FLOW, SLAB, Direction, Quality
from chamaleonet.flows.snapshot import Snapshot
from chamaleonet.flows.transitions import State
from chamaleonet.log.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from chamaleonet.detectors.frames import Frame
    from chamaleonet.flows.engine import Output

_TICK = 0.005  # s
_MOST_QUEUED = 16 << 20  # bytes
_COUNT_SECONDS = 0.1  # from one COUNTS frame to the next, if anything has changed
_ALIVE_SECONDS = 1.0  # in any case
_TALLY_SECONDS = 10.0  # from one telling of healthy flows to the next


class Detector:
    """Judges packets by a ring and tells of them over a channel.

    Args:
        ring: has ``batches`` like a Ring.
        engine: judges them.
        channel: leads to the controller.
        lag: ns that a packet may be on its way to us; a deadline is judged only after that.
        healthy: whether healthy flows are counted for the logger.
    """

    def __init__(
        self, ring: Ring, engine: Engine, channel: Channel, lag: int, *, healthy: bool = True
    ) -> None:
        self._ring, self._engine, self._channel, self._lag = ring, engine, channel, lag
        self._tally = Tally(self._tell_tally) if healthy else None
        self._digest = Digest(self._tally)
        self._gathered = Gathered()
        self._counts = Counts()
        self._counted = 0.0
        self._tallied: float | None = None

    def run(self) -> None:
        """Work until told to finish, or until the controller is gone."""
        while not self._channel.ended:
            readers = [self._channel]
            if not self._is_full:
                readers.append(self._ring)  # type: ignore[arg-type]  # both have a descriptor
            writers = [self._channel] if self._channel.queued else []
            select.select(readers, writers, [], _TICK)
            for frame in self._channel.frames():
                if frame.kind == Kind.FINISH:
                    self._finish()
                    return
                self._obey(frame)
            self.turn(time.time_ns(), time.monotonic())
            self._channel.flush()

    @property
    def _is_full(self) -> bool:
        return self._channel.queued + self._gathered.size >= _MOST_QUEUED

    def turn(self, now: int, monotonic: float) -> None:
        """Judge what has come, then let time pass.

        Args:
            now: ns since 1970.
            monotonic: s of a clock that nobody sets.
        """
        with contextlib.closing(self._ring.batches()) as batches:
            # Time must not pass before the packets that wait are judged.
            while not self._is_full:
                batch = next(batches, None)
                if batch is None:
                    self._tell(self._engine.advance(now - self._lag))
                    break
                self._tell(self._engine.judge(batch))
        self._put_gathered()
        self._count(monotonic)

    def _obey(self, frame: Frame) -> None:
        if frame.kind == Kind.RESTORE:
            flows, firsts, _ = frame.parts
            events = self._engine.restore(Snapshot(flows.view(FLOW), firsts.view(SLAB)))
            self._channel.put(pack(Kind.RESTORED, events.tobytes()))
            return
        if frame.kind == Kind.QUALITY:
            direction, quality, prefix = frame.numbers()
            self._engine.set_quality(Direction(direction), Quality(quality), prefix)
        elif frame.kind == Kind.FORGET:
            row, first = frame.numbers()
            self._tell(self._engine.forget(row, first))

    def _tell(self, outputs: Iterable[Output]) -> None:
        for output in map(self._digest.take, outputs):
            if len(output.events) or len(output.packets):
                self._gathered.add(output)

    def _put_gathered(self) -> None:
        if self._gathered.size:
            self._channel.put(self._gathered.frame())

    def _tell_tally(self, counts: NDArray[Any]) -> None:
        self._channel.put(pack(Kind.TALLY, counts.tobytes()))

    def _count(self, monotonic: float) -> None:
        """Tell what was counted, now and then."""
        if self._tallied is None:
            self._tallied = monotonic
        if self._tally is not None and monotonic - self._tallied >= _TALLY_SECONDS:
            self._tallied = monotonic
            self._tally.flush()
        elapsed = monotonic - self._counted
        if elapsed < _COUNT_SECONDS:
            return
        if self._digest.verdicts:
            self._channel.put(pack_verdicts(self._digest.verdicts))
            self._digest.verdicts.clear()
        engine = self._engine
        counts = Counts(
            packets=engine.packets,
            untracked=engine.untracked,
            shed=engine.shed,
            evicted_judged=engine.evicted_judged,
            cpu_time=time.process_time_ns(),
            tracked_flows=engine.tracked_flows,
            pending_flows=engine.pending_flows,
            degraded=sum(1 << way for way in engine.degraded),
            queued=self._channel.queued,
        )
        # It always takes some time of the processor, which alone is not worth a frame.
        if (
            elapsed >= _ALIVE_SECONDS
            or counts._replace(cpu_time=self._counts.cpu_time) != self._counts
        ):
            self._counts, self._counted = counts, monotonic
            self._channel.put(pack_numbers(Kind.COUNTS, *counts))
            self._channel.put(pack_sights(engine.sights))

    def _finish(self) -> None:
        self._tell(self._engine.finish())
        self._put_gathered()
        self._count(math.inf)
        self._channel.flush_all()


def main(ring: int, channel: int) -> int:
    """Be a detector; return the exit status. How it is to judge comes by standard input, pickled.

    Args:
        ring: descriptor of a packet socket of capture.fanout.open_group.
        channel: descriptor of a stream socket that leads to the controller.
    """
    for number in (signal.SIGINT, signal.SIGTERM):  # meant for the controller, which will tell us
        signal.signal(number, signal.SIG_IGN)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    settings, options, lag = pickle.load(sys.stdin.buffer)  # noqa: S301  (from our controller)
    with Ring(socket.socket(fileno=ring)) as opened:
        connection = Channel(socket.socket(fileno=channel))
        healthy = State.ANSWERED in options["ended"]
        Detector(opened, Engine(settings, **options), connection, lag, healthy=healthy).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
