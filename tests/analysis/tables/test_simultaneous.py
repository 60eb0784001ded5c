"""Servers that begin to fail at once."""

from __future__ import annotations

from itertools import product
from math import sqrt

import pytest

from chamaleonet.analysis import minimum_dependent
from chamaleonet.analysis.table import Options
from chamaleonet.analysis.tables.simultaneous import BIN, table
from chamaleonet.analysis.times import SECOND
from tests.analysis.synthetic import BEGIN, Logs, addresses, background, outage

WIDTH = BIN // SECOND
ALIGN = WIDTH - BEGIN // SECOND % WIDTH  # bins are counted from 1970
NOON = ALIGN + 65 * WIDTH  # begin of a bin


def _events(opened, logs):
    return table(opened(logs), Options()).value


def _day():
    logs = Logs()
    background(logs, hosts=3)
    return logs


def test_an_outage_of_a_network(opened):
    logs = _day()
    outage(logs, begin=NOON, seconds=600, servers=40, clients=5)
    bins = 131 - 7  # of a day, without the first hour
    assert _events(opened, logs) == [
        {
            "time": "2026-11-23T11:56:00Z", "aggregate": "network", "network": "198.18.5.0/24",
            "protocol": "tcp", "server_port": 443, "failing_servers": 40, "servers": 40,
            "minimum": minimum_dependent(40, 1 / bins), "repeated": 0, "clients": 5,
            "sweep": False, "flows": 200, "recovered": 40, "failing": 0, "median_recovery": 12.0,
            "longest_recovery": 12.0,
        }
    ]  # fmt: skip


def test_an_outage_of_a_port_in_many_networks(opened):
    logs = _day()
    for n, third in product(range(15), (1, 2)):
        logs.flow(NOON + n, f"10.1.0.{third}", f"198.19.{n}.1", 8883)
    (event,) = _events(opened, logs)
    assert (event["aggregate"], event["network"]) == ("port", None)
    assert (event["protocol"], event["server_port"], event["failing_servers"]) == ("tcp", 8883, 15)


def test_flows_without_ports_and_ipv6(opened):
    logs = _day()
    for n in range(20):
        logs.flow(NOON + n, "fd00::1", f"2001:db8:7:{n:x}::1", protocol="icmpv6")
    (event,) = _events(opened, logs)
    assert event["network"] == "2001:db8:7::/48"
    assert (event["protocol"], event["server_port"]) == ("icmpv6", None)


def test_recovery_is_the_first_sign_of_life_or_the_end_of_failures(opened):
    logs = _day()
    servers = addresses(12, "198.18.5.0/24")
    for server in servers:
        for minute in range(5):
            logs.flow(NOON + minute * 60, "10.1.0.1", server)
    logs.flow(NOON + 90, "10.1.0.2", servers[0], verdict="recovered", delay=10.0)
    logs.flow(NOON + 70, "10.1.0.2", servers[1], verdict="refused")
    for hour in range(13):  # is down for good
        logs.flow(NOON + 240 + hour * 3600, "10.1.0.1", servers[2])
    (event,) = _events(opened, logs)
    assert (event["recovered"], event["failing"]) == (11, 1)
    assert (event["median_recovery"], event["longest_recovery"]) == (240.0, 240.0)


def test_what_failed_all_along_is_not_new(opened):
    logs = _day()
    for minute, server in product(range(0, 24 * 60, 50), addresses(30, "198.18.5.0/24")):
        logs.flow(minute * 60, "10.1.0.1", server)
    assert _events(opened, logs) == []


def test_servers_that_had_failed_before_are_counted(opened):
    logs = _day()
    for server in addresses(30, "198.18.5.0/24"):
        logs.flow(NOON, "10.1.0.1", server)
    for server in addresses(3, "198.18.5.0/24"):
        logs.flow(NOON / 2, "10.1.0.1", server)
    (event,) = [row for row in _events(opened, logs) if row["failing_servers"] == 30]
    assert event["repeated"] == 3


def test_a_sweep_is_told_apart(opened):
    logs = _day()
    for n, server in enumerate(addresses(200, "198.18.5.0/24")):
        logs.flow(NOON + n, "10.1.0.1", server, 23)
    (event,) = _events(opened, logs)
    assert event["sweep"]
    assert event["clients"] == 1


def test_from_outside_only_hosts_that_answer_can_fail(opened):
    logs = _day()
    dark, hosts = addresses(30, "10.7.0.0/24"), addresses(30, "10.8.0.0/24")
    for host in hosts:
        logs.healthy(60, host, direction="inbound")
    for server in dark + hosts:
        logs.flow(NOON, "203.0.113.5", server)
    (event,) = _events(opened, logs)
    assert event["network"] == "10.8.0.0/24"


def test_nothing_in_a_healthy_network(opened):
    assert _events(opened, _day()) == []
    without_flows = Logs()
    without_flows.healthy(0, "10.1.0.1")
    assert _events(opened, without_flows) == []


@pytest.mark.parametrize("n", [2, 3, 10, 42, 88, 300, 5000])
@pytest.mark.parametrize("p", [1e-6, 1e-3, 0.05, 0.3, 0.5, 0.8, 0.9, 0.99, 0.999])
def test_no_event_is_left_out_before_the_exact_test(n, p):
    """What lies less than 2.5 standard deviations above the mean is never tested."""
    minimum = minimum_dependent(n, p)
    assert minimum > n or minimum >= n * p + 2.5 * sqrt(n * p * (1 - p))
