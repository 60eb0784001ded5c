"""Single servers that were down for a while."""

from __future__ import annotations

import random

import pytest

from tests.analysis import synthetic
from tests.analysis.synthetic import HOUR, Logs

KIND = "server_outage"


def test_half_a_minute(find_one, day):
    synthetic.server_outage(day, begin=10 * HOUR + 45)  # in two minutes
    found = find_one(KIND, day)
    assert (found.hosts, found.flows, found.erroneous) == (["10.9.0.70"], 60, 60)
    (row,) = found.evidence
    assert (row["client"], row["server"], row["server_port"]) == (None, "10.9.0.70", 8443)
    assert row["detail"] == "2 clients, for 29 seconds"
    assert "from 2026-11-23T10:00:45Z for 29 seconds: 2 clients failed 60 times" in found.cause
    assert found.confidence > 0.8


def test_one_client_may_have_been_cut_off(find_one, day):
    synthetic.server_outage(day, ("10.1.0.70",), begin=10 * HOUR, verdict="refused")
    found = find_one(KIND, day)
    assert (found.flows, found.share) == (30, 0)
    assert found.confidence <= 0.6
    assert "it may be 10.1.0.70 that was cut off" in found.cause


def test_a_server_outside_is_for_others_to_mend(find, day):
    synthetic.server_outage(day, server="198.18.9.54", port=53, protocol="udp", begin=10 * HOUR)
    found = find(day)
    assert [each.kind for each in found.findings] == [KIND]
    assert found.findings[0].hosts == ["10.1.0.70", "10.1.0.71"]
    assert found.machines == []


@pytest.mark.parametrize(("seconds", "period", "flows"), [(1000, 10, 100), (1200, 60, 20)])
def test_minutes_of_slow_polls(find_one, day, seconds, period, flows):
    synthetic.server_outage(day, ("10.1.0.70",), begin=10 * HOUR, seconds=seconds, period=period)
    assert find_one(KIND, day).flows == flows


def test_clients_that_try_again_sooner(find_one, day):
    synthetic.server_outage(day, begin=10 * HOUR, seconds=120, period=5)
    for n in range(600):
        day.flow(10 * HOUR + n * 0.2, "10.1.0.70", "10.9.0.70", 8443)
    assert find_one(KIND, day).flows == 648


def test_outages_of_one_server_are_one_finding(find_one, day):
    for hour in (3, 6, 9):
        synthetic.server_outage(day, begin=hour * HOUR, seconds=30 + hour)
    found = find_one(KIND, day)
    assert len(found.evidence) == 3
    assert "was down 3 times, the longest from 2026-11-23T09:00:00Z for 38 seconds" in found.cause


def test_a_log_of_minutes(find_one):
    logs = Logs()
    logs.flow(0, "fd00:1::1", "2001:db8::1")
    logs.flow(500, "fd00:1::1", "2001:db8::2")
    synthetic.server_outage(logs, ("fd00:1::5",), "fd00:9::1", begin=240, around=240)
    assert find_one(KIND, logs).flows == 30


@pytest.mark.parametrize("times", [1, 40])
def test_answers_of_other_servers_show_nothing(find_one, day, times):
    """A client tries a dead server for a while, and is answered by others all the time."""
    draw = random.Random(1)
    for minute in range(24 * 60):
        day.healthy(minute * 60, "10.1.0.70", 8443, direction="internal",
                    flows=draw.randrange(20, 60))  # fmt: skip
    for n in range(times):
        for second in range(30):
            day.flow(HOUR + n * 1200 + second, "10.1.0.70", "10.9.0.70", 8443)
    assert find_one(KIND, day) is None


def test_one_server_of_many_is_not_seen(find_one, day):
    """Nine in ten answers are others': what is missing is within what comes and goes."""
    synthetic.server_outage(day, begin=10 * HOUR)
    for client in ("10.1.0.70", "10.1.0.71"):
        for minute in range(24 * 60):
            day.healthy(minute * 60, client, 8443, direction="internal", flows=540)
    assert find_one(KIND, day) is None


def test_a_client_that_was_cut_off_fails_everywhere(find_one, day):
    for n in range(5):
        synthetic.server_outage(day, ("10.1.0.70",), f"10.9.0.{n}", begin=10 * HOUR)
    assert find_one(KIND, day) is None


def test_a_server_that_stays_away_is_not_back(find_one, day):
    synthetic.server_outage(day, begin=10 * HOUR)
    synthetic.stale_server(day, "10.1.0.70", "10.9.0.71", 8444, period=30, times=2000)
    for at in range(0, 600, 5):  # was well, and died
        day.healthy(23 * HOUR - 600 + at, "10.1.0.72", 8445, direction="internal")
    synthetic.stale_server(day, "10.1.0.72", "10.9.0.72", 8445, period=5, times=700,
                           begin=23 * HOUR)  # fmt: skip
    assert find_one(KIND, day).evidence[0]["server"] == "10.9.0.70"


def test_a_burst_is_none(find_one, day):
    synthetic.server_outage(day, begin=10 * HOUR, seconds=5, period=0.25)
    assert find_one(KIND, day) is None


def test_packets_lost_now_and_then_are_none(find_one, day):
    draw = random.Random(1)
    for second in range(4 * HOUR):
        if draw.random() < 0.3 and HOUR < second < 2 * HOUR:
            day.flow(second, "10.1.0.70", "10.9.0.70", 8443)
        else:
            day.healthy(second, "10.1.0.70", 8443, direction="internal")
    assert find_one(KIND, day) is None


def test_many_servers_are_an_outage_of_the_network(find, day):
    for n, server in enumerate(synthetic.addresses(8, "198.18.5.0/24")):
        synthetic.server_outage(
            day, ("10.1.0.70", "10.1.0.71"), server, 8000 + n, begin=10 * HOUR, seconds=60
        )
    assert [each.kind for each in find(day).findings] == ["outage"]


def test_late_replies_meanwhile_belong_to_it(find, day):
    synthetic.server_outage(day, begin=10 * HOUR, seconds=120)
    for n in range(20):
        day.flow(10 * HOUR + n * 5, "10.1.0.70", "10.9.0.70", 8443, verdict="recovered")
    assert [each.kind for each in find(day).findings] == [KIND]
