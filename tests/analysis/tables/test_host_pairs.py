"""Table 3 on logs of which everything is known."""

from __future__ import annotations

import pytest

from chamaleonet.analysis.source import Logs
from chamaleonet.analysis.table import Options
from chamaleonet.analysis.tables import compute, host_pairs
from tests.analysis import synthetic


def _value(logs):
    return compute("host_pairs", logs, Options()).value


def _outcomes(row):
    return tuple(row[name] for name in ("pairs", "answered", "mixed", "refused", "unanswered"))


def test_outcomes_of_pairs(opened):
    written = synthetic.Logs()
    for n, outcomes in enumerate(
        (
            ("unanswered", "unanswered", "unanswered"),
            ("refused", "refused"),
            ("recovered",),
            ("unanswered", "recovered"),
            ("refused", "unanswered"),
        )
    ):
        for at, verdict in enumerate(outcomes):
            written.flow(at, "10.0.0.1", f"192.0.2.{n + 1}", verdict=verdict)
    written.flow(9, "10.0.0.1", "192.0.2.99", verdict="unsolicited")  # asked for nothing
    (row,) = _value(opened(written))["ports"]
    assert _outcomes(row) == (5, 1, 2, 1, 1)
    assert (row["protocol"], row["server_port"], row["locality"]) == ("tcp", 443, "wide area")


@pytest.mark.parametrize(
    ("client", "protocol", "icmp", "refused"),
    [
        ("10.0.0.1", "udp", (3, 3, "192.0.2.1"), 1),
        ("10.0.0.1", "udp", (3, 1, "192.0.2.254"), 0),
        ("10.0.0.1", "icmp", (3, 13, "192.0.2.254"), 0),
        ("fd00::1", "udp", (1, 4, "2001:db8::1"), 1),
        ("fd00::1", "udp", (1, 3, "2001:db8::1"), 0),
    ],
)
def test_port_unreachable_is_a_refusal(opened, client, protocol, icmp, refused):
    written = synthetic.Logs()
    server = "2001:db8::1" if ":" in client else "192.0.2.1"
    written.flow(0, client, server, protocol=protocol, verdict="icmp_error", icmp=icmp)
    (row,) = _value(opened(written))["ports"]
    assert (row["refused"], row["unanswered"]) == (refused, 1 - refused)


def test_localities_add_up_the_ports(opened):
    written = synthetic.Logs()
    for port in (80, 443):
        written.flow(0, "10.0.0.1", "10.0.0.2", port)
        written.flow(0, "10.0.0.1", "192.0.2.1", port)
        written.flow(0, "192.0.2.1", "10.0.0.1", port)
    written.flow(0, "10.0.0.1", "192.0.2.1", protocol="icmp")
    written.flow(0, "192.0.2.1", "198.51.100.1", 443)
    value = _value(opened(written))
    assert {row["locality"]: row["pairs"] for row in value["localities"]} == {
        "internal": 2, "transit": 1, "wide area": 5,
    }  # fmt: skip
    ports = {(row["protocol"], row["server_port"], row["locality"]) for row in value["ports"]}
    assert ("icmp", None, "wide area") in ports
    assert len(ports) == 6


def test_what_is_known_of_healthy_pairs(opened):
    """Three hosts with answered flows: at least three pairs answered, and one failed."""
    written = synthetic.Logs()
    for n in (1, 1, 2, 3):
        written.healthy(n, f"10.0.0.{n}", flows=10)
    written.healthy(1, "10.0.0.9", flows=5, verdict="midstream")
    written.healthy(1, "10.0.0.9", 80, flows=5)
    written.flow(0, "10.0.0.1", "192.0.2.1")
    (row,) = _value(opened(written))["ports"]
    assert (row["answered_flows"], row["answered_hosts"]) == (40, 3)
    assert row["success_at_least"] == 0.75
    (row,) = _value(opened(written))["localities"]
    assert (row["answered_flows"], row["answered_hosts"]) == (45, 4)


def test_exact_where_every_flow_is_logged(tmp_path):
    written = synthetic.Logs()
    for n in range(1, 5):
        written.flow(0, "10.0.0.1", f"192.0.2.{n}", verdict="answered")
    written.flow(0, "10.0.0.1", "192.0.2.1")
    written.flow(0, "10.0.0.1", "192.0.2.9")
    with Logs.open(written.write_file(tmp_path / "all.parquet")) as logs:
        (row,) = _value(logs)["ports"]
    assert _outcomes(row) == (5, 3, 1, 0, 1)
    assert row["success_at_least"] == 0.8


def test_without_counters_nothing_is_known_of_healthy_flows(tmp_path):
    written = synthetic.Logs()
    written.flow(0, "10.0.0.1", "192.0.2.1")
    with Logs.open(written.write_file(tmp_path / "flows.parquet")) as logs:
        (row,) = _value(logs)["ports"]
    assert (row["answered_flows"], row["answered_hosts"], row["success_at_least"]) == (
        None,
        None,
        0,
    )


def test_ports_with_most_pairs_are_listed(opened, monkeypatch):
    monkeypatch.setattr(host_pairs, "MOST_PORTS", 2)
    written = synthetic.Logs()
    for port, servers in ((1, 1), (2, 3), (3, 2)):
        for server in synthetic.addresses(servers, "192.0.2.0/24"):
            written.flow(0, "10.0.0.1", server, port)
    value = _value(opened(written))
    assert [row["server_port"] for row in value["ports"]] == [2, 3]
    assert value["localities"][0]["pairs"] == 6
