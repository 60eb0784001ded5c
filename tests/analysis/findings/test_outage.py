"""Routes, links and firewalls that fail."""

from __future__ import annotations

import random

import pytest

from tests.analysis import synthetic
from tests.analysis.synthetic import HOUR, Logs

KIND = "outage"


def test_a_network(find_one, day):
    synthetic.outage(day, begin=10 * HOUR)
    found = find_one(KIND, day)
    assert found.flows == found.erroneous == 800
    assert found.hosts == sorted(synthetic.addresses(20))  # whom it cut off
    assert "40 servers in 198.18.5.0/24" in found.cause
    assert "for 10 minutes" in found.cause
    assert found.confidence > 0.9


def test_a_network_inside(find_one, day):
    synthetic.outage(day, "10.7.7.0/24", begin=10 * HOUR, servers=8)
    found = find_one(KIND, day)
    assert sorted(found.hosts) == sorted(synthetic.addresses(8, "10.7.7.0/24"))


def test_all_networks_of_a_service(find_one, day):
    draw = random.Random(1)
    for client in synthetic.addresses(20):
        for n in draw.sample(range(200), 40):
            day.flow(10 * HOUR + draw.uniform(0, 600), client, f"198.19.{n}.1", 443)
    found = find_one(KIND, day)
    assert 700 < found.flows < 820  # those that began to fail by the end of the bin
    assert "many networks" in found.cause


def test_clients_that_poll_meanwhile_are_no_finding_of_their_own(find, day):
    for server in synthetic.addresses(10, "198.18.5.0/24"):
        for client in synthetic.addresses(5):
            for n in range(60):
                day.flow(10 * HOUR + n * 10, client, server)
    (found,) = find(day).findings
    assert (found.kind, found.flows) == (KIND, 3000)


@pytest.mark.parametrize(
    ("network", "client"), [("198.18.5.0/24", "10.1.0.{}"), ("2001:db8:5::/64", "fd00:1::{}")]
)
def test_a_capture_of_a_minute(find_one, network, client):
    logs = Logs()
    for second in range(60):
        logs.healthy(second, client.format(1))
    logs.flow(0, client.format(1), "192.0.2.1")
    for n, server in enumerate(synthetic.addresses(8, network)):
        for m in range(3):
            logs.flow(30 + n * 0.2 + m * 8, client.format(m), server)
    logs.flow(57, client.format(1), "192.0.2.2")
    found = find_one(KIND, logs)
    assert (found.flows, sorted(found.hosts)) == (24, [client.format(n) for n in range(3)])


def test_a_scan_is_none(find_one, day):
    synthetic.scan(day, "10.1.0.3", synthetic.addresses(100, "10.50.0.0/24"), begin=10 * HOUR)
    assert find_one(KIND, day) is None


def test_what_one_client_alone_sees_is_none(find_one, day):
    for n in range(30):
        day.flow(10 * HOUR + n, "10.1.0.3", f"198.18.7.{n}")
    assert find_one(KIND, day) is None


def test_what_was_well_before_and_after_is_known_by_counters_alone(find_one):
    logs = Logs()
    for second in range(900):
        logs.healthy(second, "10.1.0.9")
    for n, server in enumerate(synthetic.addresses(8, "198.18.5.0/24")):
        for m in range(3):
            logs.flow(500 + n * 0.2 + m * 8, f"10.1.0.{m}", server)
    found = find_one(KIND, logs)
    assert found.flows == 24
    assert "for 17 seconds" in found.cause
