"""Resolvers that are none."""

from __future__ import annotations

import pytest

from tests.analysis import synthetic
from tests.analysis.synthetic import HOUR, Logs

KIND = "dns_dead_resolver"
CLIENTS = ["10.1.0.5", "10.1.0.6"]


def test_a_dead_resolver(find_one, day):
    synthetic.dead_resolver(day, CLIENTS, queries=200, spacing=400)
    found = find_one(KIND, day)
    assert sorted(found.hosts) == CLIENTS
    assert found.flows == 400
    assert found.confidence > 0.8
    assert "198.18.9.53" in found.fix


def test_for_a_short_time(find_one, day):
    synthetic.dead_resolver(day, CLIENTS, begin=10 * HOUR)
    found = find_one(KIND, day)
    assert found.flows == 40
    assert found.confidence < 0.7  # it ended, nobody knows why


@pytest.mark.parametrize(
    ("server", "what"),
    [
        ("127.0.0.1", "localhost"),
        ("192.168.1.1", "private"),
        ("fec0:0:0:ffff::1", "site-local"),
        ("169.254.3.4", "link-local"),
    ],
)
def test_a_bogon(find_one, day, server, what):
    client = "fd00:1::5" if ":" in server else "10.1.0.5"
    synthetic.dead_resolver(day, [client], server, queries=5, begin=10 * HOUR)
    found = find_one(KIND, day)
    assert (found.hosts, found.flows) == ([client], 5)
    assert what in found.cause


def test_resolvers_of_one_configuration_are_one_finding(find_one, day):
    for n in (1, 2, 3):
        synthetic.dead_resolver(day, ["fd00:1::5"], f"fec0:0:0:ffff::{n}", queries=8)
    found = find_one(KIND, day)
    assert found.flows == 24
    assert len(found.evidence) == 3


def test_a_capture_of_a_minute(find_one):
    logs = Logs()
    synthetic.dead_resolver(logs, CLIENTS, queries=10, spacing=6)
    logs.healthy(0, "10.1.0.5", flows=50)
    assert find_one(KIND, logs).flows == 20


def test_a_log_without_counters(find_one):
    logs = Logs()
    synthetic.dead_resolver(logs, CLIENTS, queries=30)
    assert find_one(KIND, logs).confidence <= 0.5
