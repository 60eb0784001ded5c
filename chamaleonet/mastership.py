"""What a controller does while it is the master: it tells of flows, and keeps them on disk.

Where there is no election, that is always.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from chamaleonet import checkpoint, metrics
from chamaleonet.election.feed import Frame
from chamaleonet.flows.concentration import Concentration
from chamaleonet.flows.records import MARK_RESTORED, ended_flows
from chamaleonet.log.stream.endpoint import Endpoint
from chamaleonet.log.stream.producer import VerdictStream
from chamaleonet.log.stream.selection import LOGGED
from chamaleonet.log.stream.spool import Spool
from chamaleonet.log.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from chamaleonet.checkpoint import CheckpointFile
    from chamaleonet.config import Config
    from chamaleonet.flows.engine import Output
    from chamaleonet.standby import Standby
    from chamaleonet.watch import Watch

log = logging.getLogger(__name__)

_COUNT_SECONDS = 60.0  # from one telling of healthy flows to the next


class Mastership:
    """Begins with the flows that the master before has left.

    Args:
        config: the configuration; what of it is used here does not change while we run.
        watches: returns the switches that are watched, by datapath id.
        counted: where to count.
        standby: whoever is to hear of our flows, if anybody.
        term: in which we are master; 0 where there is no election.

    Attributes:
        term: as given.

    Raises:
        UserError: the stream's address or the spool cannot be used.
    """

    def __init__(
        self,
        config: Config,
        watches: Callable[[], Mapping[int, Watch]],
        counted: metrics.ControllerMetrics,
        standby: Standby | None,
        term: int,
    ) -> None:
        self.term = term
        self._watches, self._standby, self._metrics = watches, standby, counted
        self._captured = config.capture
        self._checkpoint = config.checkpoint
        self._concentration = Concentration()
        self._losses = metrics.Totals(counted.dropped)
        after = self._restore()
        stream, spool = config.stream, config.stream.spool
        self._stream = VerdictStream(
            Endpoint(stream.address, stream.tls, stream.group),
            self._erroneous,
            erroneous=config.capture,
            capacity=stream.queue,
            spool=Spool(spool.directory, spool.size, after=after) if spool is not None else None,
            after=after,
        )
        self._tally = Tally(self._stream.send_counts) if config.logger.healthy else None
        self._counted = time.monotonic()
        self._saved = 0.0
        self.save()

    def _restore(self) -> int:
        """Go on with what an earlier controller left; return the run of the stream that told it."""
        after = 0
        for watch in self._watches().values():
            saved = None
            if self._standby is not None:
                saved = self._standby.take_copy(watch.probe.switch.dp_id)
            if saved is None and watch.checkpoint is not None:
                saved = watch.checkpoint.load()
            if saved is None:
                continue
            after = max(after, saved.run)
            if watch.role is not None and (watch.role.generation or 0) > saved.term:
                # Whoever was master since told of these flows what we do not know.
                log.warning("%s: what is saved is out of date", watch.probe.switch.name)
            else:
                flows = watch.probe.restore(saved.flows, time.time_ns())
                self._metrics.restored_flows.inc(flows)
                log.info("%s: goes on with %d flows", watch.probe.switch.name, flows)
        return after

    def save(self) -> None:
        """Save all flows, so that a controller after this one can go on with them."""
        if self._checkpoint is None:
            return
        self._saved = time.monotonic()
        now = time.time_ns()
        for dp_id, watch in self._watches().items():
            if watch.checkpoint is not None:
                flows = watch.probe.snapshot(self._checkpoint.flows)
                data = checkpoint.encode(flows, self._stream.run, self.term, now)
                watch.checkpoint.begin(data)
                if self._standby is not None:
                    self._standby.tell(Frame.BEGIN, dp_id, data)
        self._metrics.checkpoint_time.set(now / 1e9)

    def tick(self) -> None:
        """Do what is due now and then."""
        now = time.monotonic()
        if self._tally is not None and now - self._counted >= _COUNT_SECONDS:
            self._counted = now
            self._tally.flush()
        if self._checkpoint is not None and now - self._saved >= self._checkpoint.interval / 1e9:
            self.save()

    def tell(self, dp_id: int, saved: CheckpointFile | None, output: Output) -> None:
        """Tell what a switch's judge has told, which is only borrowed."""
        if saved is not None and len(output.events):  # before anybody knows of it
            data = checkpoint.encode_events(output.events)
            saved.append(data)
            if self._standby is not None:
                self._standby.tell(Frame.APPEND, dp_id, data)
        self._stream.send(output.events, output.packets, output.data)
        self._concentration.add(output.events, time.time_ns())
        if self._tally is not None:
            self._tally.write(ended_flows(output.events))

    def send_counts(self, counts: NDArray[Any]) -> None:
        """Tell what detectors counted of healthy flows: COUNT, shape (n,)."""
        self._stream.send_counts(counts)

    def _erroneous(self) -> NDArray[Any]:
        """Return what is erroneous, and what an earlier controller told of and still lives."""
        engines = (watch.probe.engine for watch in self._watches().values())
        flows = np.concatenate([engine.live_flows(LOGGED) for engine in engines])
        restored = flows["marks"] & MARK_RESTORED != 0
        told: NDArray[Any] = flows[restored | np.isin(flows["state"], self._captured)]
        return told

    def scrape(self) -> None:
        """Bring the metrics up to date."""
        for direction, share in self._concentration.shares().items():
            self._metrics.top_host.labels(direction.label).set(share)
        self._metrics.logger_queue.set(self._stream.queued)
        self._metrics.logger_spool.set(self._stream.spooled)
        self._metrics.logger_spool_bytes.set(self._stream.spool_bytes)
        self._losses.follow(self._stream.dropped)
        self._losses.follow(self._stream.refused)

    def close(self, *, patience: float) -> None:
        """End; consumers of the stream have so many seconds to take what waits."""
        if self._tally is not None:
            self._tally.flush()
        self._stream.close(patience)
