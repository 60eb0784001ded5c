"""What should not have left."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from chamaleonet.analysis.table import Options
from chamaleonet.analysis.tables.leaks import BOGONS, INTERNAL_ONLY, table
from tests.analysis.synthetic import Logs


def _value(opened, logs, **options):
    return table(opened(logs), Options(**options)).value


def test_flows_to_special_purpose_addresses(opened):
    logs = Logs()
    logs.flow(0, "10.1.0.1", "192.168.1.1", 53, protocol="udp", attempts=2)
    logs.flow(9, "10.1.0.1", "192.168.1.2", 53, protocol="udp")
    logs.flow(3, "10.1.0.2", "192.168.1.1", 445, verdict="icmp_error")
    logs.flow(0, "fd00::1", "fe80::1", 22)
    logs.flow(0, "10.1.0.1", "8.8.8.8", 53, protocol="udp")  # no leak
    logs.flow(0, "10.1.0.1", "10.1.0.2")  # is internal
    logs.flow(0, "192.168.1.1", "10.1.0.1")  # comes in
    value = _value(opened, logs)
    assert value["prefixes"] == [
        {
            "end": "server", "prefix": "192.168.0.0/16", "purpose": "private use (RFC 1918)",
            "flows": 3, "packets": 4, "clients": 2, "servers": 2, "ports": 2,
            "first": "2026-11-23T00:00:00Z", "last": "2026-11-23T00:00:09Z",
        },
        {
            "end": "server", "prefix": "fe80::/10", "purpose": "link local (RFC 4291)",
            "flows": 1, "packets": 1, "clients": 1, "servers": 1, "ports": 1,
            "first": "2026-11-23T00:00:00Z", "last": "2026-11-23T00:00:00Z",
        },
    ]  # fmt: skip
    assert [(row["client"], row["prefix"], row["flows"]) for row in value["hosts"]] == [
        ("10.1.0.1", "192.168.0.0/16", 2),
        ("10.1.0.2", "192.168.0.0/16", 1),
        ("fd00::1", "fe80::/10", 1),
    ]


def test_internal_only_prefixes(opened):
    logs = Logs()
    logs.flow(0, "10.1.0.1", "198.18.7.1")  # in a prefix for benchmarks, but ours
    logs.flow(0, "10.1.0.1", "198.18.8.1")
    logs.flow(0, "10.1.0.1", "131.1.2.3")
    ours = (ip_network("198.18.7.0/24"), ip_network("131.1.0.0/16"))
    found = {
        row["prefix"]: row["purpose"]
        for row in _value(opened, logs, internal_only=ours)["prefixes"]
    }
    assert found == {
        "198.18.7.0/24": INTERNAL_ONLY,
        "131.1.0.0/16": INTERNAL_ONLY,
        "198.18.0.0/15": "benchmarking (RFC 2544)",
    }


def test_private_sources_in_transit(opened):
    logs = Logs()
    logs.flow(0, "172.20.0.1", "8.8.8.8")
    logs.flow(0, "8.8.8.8", "172.20.0.1")  # an answer's way, or somebody else's leak
    (row,) = _value(opened, logs)["prefixes"]
    assert (row["end"], row["prefix"], row["clients"]) == ("client", "172.16.0.0/12", 1)


def test_nothing_leaks(opened):
    logs = Logs()
    logs.flow(0, "10.1.0.1", "8.8.8.8")
    assert _value(opened, logs) == {"prefixes": [], "hosts": []}


def test_the_internet_is_no_leak():
    networks = [ip_network(prefix) for prefix in BOGONS]
    for server in ("1.1.1.1", "100.128.0.1", "172.15.255.255", "172.32.0.0", "192.0.1.0",
                   "198.20.0.0", "239.255.255.255", "2001:4860:4860::8888", "2606:4700::1",
                   "64:ff9b::808:808"):  # fmt: skip
        assert not any(ip_address(server) in network for network in networks), server
