"""Failures of hosts that have just appeared."""

from __future__ import annotations

from chamaleonet.analysis.table import Options
from chamaleonet.analysis.tables.network_change import table
from tests.analysis.synthetic import HOUR, Logs, background

LATER = 5 * HOUR + 7  # seconds; in the middle of a minute


def _value(opened, logs):
    return table(opened(logs), Options()).value


def _day():
    logs = Logs()
    background(logs, hosts=3)
    return logs


def _within(value):
    return {row["seconds"]: row["failures"] for row in value["curve"]}


def test_failures_by_seconds_since_the_host_appeared(opened):
    logs = _day()
    for at in (0, 20, 50, 200, 1000, 5000):
        logs.flow(LATER + at, "10.5.0.1", "8.8.8.8")
    logs.flow(LATER + 30, "10.5.0.1", "8.8.8.8", verdict="refused")
    logs.flow(LATER + 30, "10.5.0.1", "8.8.8.8", verdict="recovered")  # no failure
    value = _value(opened, logs)
    assert (value["hosts"], value["failing_hosts"]) == (1, 1)
    assert (value["failures"], value["later"]) == (6, 1)
    assert (value["first_minute"], value["first_four_minutes"]) == (4 / 6, 5 / 6)
    within = _within(value)
    assert [within[s] for s in (10, 30, 60, 240, 900, 1800, 3600)] == [1, 2, 4, 5, 5, 6, 6]


def test_a_healthy_flow_shows_the_host_first(opened):
    logs = _day()
    logs.healthy(LATER - 120, "10.5.0.1")
    logs.flow(LATER, "10.5.0.1", "8.8.8.8")  # 127 s after that minute's begin
    logs.healthy(LATER, "10.5.0.2")  # in the minute of the host's first failure, which is exact
    logs.flow(LATER + 5, "10.5.0.2", "8.8.8.8")
    within = _within(_value(opened, logs))
    assert (within[10], within[120], within[180]) == (1, 1, 2)


def test_what_comes_in_shows_no_host(opened):
    logs = _day()
    logs.flow(LATER - 1000, "203.0.113.1", "10.5.0.1")
    logs.healthy(LATER - 900, "10.5.0.1", direction="inbound", verdict="pending")
    logs.flow(LATER, "10.5.0.1", "8.8.8.8")
    assert _within(_value(opened, logs))[10] == 1


def test_an_answer_to_outside_shows_a_host(opened):
    logs = _day()
    logs.healthy(LATER - 600, "10.5.0.1", direction="inbound")
    logs.flow(LATER, "10.5.0.1", "8.8.8.8")
    assert _within(_value(opened, logs))[60] == 0


def test_servers_that_others_had_contacted(opened):
    logs = _day()
    logs.flow(60, "10.1.0.1", "10.9.0.1", 445)
    logs.flow(60, "10.1.0.1", "10.9.0.2", protocol="icmp")
    logs.flow(LATER, "10.5.0.1", "10.9.0.1", 445)
    logs.flow(LATER, "10.5.0.1", "10.9.0.2", protocol="icmp")
    logs.flow(LATER, "10.5.0.1", "10.9.0.1", 80)
    logs.flow(LATER, "10.5.0.1", "10.9.0.3", 445)
    assert _value(opened, logs)["previously_contacted"] == 0.5


def test_hosts_of_the_begin_are_not_new(opened):
    assert _value(opened, _day())["hosts"] == 0
    logs = Logs()
    logs.healthy(0, "10.1.0.1")
    logs.healthy(600, "10.1.0.2")
    assert _value(opened, logs)["hosts"] == 1  # of a short log, a tenth is enough


def test_no_new_host_no_share(opened):
    value = _value(opened, _day())
    assert value["first_minute"] is value["previously_contacted"] is None
    assert set(_within(value).values()) == {0}
