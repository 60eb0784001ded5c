"""Flows and failures by application."""

from __future__ import annotations

from chamaleonet.analysis.table import Options
from chamaleonet.analysis.tables.applications import table
from tests.analysis.synthetic import Logs, addresses


def _value(opened, logs):
    return table(opened(logs), Options()).value


def test_categories(opened):
    logs = Logs()
    logs.healthy(0, "10.1.0.1", 443, flows=7)
    logs.healthy(0, "10.1.0.2", 80, flows=2)
    logs.healthy(0, "10.1.0.1", 53, protocol="udp", direction="internal", flows=10)
    logs.healthy(0, "10.1.0.3", 443, flows=5, verdict="midstream")  # not judged
    logs.flow(0, "10.1.0.1", "8.8.8.8", 443, verdict="refused")
    logs.flow(0, "10.1.0.1", "10.9.0.1", 53, protocol="udp")
    logs.flow(0, "10.1.0.1", "10.9.0.1", 53, protocol="udp", verdict="recovered")
    logs.flow(0, "10.1.0.1", "10.9.0.1", protocol="icmp", verdict="icmp_error")
    logs.flow(0, "203.0.113.1", "10.1.0.1", 23)  # radiation
    rows = _value(opened, logs)["categories"]
    keys = ("direction", "category", "ports", "clients", "flows", "failed")
    assert [tuple(row[key] for key in keys) for row in rows] == [
        ("outbound", "web", 2, 2, 10, 1),
        ("internal", "name", 1, 1, 12, 1),
        ("internal", "other", 1, 1, 1, 1),
    ]
    assert [row["failed_share"] for row in rows] == [0.1, 1 / 12, 1.0]
    assert [row["share"] for row in rows] == [1 / 3, 1 / 3, 1 / 3]


def test_popular_and_rare_ports(opened):
    logs = Logs()
    for host in addresses(19):
        logs.healthy(0, host, 443)
        logs.healthy(0, host, 8883)
    logs.flow(0, "10.2.0.1", "8.8.8.8", 443)  # the twentieth client is one that fails
    for n in range(5):
        logs.flow(n, "10.1.0.1", "8.8.8.8", 8883)
    assert _value(opened, logs)["popularity"] == [
        {"popularity": "popular", "ports": 1, "flows": 20, "failed": 1, "failed_share": 0.05,
         "share": 1 / 6},
        {"popularity": "rare", "ports": 1, "flows": 24, "failed": 5, "failed_share": 5 / 24,
         "share": 5 / 6},
    ]  # fmt: skip


def test_the_ports_that_fail_most(opened):
    logs = Logs()
    for n in range(3):
        logs.flow(n, "10.1.0.1", "8.8.8.8", 445)
    logs.flow(0, "10.1.0.1", "8.8.8.8", protocol="icmp")
    logs.healthy(0, "10.1.0.1", 443)
    rows = _value(opened, logs)["ports"]
    assert [(row["protocol"], row["server_port"], row["category"]) for row in rows] == [
        ("tcp", 445, "windows"), ("icmp", None, "other"),
    ]  # fmt: skip
    assert [(row["clients"], row["failed"]) for row in rows] == [(1, 3), (1, 1)]


def test_without_counters_there_are_no_totals(opened):
    logs = Logs()
    logs.flow(0, "10.1.0.1", "8.8.8.8", 445)
    (row,) = _value(opened, logs)["categories"]
    assert (row["failed"], row["flows"], row["failed_share"]) == (1, None, None)


def test_nothing_begun_inside(opened):
    logs = Logs()
    logs.flow(0, "203.0.113.1", "10.1.0.1", 23)
    value = _value(opened, logs)
    assert value["categories"] == value["ports"] == []
