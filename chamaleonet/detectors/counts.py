"""The metrics of a switch's detectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chamaleonet.metrics import Total
from chamaleonet.switch.flowcounts import FlowCounts

if TYPE_CHECKING:
    from chamaleonet.detectors.detectors import Detectors
    from chamaleonet.metrics import ControllerMetrics


class DetectorCounts:
    """Brings the metrics up to date with what the detectors have told.

    Args:
        detectors: of one switch.
        metrics: where to count.
        dp_id: the switch's datapath id, as text.
    """

    def __init__(self, detectors: Detectors, metrics: ControllerMetrics, dp_id: str) -> None:
        self._detectors = detectors
        self._flows = FlowCounts(metrics)
        self._working = metrics.detectors.labels(dp_id)
        self._queue = metrics.detector_queue.labels(dp_id)
        self._restarts = Total(metrics.detector_restarts.labels(dp_id).inc)
        self._cpu = Total(metrics.detector_cpu.labels(dp_id).inc)
        self._candidates = Total(metrics.candidate_packets.labels("ring").inc)
        self._lost = Total(metrics.dropped.labels("detector_died").inc)
        self._unexpected = Total(metrics.dropped.labels("unexpected_packet_in").inc)

    def scrape(self) -> None:
        """Bring the metrics up to date."""
        detectors = self._detectors
        for key, number in detectors.verdicts.items():
            self._flows.add_key(key, number)
        detectors.verdicts.clear()
        self._working.set(detectors.working)
        self._queue.set(detectors.queued)
        self._restarts.follow(detectors.restarts)
        self._cpu.follow(detectors.cpu_seconds)
        self._candidates.follow(detectors.packets)
        self._lost.follow(detectors.lost_flows)
        self._unexpected.follow(detectors.unexpected)
