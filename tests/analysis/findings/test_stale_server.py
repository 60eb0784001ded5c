"""Servers that are gone and polled for ever."""

from __future__ import annotations

import random

import pytest

from tests.analysis import synthetic
from tests.analysis.synthetic import DAY, HOUR, Logs

KIND = "stale_server"


def test_one_client(find_one, day):
    synthetic.stale_server(day, period=300, times=280, jitter=20)
    found = find_one(KIND, day)
    assert found.hosts == ["10.1.0.3"]
    assert found.flows == found.erroneous == 280
    assert found.confidence > 0.9
    (row,) = found.evidence
    assert (row["client"], row["server"], row["protocol"], row["server_port"]) == (
        "10.1.0.3", "10.9.0.1", "tcp", 8080,
    )  # fmt: skip
    assert row["period"] == pytest.approx(300, rel=0.05)
    assert "10.9.0.1" in found.fix
    assert "about every 5 minutes" in found.cause


def test_all_clients_of_a_server_are_one_finding(find_one, day):
    for n, times in ((3, 200), (4, 100), (5, 50)):
        synthetic.stale_server(day, f"10.1.0.{n}", period=400, times=times, begin=n)
    # And one that asks by hand.
    for at in (100, 5000, 5040, 30000):
        day.flow(at, "10.1.0.6", "10.9.0.1", 8080)
    found = find_one(KIND, day)
    assert found.hosts == ["10.1.0.3", "10.1.0.4", "10.1.0.5", "10.1.0.6"]
    assert found.flows == 354


def test_lists_of_dead_servers_are_one_finding(find_one, day):
    for n in range(5):
        synthetic.stale_server(day, server=f"10.9.0.{n}", period=900, times=90, begin=n)
    found = find_one(KIND, day)
    assert found.hosts == ["10.1.0.3"]
    assert found.flows == 450


def test_a_minute_is_enough(find_one):
    logs = Logs()
    synthetic.background(logs, hours=1)
    synthetic.stale_server(logs, period=1.0, times=60, jitter=0.05, begin=HOUR - 60)
    assert find_one(KIND, logs).flows == 60


def test_a_capture_of_a_minute(find_one):
    logs = Logs()
    synthetic.stale_server(logs, "fd00:1::5", "2001:db8::1", 80, period=5.0, times=12)
    found = find_one(KIND, logs)
    assert found.hosts == ["fd00:1::5"]
    assert found.share == 1


def test_a_refused_poll(find_one, day):
    for n in range(200):
        day.flow(n * 400, "10.1.0.3", "10.9.0.1", 9200, verdict="refused")
    found = find_one(KIND, day)
    assert (found.flows, found.erroneous, found.share) == (200, 0, 0)
    assert "refuses" in found.cause


def test_several_connections_in_a_poll(find_one, day):
    draw = random.Random(1)
    for n in range(100):
        for retry in range(draw.randrange(1, 4)):
            day.flow(n * 600 + retry * 2, "10.1.0.3", "10.9.0.1", 80)
    assert find_one(KIND, day).evidence[0]["period"] == pytest.approx(600)


def test_datagrams_from_one_port(find_one, day):
    day.flow(0, "10.1.0.3", "10.9.0.1", 5683, protocol="udp", attempts=800, spacing=100)
    found = find_one(KIND, day)
    assert found.evidence[0]["requests"] == 800
    assert found.evidence[0]["period"] == pytest.approx(100)
    assert found.confidence <= 0.4  # it may be telling, not asking


def test_a_server_that_died_may_have_answered_before(find_one, day):
    day.flow(0, "10.1.0.3", "10.9.0.1", 8080, verdict="recovered")
    synthetic.stale_server(day, period=600, times=100, begin=DAY - 60_000)
    assert find_one(KIND, day).flows == 100
