"""Percentiles of reply delay, late replies, and verdicts under other timeouts."""

from __future__ import annotations

from chamaleonet.analysis.table import Options
from chamaleonet.analysis.tables.timeouts import table
from tests.analysis.synthetic import Logs, addresses, background

OPTIONS = Options()


def _row(rows, **wanted):
    (row,) = [row for row in rows if wanted.items() <= row.items()]
    return row


def test_percentiles_of_percentiles(opened):
    logs = Logs()
    for host in addresses(90):  # 99 % of their replies are fast
        logs.healthy(0, host, flows=99, delay=0.01)
        logs.healthy(60, host, flows=1, delay=2.0)
    for host in addresses(10, "10.2.0.0/16"):  # half of their replies are slow
        logs.healthy(0, host, flows=50, delay=0.05)
        logs.healthy(0, host, flows=50, delay=3.0)
    rows = table(opened(logs), OPTIONS).value["percentiles"]
    assert [row["addresses"] for row in rows] == [1, 50, 80, 90, 95, 98, 99]
    usual = {"p1": 0.01, "p50": 0.01, "p80": 0.01, "p98": 0.01, "p99": 0.01}
    assert usual.items() <= _row(rows, addresses=90).items()
    slow = {"p1": 0.05, "p50": 0.05, "p80": 3.0, "p90": 3.0, "p99": 3.0}
    assert slow.items() <= _row(rows, addresses=95).items()
    assert {(row["direction"], row["hosts"]) for row in rows} == {("outbound", 100)}


def test_late_replies_count_as_replies_of_their_delay(opened):
    logs = Logs()
    for at in range(2):
        logs.flow(at, "10.1.0.1", "192.0.2.1", verdict="recovered", delay=100.0)
        logs.flow(at, "10.1.0.1", "192.0.2.1", verdict="recovered", delay=4.0, protocol="udp")
    logs.healthy(0, "10.1.0.1", flows=96, delay=0.001)
    value = table(opened(logs), OPTIONS).value
    row = _row(value["percentiles"], addresses=50)
    assert (row["p95"], row["p98"], row["p99"]) == (0.001, 5.0, None)
    assert value["late"] == [
        {"direction": "outbound", "protocol": "tcp", "late": 2, "share": 2 / 98, "longest": 100.0},
        {"direction": "outbound", "protocol": "udp", "late": 2, "share": 1.0, "longest": 4.0},
    ]
    assert _row(value["delays"], delay=3.0)["share"] == 0.96
    assert _row(value["delays"], delay=None)["replies"] == 100


def test_verdicts_under_other_timeouts(opened):
    logs = Logs()
    for delay, flows in ((0.5, 1000), (1.0, 100), (2.0, 10), (3.0, 4)):
        logs.healthy(0, "10.1.0.1", flows=flows, delay=delay)
    for delay in (4.0, 7.0, 59.0, 61.0):
        logs.flow(0, "10.1.0.1", "192.0.2.1", verdict="recovered", delay=delay)
    for n in range(500):
        logs.flow(n, "10.1.0.1", "192.0.2.2")
    value = table(opened(logs), OPTIONS).value
    judged = {row["timeout"]: (row["answered"], row["late"]) for row in value["judged"]}
    assert judged == {
        1: (1100, 18), 2: (1110, 8), 3: (1114, 4), 5: (1115, 3), 10: (1116, 2), 60: (1117, 1),
    }  # fmt: skip
    assert {row["unanswered"] for row in value["judged"]} == {500}
    assert _row(value["judged"], timeout=1)["false_share"] == 18 / 518
    assert _row(value["judged"], timeout=1)["late_share"] == 18 / 1118
    assert value["recommended"]["timeout"] == 3  # 4 of 504, while 2 s has 8 of 508


def test_a_reply_after_a_refusal_is_not_late(opened):
    logs = Logs()
    logs.flow(0, "10.1.0.1", "192.0.2.1", verdict="recovered", delay=0.5)
    logs.flow(0, "10.1.0.1", "192.0.2.1", verdict="recovered", delay=5.0,
              icmp=(3, 1, "192.0.2.254"))  # fmt: skip
    logs.flow(0, "10.1.0.1", "192.0.2.1")
    value = table(opened(logs), OPTIONS).value
    assert value["late"] == []
    assert {row["late"] for row in value["judged"] if row["timeout"] >= 3} == {0}


def test_without_counters_only_longer_timeouts_are_known(opened):
    logs = Logs()
    logs.flow(0, "10.1.0.1", "192.0.2.1", verdict="recovered", delay=7.0)
    logs.flow(0, "10.1.0.1", "192.0.2.1")
    value = table(opened(logs), OPTIONS).value
    assert value["percentiles"] == value["delays"] == []
    assert [row["late"] for row in value["judged"]] == [None, None, 1, 1, 0, 0]
    assert {row["answered"] for row in value["judged"]} == {None}
    assert value["late"][0]["share"] is None
    assert value["recommended"]["timeout"] == 10
    assert "without counters" in value["recommended"]["reason"]


def test_radiation_does_not_choose_the_timeout(opened):
    logs = Logs()
    for n in range(300):
        logs.flow(n, "203.0.113.1", "10.1.0.1")
    logs.flow(0, "10.1.0.1", "192.0.2.1", verdict="recovered", delay=7.0)
    assert table(opened(logs), OPTIONS).value["recommended"]["timeout"] == 10


def test_a_healthy_network_needs_no_long_timeout(opened):
    logs = Logs()
    background(logs, hours=2)
    value = table(opened(logs), OPTIONS).value
    assert value["late"] == []
    assert value["recommended"]["timeout"] == 1


def test_nothing_begun_inside_nothing_recommended(opened):
    logs = Logs()
    logs.flow(0, "203.0.113.1", "10.1.0.1")
    assert table(opened(logs), OPTIONS).value["recommended"]["timeout"] is None
