"""Clocks set by a dead peer."""

from __future__ import annotations

import pytest

from tests.analysis import synthetic
from tests.analysis.synthetic import Logs

KIND = "ntp_dead_peer"


def test_requests_in_flows_of_their_own(find_one, day):
    synthetic.dead_peer(day, ["10.1.0.7", "10.1.0.8"])
    found = find_one(KIND, day)
    assert found.hosts == ["10.1.0.7", "10.1.0.8"]
    assert found.flows == 160
    assert found.evidence[0]["period"] == pytest.approx(1024, rel=0.01)


def test_requests_from_port_123_are_one_flow(find_one, day):
    day.flow(0, "10.1.0.7", "198.18.9.123", 123, protocol="udp", attempts=1000, spacing=64)
    found = find_one(KIND, day)
    assert (found.flows, found.evidence[0]["requests"]) == (1, 1000)
    assert found.evidence[0]["period"] == pytest.approx(64)


def test_a_burst_at_the_start(find_one):
    logs = Logs()
    logs.flow(0, "fd00:1::7", "2001:db8::123", 123, protocol="udp", attempts=8, spacing=2)
    assert find_one(KIND, logs).hosts == ["fd00:1::7"]
