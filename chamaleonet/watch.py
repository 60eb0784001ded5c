"""A switch that is watched: its probe, where its candidates come in, and its connection."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chamaleonet import metrics
from chamaleonet.capture.ring import Ring
from chamaleonet.config import datapath_text
from chamaleonet.detectors.counts import DetectorCounts
from chamaleonet.detectors.detectors import Detectors
from chamaleonet.switch import framework
from chamaleonet.switch.probe import Probe

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from chamaleonet.checkpoint import CheckpointFile
    from chamaleonet.config import Config, Switch
    from chamaleonet.flows.engine import Output
    from chamaleonet.switch.role import Role

# A candidate may be so long on its way to us; a deadline is judged only after that.
_RETIRE = 5  # ms that the ring keeps a block which is not full
_RING_LAG = (_RETIRE + 10) * 10**6  # ns
_PACKET_IN_LAG = 5 * 10**6  # ns


@dataclass(slots=True)
class Watch:
    """A configured switch, its candidate port, and its connection while there is one."""

    probe: Probe
    ring: Ring | Detectors | None
    dropped: metrics.Total
    checkpoint: CheckpointFile | None
    detector_counts: DetectorCounts | None = None
    datapath: Any = None
    role: Role | None = None  # at this connection, where there is an election

    def tick(self, now: int) -> None:
        """Judge what has come, then let time pass."""
        lag = _PACKET_IN_LAG
        if self.ring is not None:
            lag = _RING_LAG
            for batch in self.ring.batches():
                self.probe.judge(batch)
        self.probe.judge_packet_ins()
        # Before deadlines are judged: it may tell what silence is worth.
        self.probe.look(0 if self.ring is None else self.ring.dropped, now)
        self.probe.advance(now - lag)
        self.send()

    def let_pass(self) -> None:
        """Pass over what has come: another controller judges it."""
        if self.ring is not None:
            for _ in self.ring.batches():
                pass

    def next_xid(self) -> int:
        """Return a transaction id of the present connection."""
        return framework.next_xid(self.datapath)

    def say(self, message: bytes) -> None:
        """Send what a conversation goes on with; a switch that does not take it is left."""
        if message and self.datapath is not None and not framework.send(self.datapath, message):
            self.datapath.close()

    def send(self) -> None:
        """Send what the rulebook wants in the switch."""
        # Nobody may wait for one switch: what it has no room for is sent later.
        datapath = self.datapath
        if (
            datapath is not None
            and framework.has_room(datapath)
            and (message := self.probe.flush())
        ):
            framework.send(datapath, message)

    def end(self) -> None:
        """Close what was opened for it."""
        if self.ring is not None:
            self.ring.close()
        if self.datapath is not None:
            self.datapath.close()

    def scrape(self) -> None:
        """Bring the metrics up to date."""
        self.probe.scrape()
        if self.ring is not None:
            self.dropped.follow(self.ring.dropped)
        if self.detector_counts is not None:
            self.detector_counts.scrape()


def new_watch(
    config: Config,
    switch: Switch,
    checkpoint: CheckpointFile | None,
    counted: metrics.ControllerMetrics,
    tell: Callable[[Output], None],
    send_counts: Callable[[NDArray[Any]], None],
) -> Watch:
    """Begin to watch a switch.

    Args:
        config: the whole configuration.
        switch: the switch's part of it.
        checkpoint: where its flows are kept, if anywhere.
        counted: where to count.
        tell: called with what its judge tells, which it may only borrow.
        send_counts: called with counters of healthy flows, where detectors keep these to
            themselves.

    Raises:
        UserError: its candidate port's interface cannot be used.
    """
    dropped = metrics.Total(counted.dropped.labels("ring_full").inc)
    candidates = switch.candidates
    if candidates.interface is None or not candidates.detectors:
        probe = Probe(config, switch, tell, counted)
        ring = Ring(candidates.interface, retire=_RETIRE) if candidates.interface else None
        return Watch(probe, ring, dropped, checkpoint)
    detectors = functools.partial(
        Detectors, switch.name, candidates.interface, candidates.detectors, switch.snaplen,
        _RETIRE, _RING_LAG, send_counts,
    )  # fmt: skip
    probe = Probe(config, switch, tell, counted, detectors)
    assert isinstance(probe.engine, Detectors)
    counts = DetectorCounts(probe.engine, counted, datapath_text(switch.dp_id))
    return Watch(probe, probe.engine, dropped, checkpoint, counts)
