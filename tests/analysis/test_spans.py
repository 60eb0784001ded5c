"""The time that a log covers."""

from __future__ import annotations

from chamaleonet.analysis.spans import observed
from tests.analysis.synthetic import Logs, time


def test_flows_and_counters_count(opened):
    logs = Logs()
    logs.flow(300, "10.1.0.1", "192.0.2.1", attempts=3)
    logs.flow(400, "10.1.0.1", "192.0.2.1")
    assert observed(opened(logs)) == (time(302), time(400))
    logs.healthy(90, "10.1.0.1")
    logs.healthy(500, "10.1.0.1")
    assert observed(opened(logs)) == (time(60), time(480))


def test_counters_alone(opened):
    logs = Logs()
    logs.healthy(90, "10.1.0.1")
    assert observed(opened(logs)) == (time(60), time(60))
