"""What comes in unasked."""

from __future__ import annotations

from chamaleonet.analysis.table import Options
from chamaleonet.analysis.tables.radiation import table
from tests.analysis.synthetic import Logs, addresses, background, scan


def _value(opened, logs):
    return table(opened(logs), Options()).value


def test_sources_ports_and_campaigns(opened):
    logs = Logs()
    scan(logs, "203.0.113.9", addresses(30), 23)
    scan(logs, "203.0.113.10", addresses(20, "10.1.1.0/24"), 23, begin=600)  # of the same /24
    scan(logs, "198.18.0.1", addresses(24), 445)  # too few for a campaign
    logs.flow(0, "203.0.113.9", "10.1.0.1", 23, verdict="refused")
    logs.flow(0, "10.1.0.1", "8.8.8.8")
    value = _value(opened, logs)
    assert value["campaigns"] == [
        {
            "network": "203.0.113.0/24", "protocol": "tcp", "port": 23, "flows": 50,
            "packets": 50, "sources": 2, "targets": 50,
            "first": "2026-11-23T00:00:00Z", "last": "2026-11-23T00:10:01.900000000Z",
        }
    ]  # fmt: skip
    assert [(row["source"], row["flows"], row["targets"]) for row in value["sources"]] == [
        ("203.0.113.9", 30, 30), ("198.18.0.1", 24, 24), ("203.0.113.10", 20, 20),
    ]  # fmt: skip
    assert [(row["port"], row["flows"], row["sources"]) for row in value["ports"]] == [
        (23, 50, 2), (445, 24, 1),
    ]  # fmt: skip
    radiation, campaigns, backscatter = value["summary"]
    assert (radiation["flows"], radiation["sources"], radiation["targets"]) == (74, 3, 50)
    assert (campaigns["flows"], backscatter["flows"]) == (50, 0)


def test_a_campaign_over_ipv6(opened):
    logs = Logs()
    for n in range(25):
        logs.flow(n, f"2001:db8:5:{n:x}::1", f"fd00::{n + 1:x}", protocol="icmpv6")
    (row,) = _value(opened, logs)["campaigns"]
    assert (row["network"], row["protocol"], row["port"]) == ("2001:db8:5::/48", "icmpv6", None)
    assert (row["sources"], row["targets"]) == (25, 25)


def test_backscatter_is_apart(opened):
    logs = Logs()
    for n, host in enumerate(addresses(3)):
        logs.flow(n, "203.0.113.80", host, 1024 + n, verdict="unsolicited", client_port=443)
    logs.flow(0, "203.0.113.81", "10.1.0.1", protocol="icmp", verdict="unsolicited")
    value = _value(opened, logs)
    keys = ("source", "protocol", "port", "flows", "targets")
    assert [tuple(row[key] for key in keys) for row in value["backscatter"]] == [
        ("203.0.113.80", "tcp", 443, 3, 3), ("203.0.113.81", "icmp", None, 1, 1),
    ]  # fmt: skip
    assert value["sources"] == value["ports"] == value["campaigns"] == []
    assert value["summary"][2]["sources"] == 2


def test_hosts_that_answer_are_not_dark(opened):
    logs = Logs()
    scan(logs, servers=addresses(10))
    assert _value(opened, logs)["summary"][0]["dark_targets"] is None  # nobody counted
    for host in addresses(3):
        logs.healthy(0, host, direction="inbound")
    logs.healthy(0, "10.1.0.4")  # answers nobody from outside
    assert _value(opened, logs)["summary"][0]["dark_targets"] == 7


def test_no_radiation(opened):
    logs = Logs()
    background(logs, hours=2)
    value = _value(opened, logs)
    assert [row["flows"] for row in value.pop("summary")] == [0, 0, 0]
    assert set(map(len, value.values())) == {0}
