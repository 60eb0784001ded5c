"""Scanners and worms inside."""

from __future__ import annotations

import random

import pytest

from tests.analysis import synthetic
from tests.analysis.synthetic import DAY, HOUR, Logs

KIND = "internal_scanner"


@pytest.mark.parametrize("order", [iter, reversed])
def test_in_order(find_one, day, order):
    synthetic.scan(day, "10.1.0.3", synthetic.addresses(254, "10.50.0.0/24"), order=order)
    found = find_one(KIND, day)
    assert (found.hosts, found.flows) == (["10.1.0.3"], 254)
    assert "in order" in found.cause
    assert "tcp/23" in found.cause


def test_in_no_order(find_one, day):
    draw = random.Random(1)
    for n in range(200):
        server = f"{draw.randrange(11, 200)}.{draw.randrange(256)}.{draw.randrange(256)}.9"
        day.flow(HOUR + n, "10.1.0.3", server, 445)
    found = find_one(KIND, day)
    assert (found.hosts, found.flows) == (["10.1.0.3"], 200)


def test_hosts_with_one_worm_are_one_finding(find_one, day):
    for n in (3, 4, 5):
        synthetic.scan(day, f"10.1.0.{n}", synthetic.addresses(100, f"10.5{n}.0.0/24"))
    found = find_one(KIND, day)
    assert (found.hosts, found.flows) == (["10.1.0.3", "10.1.0.4", "10.1.0.5"], 300)


def test_in_version_6_and_without_counters(find_one):
    logs = Logs()
    synthetic.scan(logs, "fd00:1::3", synthetic.addresses(100, "2001:db8::/64"), 22)
    found = find_one(KIND, logs)
    assert (found.hosts, found.flows, found.share) == (["fd00:1::3"], 100, 1)


def test_port_after_port(find_one, day):
    synthetic.port_scan(day)
    found = find_one(KIND, day)
    assert (found.hosts, found.flows, found.erroneous) == (["10.1.0.44"], 1000, 0)
    assert "10.9.0.44" in found.cause


def test_a_scan_is_no_hundred_dead_servers(find, day):
    servers = synthetic.addresses(100, "10.50.0.0/24")
    for n in range(20):
        synthetic.scan(day, "10.1.0.3", servers, begin=n * 600)
    (found,) = find(day).findings
    assert (found.kind, found.flows) == (KIND, 2000)


def test_what_fails_here_and_there_without_counters_is_none(find_one):
    logs, draw = Logs(), random.Random(1)
    for _ in range(300):
        server = f"198.{draw.randrange(256)}.{draw.randrange(256)}.9"
        logs.flow(draw.uniform(0, DAY), "10.1.0.3", server, 443)
    assert find_one(KIND, logs) is None
