"""Table 2 on logs of which everything is known."""

from __future__ import annotations

import pytest

from chamaleonet.analysis.source import Logs
from chamaleonet.analysis.table import Options
from chamaleonet.analysis.tables import compute
from tests.analysis import synthetic
from tests.analysis.synthetic import HOUR


def _log(healthy, failed, port=443):
    """Return a log of so many healthy and failed flows in each hour."""
    logs = synthetic.Logs()
    for hour, (well, ill) in enumerate(zip(healthy, failed, strict=True)):
        logs.healthy(hour * HOUR, "10.0.0.1", port, flows=well)
        for n in range(ill):
            logs.flow(hour * HOUR + n, "10.0.0.1", "192.0.2.1", port)
    return logs


def _value(logs):
    return compute("health", logs, Options()).value


def test_hours(opened):
    panel = _value(opened(_log((3, 8, 1), (1, 2, 3))))["all"]
    assert panel["hours"] == [
        {"hour": f"2026-11-23T0{hour}:00:00Z", "flows": flows, "failed": failed, "health": health}
        for hour, flows, failed, health in ((0, 4, 1, 0.75), (1, 10, 2, 0.8), (2, 4, 3, 0.25))
    ]
    assert (panel["flows"], panel["failed"]) == (18, 6)
    assert panel["health"] == pytest.approx(2 / 3)


def test_what_failed_and_what_did_not(opened):
    written = synthetic.Logs()
    for verdict in ("unanswered", "icmp_error", "refused"):
        written.flow(0, "10.0.0.1", "192.0.2.1", verdict=verdict)
    written.flow(0, "10.0.0.1", "10.0.0.2", verdict="recovered")
    written.flow(0, "10.0.0.1", "192.0.2.1", verdict="unsolicited")
    written.flow(0, "192.0.2.1", "10.0.0.1")  # from outside: no internal host's health
    written.healthy(0, "10.0.0.1", flows=4)
    written.healthy(0, "10.0.0.1", flows=100, verdict="midstream")
    written.healthy(0, "10.0.0.1", flows=100, verdict="pending")
    written.healthy(0, "10.0.0.1", flows=100, direction="inbound")
    panel = _value(opened(written))["all"]
    assert (panel["flows"], panel["failed"], panel["health"]) == (8, 3, 0.625)


def test_web_ports_have_a_panel_of_their_own(opened):
    written = _log((5, 5), (1, 1), port=53)
    for port in (80, 88, 443, 8080):
        written.flow(HOUR, "10.0.0.1", "192.0.2.1", port)
    written.healthy(HOUR, "10.0.0.1", 8080, flows=12)
    value = _value(opened(written))
    assert value["web"]["hours"] == [
        {"hour": "2026-11-23T01:00:00Z", "flows": 16, "failed": 4, "health": 0.75}
    ]
    assert value["all"]["flows"] == 28


def test_correlation(opened):
    """Health 0.5, 0.75, 0.875 at 2, 4, 8 flows: by hand 13/14."""
    panel = _value(opened(_log((1, 3, 7), (1, 1, 1))))["all"]
    assert panel["correlation"] == pytest.approx(13 / 14)
    flat = _value(opened(_log((2, 4, 8), (1, 2, 4))))["all"]
    assert flat["correlation"] is None
    few = _value(opened(_log((1, 3), (1, 1))))["all"]
    assert few["correlation"] is None


def test_a_flow_that_began_before_the_log_is_left_out(opened):
    written = _log((1,), (1,))
    written.healthy(-5 * HOUR, "10.0.0.1", flows=50)
    assert _value(opened(written))["all"]["flows"] == 2


def test_without_counters_there_is_no_health(tmp_path):
    with Logs.open(_log((1, 1), (2, 3)).write_file(tmp_path / "flows.parquet")) as logs:
        panel = _value(logs)["all"]
    assert (panel["failed"], panel["flows"], panel["health"]) == (5, None, None)
    assert [(row["failed"], row["health"]) for row in panel["hours"]] == [(2, None), (3, None)]


def test_an_empty_log(opened):
    written = synthetic.Logs()
    written.healthy(0, "10.0.0.1", flows=0)
    assert _value(opened(written))["all"]["health"] is None
