"""Servers that answer after the timeout."""

from __future__ import annotations

import random
from datetime import date

import pytest

from chamaleonet.analysis.suppressions import Suppression
from tests.analysis import synthetic
from tests.analysis.synthetic import HOUR, Logs

KIND = "slow_server"
RADIUS = 1812


def counted(logs, client, port=RADIUS, *, minutes=60, **columns):
    """Count a flow a minute that was answered in time."""
    for minute in range(minutes):
        logs.healthy(minute * 60, client, port, direction="internal", **columns)


def test_a_server_inside(find_one, day):
    synthetic.slow_server(day, delay=4.2)
    found = find_one(KIND, day)
    assert found.hosts == ["10.9.0.60"]
    assert (found.flows, found.erroneous, found.share) == (60, 0, 0)
    (row,) = found.evidence
    assert (row["client"], row["server"], row["protocol"], row["server_port"]) == (
        "10.1.0.60", "10.9.0.60", "tcp", 5432,
    )  # fmt: skip
    assert row["detail"] == "answers after 4.2 seconds"
    assert "only after 4.2 seconds, 60 times" in found.cause
    assert "ss -lnt" in found.fix
    assert found.confidence > 0.8


def test_a_server_outside_is_for_others_to_mend(find, day):
    for client in ("10.1.0.60", "10.1.0.61"):
        synthetic.slow_server(day, client, "198.18.9.54", 53, protocol="udp")
    found = find(day)
    (slow,) = found.findings
    assert (slow.kind, slow.hosts) == (KIND, ["10.1.0.60", "10.1.0.61"])
    assert "which names are slow" in slow.fix
    assert "let 10.1.0.60 and 10.1.0.61 use another" in slow.fix
    assert found.machines == []
    assert (found.explained, found.radiation) == (0, 0)


def test_our_server_seen_from_outside(find_one, day):
    for n in range(40):  # no client comes twice
        day.flow(n * 60, f"203.0.113.{n}", "10.9.0.61", 25, verdict="recovered", delay=6)
    for minute in range(40):
        day.healthy(minute * 60, "10.9.0.61", 25, direction="inbound", flows=3)
    found = find_one(KIND, day)
    assert (found.hosts, found.flows) == (["10.9.0.61"], 40)
    assert found.evidence[0]["client"] is None
    assert found.evidence[0]["detail"] == "answers 40 clients after 6 seconds"


def test_a_capture_of_a_minute(find_one):
    logs = Logs()
    logs.healthy(0, "fd00:1::5", 443)
    synthetic.slow_server(logs, "fd00:1::5", "fd00:9::1", period=1, times=50)
    assert find_one(KIND, logs).flows == 50


def test_datagrams_that_were_sent_again_may_be_lost(find_one, day):
    synthetic.slow_server(day, port=RADIUS, protocol="udp", delay=5.0)
    sure = find_one(KIND, day).confidence
    lossy = Logs()
    lossy.healthy(0, "10.1.0.1")
    synthetic.slow_server(lossy, port=RADIUS, protocol="udp", delay=5.0, attempts=2)
    found = find_one(KIND, lossy)
    assert found.confidence == pytest.approx(sure / 2, abs=0.01)
    assert "lost on the way" in found.cause


def test_servers_that_are_late_for_the_same_clients_share_a_cause(find_one, day):
    for n in range(5):
        synthetic.slow_server(day, server=f"10.9.0.{n}")
    found = find_one(KIND, day)
    assert (found.hosts, found.flows) == (["10.1.0.60"], 300)
    assert "between 10.1.0.60 and all of them" in found.fix


@pytest.mark.parametrize(("answered", "is_slow"), [(5, True), (20, False)])
def test_of_what_the_client_asks_a_tenth_is_late(find_one, day, answered, is_slow):
    synthetic.slow_server(day, port=RADIUS, protocol="udp", period=60, times=60)
    counted(day, "10.1.0.60", protocol="udp", flows=answered)
    assert (find_one(KIND, day) is not None) == is_slow


def test_what_other_servers_answered_does_not_count_where_it_is_logged(find_one, day):
    synthetic.slow_server(day, port=443, period=60, times=60)
    for n in range(3600):
        day.flow(n, "10.1.0.60", f"10.8.0.{n % 200}", 443, verdict="answered")
    assert find_one(KIND, day).flows == 60


def test_what_was_never_answered_counts(find_one, day):
    synthetic.slow_server(day, period=60, times=20)
    for n in range(300):
        day.flow(n * 4, "10.1.0.60", "10.9.0.60", 5432)
    assert find_one(KIND, day) is None


def test_without_counters_nobody_knows(find_one):
    logs = Logs()
    synthetic.slow_server(logs)
    assert find_one(KIND, logs) is None


def test_a_hold_up_is_none(find_one, day):
    """The server stood still for 50 s, and then did all its work, four times."""
    for hour in range(4):
        for second in range(45):
            for client in ("10.1.0.60", "10.1.0.61"):
                day.flow(hour * HOUR + second, client, "10.9.0.60", 5432, verdict="recovered",
                         delay=50.0 - second)  # fmt: skip
    assert find_one(KIND, day) is None


def test_many_clients_that_waited_once_are_none(find_one, day):
    draw = random.Random(1)
    for n in range(200):
        day.flow(draw.uniform(0, 20 * HOUR), f"10.3.0.{n}", "10.9.0.60", 5432, verdict="recovered")
    assert find_one(KIND, day) is None


def test_an_error_that_was_taken_back_is_no_late_reply(find_one, day):
    for n in range(60):
        day.flow(n * 60, "10.1.0.60", "10.9.0.60", 5432, verdict="recovered", delay=0.2)
        day.flow(n * 60, "10.1.0.61", "10.9.0.60", 5432, verdict="recovered",
                 icmp=(3, 1, "192.0.2.254"))  # fmt: skip
    assert find_one(KIND, day) is None


def test_what_is_late_in_an_outage_is_the_outages(find, day):
    synthetic.outage(day, begin=10 * HOUR)
    for n in range(60):
        day.flow(10 * HOUR + n * 9, "10.1.0.1", "198.18.5.1", verdict="recovered")
        day.flow(10 * HOUR + n * 10, "10.1.0.2", "198.18.5.1")
    assert [each.kind for each in find(day).findings] == ["outage"]


def test_late_answers_of_an_accelerator_are_its_own(find, day):
    for n in range(60):
        for resolver in ("203.0.113.1", "203.0.113.2"):
            day.flow(n * 30, "10.1.0.77", resolver, 53, protocol="udp", verdict="recovered",
                     client_port=50_000 + n)  # fmt: skip
    assert [each.kind for each in find(day).findings] == ["dns_accelerator"]


def test_a_server_that_died_of_it(find, day):
    """Its late replies do not take the failures away that came after them."""
    synthetic.slow_server(day, port=8080)
    synthetic.stale_server(day, "10.1.0.60", "10.9.0.60", period=300, times=200, begin=5 * HOUR)
    (found,) = find(day).findings
    assert (found.kind, found.flows) == ("stale_server", 200)


def test_one_client_is_suppressed(find, day):
    for client in ("10.1.0.60", "10.1.0.61"):
        synthetic.slow_server(day, client)
    known = Suppression(
        kind=KIND, client="10.1.0.61", until=date(2026, 12, 24), reason="on purpose"
    )
    found = find(day, suppressions=(known,), today=date(2026, 12, 1))
    (shown,) = found.findings
    assert (shown.flows, shown.hosts) == (60, ["10.9.0.60"])
    (hidden,) = found.suppressed
    assert (hidden.finding.flows, hidden.finding.share) == (60, 0)
    assert found.suppressed_share == 0
