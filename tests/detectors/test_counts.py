from collections import Counter
from types import SimpleNamespace

from prometheus_client import CollectorRegistry

from chamaleonet.detectors.counts import DetectorCounts
from chamaleonet.flows.records import Direction
from chamaleonet.flows.transitions import State
from chamaleonet.metrics import ControllerMetrics


def test_metrics_follow_what_detectors_tell():
    registry = CollectorRegistry()
    key = 17 << 24 | Direction.OUTBOUND << 8 | State.ANSWERED
    detectors = SimpleNamespace(
        verdicts=Counter({key: 5}), working=2, queued=100, restarts=1, cpu_seconds=0.5,
        packets=10, lost_flows=3, unexpected=4,
    )  # fmt: skip
    counts = DetectorCounts(detectors, ControllerMetrics(registry), "a1")

    def value(name, **labels):
        return registry.get_sample_value(f"chamaleonet_{name}", labels)

    counts.scrape()
    detectors.verdicts[key] += 2
    detectors.packets, detectors.cpu_seconds, detectors.working = 15, 0.75, 1
    counts.scrape()
    answered = {"verdict": "answered", "direction": "outbound", "protocol": "udp"}
    assert value("flows_total", **answered) == 7
    assert value("detectors", dp_id="a1") == 1
    assert value("detector_queue_bytes", dp_id="a1") == 100
    assert value("detector_restarts_total", dp_id="a1") == 1
    assert value("detector_cpu_seconds_total", dp_id="a1") == 0.75
    assert value("candidate_packets_total", source="ring") == 15
    assert value("dropped_total", cause="detector_died") == 3
    assert value("dropped_total", cause="unexpected_packet_in") == 4
