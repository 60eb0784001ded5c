"""Duplicate responders, wake-ups, late replies to closed sockets."""

from __future__ import annotations

from chamaleonet.analysis.table import Options
from chamaleonet.analysis.tables.artefacts import table
from tests.analysis.synthetic import Logs, background

OPTIONS = Options()
CLIENT, SERVER = "10.1.0.1", "198.51.100.9"


def _value(opened, logs):
    return table(opened(logs), OPTIONS).value


def test_duplicate_responders(opened):
    logs = Logs()
    late = {"verdict": "recovered", "delay": 4.0}
    logs.flow(0, CLIENT, SERVER, protocol="icmp", **late, attempts=3, server_packets=13)
    logs.flow(9, "10.1.0.2", SERVER, protocol="icmp", **late, attempts=1, server_packets=50)
    logs.flow(0, CLIENT, SERVER, 53, protocol="udp", **late, attempts=2, server_packets=9)
    logs.flow(0, CLIENT, SERVER, 5000, protocol="udp", **late, attempts=1, server_packets=5)
    # no duplicates: four a request, a stream that was asked for more than once, a connection
    logs.flow(0, CLIENT, "198.51.100.10", protocol="icmp", **late, attempts=3, server_packets=12)
    logs.flow(0, CLIENT, "198.51.100.11", 5000, protocol="udp", **late, attempts=2,
              server_packets=90)  # fmt: skip
    logs.flow(0, CLIENT, "198.51.100.12", 443, **late, server_packets=90)
    rows = _value(opened, logs)["duplicates"]
    assert [(row["server"], row["protocol"], row["server_port"]) for row in rows] == [
        (SERVER, "icmp", None), (SERVER, "udp", 53), (SERVER, "udp", 5000),
    ]  # fmt: skip
    assert rows[0] == {
        "server": SERVER, "protocol": "icmp", "server_port": None, "flows": 2, "clients": 2,
        "requests": 4, "replies": 63, "most": 50.0,
        "first": "2026-11-23T00:00:00Z", "last": "2026-11-23T00:00:13Z",
    }  # fmt: skip


def test_duplicates_among_healthy_flows_show_in_the_counters(opened):
    logs = Logs()
    logs.healthy(0, CLIENT, protocol="icmp", client_packets=10, server_packets=41)
    logs.healthy(60, CLIENT, protocol="icmp", client_packets=10, server_packets=40)
    logs.healthy(0, CLIENT, 443, protocol="udp", client_packets=10, server_packets=90)
    (row,) = _value(opened, logs)["duplicates_counted"]
    assert (row["host"], row["protocol"], row["minutes"], row["replies"]) == (CLIENT, "icmp", 1, 41)


def test_wakeup(opened):
    logs = Logs()
    for n in range(3):  # the first two of five pings are lost
        logs.flow(n, CLIENT, SERVER, protocol="icmp", verdict="recovered", delay=4.0 + n,
                  attempts=5, server_packets=3)  # fmt: skip
    logs.flow(0, CLIENT, "198.51.100.10", verdict="recovered", delay=7.1, attempts=3)
    logs.flow(0, CLIENT, "198.51.100.11", verdict="recovered", delay=7.1)  # one request, one reply
    logs.flow(0, CLIENT, "198.51.100.12", verdict="recovered", delay=1.0, attempts=2)  # refused
    ping, connect = _value(opened, logs)["wakeup"]
    assert (ping["server"], ping["flows"], ping["requests"], ping["lost"]) == (SERVER, 3, 15, 6)
    assert (ping["shortest"], ping["longest"]) == (4.0, 6.0)
    assert (connect["server"], connect["lost"]) == ("198.51.100.10", None)


def test_late_replies_that_provoked_icmp_errors(opened):
    logs = Logs()
    closed = {"protocol": "udp", "verdict": "icmp_error", "client_port": 53}
    logs.flow(0, SERVER, CLIENT, 40000, **closed, icmp=(3, 3, CLIENT))
    logs.flow(1, SERVER, "10.1.0.2", 40001, **closed, icmp=(3, 3, "10.1.0.2"))
    logs.flow(1, "2001:db8::53", "fd00::1", 40001, **closed, icmp=(1, 4, "fd00::1"))
    logs.flow(2, SERVER, CLIENT, 40000, **closed, icmp=(3, 1, CLIENT))  # host unreachable
    logs.flow(2, SERVER, CLIENT, 40000, **closed, icmp=(3, 3, "10.0.0.1"))  # a firewall's word
    logs.flow(2, SERVER, CLIENT, 53, **closed, icmp=(3, 3, CLIENT))  # a query
    rows = _value(opened, logs)["unreachable"]
    assert [(row["client"], row["flows"], row["servers"]) for row in rows] == [
        (SERVER, 2, 2), ("2001:db8::53", 1, 1),
    ]  # fmt: skip


def test_nothing_in_a_healthy_network(opened):
    logs = Logs()
    background(logs, hours=2)
    assert set(map(len, _value(opened, logs).values())) == {0}
