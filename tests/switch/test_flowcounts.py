import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from chamaleonet.flows.records import FLOW_EVENT, Change, Direction, Quality
from chamaleonet.flows.transitions import State
from chamaleonet.metrics import ControllerMetrics
from chamaleonet.switch.flowcounts import FlowCounts, keys_of


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
def counts(registry):
    return FlowCounts(ControllerMetrics(registry))


def flows(registry, **labels):
    return registry.get_sample_value("chamaleonet_flows_total", labels)


def events():
    made = np.zeros(4, FLOW_EVENT)
    made["change"] = [Change.JUDGED, Change.JUDGED, Change.ENDED, Change.JUDGED]
    made["flow"]["kind"] = [6 << 8 | 4, 6 << 8 | 6, 6 << 8 | 4, 200 << 8 | 4]
    made["flow"]["state"] = State.UNANSWERED
    made["flow"]["direction"] = Direction.INBOUND
    made["flow"]["quality"] = [0, Quality.SUSPECT, 0, 0]
    return made


def test_verdicts_are_counted_and_ends_are_not(registry, counts):
    counts.add(events())
    counts.add(events()[:1])
    named = {"verdict": "unanswered", "direction": "inbound"}
    assert flows(registry, protocol="tcp", **named) == 3
    assert flows(registry, protocol="other", **named) == 1
    assert flows(registry, protocol="udp", **named) == 0, "known from the beginning"
    unsound = "chamaleonet_flows_unsound_total"
    assert registry.get_sample_value(unsound, {"quality": "suspect"}) == 1
    assert registry.get_sample_value(unsound, {"quality": "degraded"}) == 0


def test_keys_can_be_counted_elsewhere(registry, counts):
    for key in keys_of(events()).tolist():
        counts.add_key(key, 10)
    named = {"verdict": "unanswered", "direction": "inbound"}
    assert flows(registry, protocol="tcp", **named) == 20
