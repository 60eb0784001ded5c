"""Table 6 on logs of which everything is known."""

from __future__ import annotations

import pytest

from chamaleonet.analysis.table import Options
from chamaleonet.analysis.tables import compute
from tests.analysis import synthetic


def _value(logs):
    return compute("retries", logs, Options()).value


def _series(times, **flow):
    logs = synthetic.Logs()
    for at in times:
        logs.flow(at, "10.0.0.1", "192.0.2.1", **flow)
    return logs


def test_gaps(opened):
    written = _series((0, 1, 4, 104))
    written.flow(2, "10.0.0.1", "192.0.2.1", 80)  # another port, and so another series
    written.flow(3, "10.0.0.1", "192.0.2.1", protocol="udp")
    value = _value(opened(written))
    assert value["gaps"] == 3
    shorter = {row["gap"]: row["shorter"] for row in value["cdf"]}
    assert [shorter[gap] for gap in (1, 1.3, 3.2, 100, 130)] == pytest.approx(
        [0, 1 / 3, 2 / 3, 2 / 3, 1]
    )
    assert [row["gap"] for row in value["frequent"]] == [1, 3, 100]


def test_a_success_ends_a_run(opened):
    written = _series((0, 10, 30, 40), verdict="refused")
    written.flow(20, "10.0.0.1", "192.0.2.1", verdict="recovered")
    assert _value(opened(written))["frequent"] == [{"gap": 10, "gaps": 2, "share": 1}]


def test_a_logged_answer_ends_a_run_too(opened):
    written = _series((0, 10, 30))
    written.flow(20, "10.0.0.1", "192.0.2.1", verdict="answered")
    assert _value(opened(written))["gaps"] == 1


def test_what_nobody_asked_for_is_no_attempt(opened):
    assert _value(opened(_series((0, 10), verdict="unsolicited"))) == {
        "gaps": 0, "cdf": [], "frequent": [], "periodic_runs": 0, "periodic_flows": 0,
        "periodic": [],
    }  # fmt: skip


def test_a_stale_server_is_polled_for_ever(opened):
    written = synthetic.Logs()
    synthetic.background(written, hours=3)
    synthetic.stale_server(written, period=300, times=50, jitter=5)
    value = _value(opened(written))
    (run,) = value["periodic"]
    assert run["client"] == "10.1.0.3"
    assert run["server"] == "10.9.0.1"
    assert (run["protocol"], run["server_port"], run["direction"]) == ("tcp", 8080, "internal")
    assert (run["flows"], value["periodic_runs"], value["periodic_flows"]) == (50, 1, 50)
    assert run["period"] == pytest.approx(300, rel=0.02)
    assert run["irregularity"] < 0.03
    assert run["span"] == pytest.approx(49 * 300, abs=10)
    assert run["begin"] < run["end"]
    assert value["frequent"][0]["gap"] == pytest.approx(300, abs=10)


def test_a_success_between_makes_two_runs(opened):
    written = synthetic.Logs()
    synthetic.stale_server(written, times=20)
    written.flow(9.5 * 60, "10.1.0.3", "10.9.0.1", 8080, verdict="recovered")
    value = _value(opened(written))
    assert [row["flows"] for row in value["periodic"]] == [10, 10]
    assert {row["period"] for row in value["periodic"]} == {60}


@pytest.mark.parametrize(
    "times",
    [
        range(0, 540, 60),  # too few
        [n * n for n in range(40)],  # ever slower
        [n / 2 for n in range(40)],  # one attempt of many flows
        [0] * 40,
    ],
)
def test_what_is_not_periodic(opened, times):
    value = _value(opened(_series(times)))
    assert value["periodic"] == []
    assert value["gaps"] == len(times) - 1


def test_series_without_ports(opened):
    written = _series(range(0, 1200, 60), protocol="icmp")
    (run,) = _value(opened(written))["periodic"]
    assert (run["protocol"], run["server_port"], run["flows"]) == ("icmp", None, 20)
