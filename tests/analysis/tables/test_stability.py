"""Table 5 on logs of which everything is known."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import numpy as np
import pytest

from chamaleonet.analysis.table import Options
from chamaleonet.analysis.tables import compute
from chamaleonet.analysis.tables.stability import LAGS, autocorrelation
from tests.analysis import synthetic
from tests.analysis.synthetic import DAY, HOUR


def _value(logs, **options):
    return compute("stability", logs, Options(**options)).value


def _week(value, weekday, hour):
    (row,) = (row for row in value["clients"]["hours_of_week"]
              if (row["weekday"], row["hour"]) == (weekday, hour))  # fmt: skip
    return row


def _daily(days=14, at_work=3):
    """Return a log of ``at_work`` failures in working hours, and one in every other hour."""
    logs = synthetic.Logs()
    for hour in range(days * 24):
        working = hour // 24 % 7 < 5 and 9 <= hour % 24 < 17
        for n in range(at_work if working else 1):
            logs.flow(hour * HOUR + n, "10.0.0.1", "192.0.2.1")
    return logs


def test_hours_of_the_week(opened):
    value = _value(opened(_daily()))
    assert len(value["clients"]["hours_of_week"]) == 168
    assert _week(value, 0, 9) == {"weekday": 0, "hour": 9, "hours": 2, "flows": 6, "per_hour": 3}
    assert _week(value, 5, 9)["per_hour"] == 1
    assert value["clients"]["working_hours_ratio"] == 3


def test_the_week_is_local(opened):
    """09:00 UTC is 14:30 at Calcutta."""
    written = synthetic.Logs()
    written.flow(9 * HOUR, "10.0.0.1", "192.0.2.1")
    value = _value(opened(written), timezone=ZoneInfo("Asia/Kolkata"))
    assert _week(value, 0, 14) == {"weekday": 0, "hour": 14, "hours": 0.5, "flows": 1,
                                   "per_hour": 2}  # fmt: skip
    assert _week(value, 0, 15)["hours"] == 0.5
    assert _week(value, 0, 9)["per_hour"] is None


def test_working_hours_are_the_operators(opened):
    logs = opened(_daily())
    night = _value(logs, working_hours=(22, 24), working_days=frozenset({6}))
    assert night["clients"]["working_hours_ratio"] < 1
    never = _value(logs, working_days=frozenset())
    assert never["clients"]["working_hours_ratio"] is None


def test_what_repeats_correlates(opened):
    value = _value(opened(_daily()))
    found = {row["lag"]: row["value"] for row in value["clients"]["autocorrelation"]}
    assert list(found) == list(LAGS)
    assert max(found, key=found.get) in (1, 24)
    assert found[24] > 0.5
    assert found[24] > found[12]


def test_autocorrelation_by_hand():
    """About the mean: -1, 1, -1, 1; three products of -1 over four of 1."""
    assert autocorrelation(np.array([1, 3, 1, 3])) == [
        {"lag": 1, "value": -0.75}, {"lag": 2, "value": 0.5}, {"lag": 3, "value": -0.25},
    ]  # fmt: skip
    assert autocorrelation(np.array([2, 2])) == [{"lag": 1, "value": None}]
    assert autocorrelation(np.array([], int)) == []


def test_only_erroneous_flows_count_by_side(opened):
    written = synthetic.Logs()
    written.flow(0, "10.0.0.1", "192.0.2.1", verdict="refused")
    written.flow(0, "192.0.2.1", "10.0.0.1")
    written.flow(2 * HOUR, "10.0.0.1", "192.0.2.1", verdict="icmp_error")
    value = _value(opened(written))
    assert sum(row["flows"] for row in value["clients"]["hours_of_week"]) == 1
    assert sum(row["flows"] for row in value["servers"]["hours_of_week"]) == 1
    assert sum(row["hours"] for row in value["servers"]["hours_of_week"]) == 3


def test_a_flow_that_began_before_the_log_does_not_stretch_it(opened):
    written = synthetic.Logs()
    written.flow(-30 * DAY, "10.0.0.1", "192.0.2.1", attempts=30 * DAY // 60 + 1, spacing=60)
    written.flow(HOUR, "10.0.0.1", "192.0.2.1")
    value = _value(opened(written))
    assert [row["flows"] for row in value["clients"]["hours_of_week"][:2]] == [1, 1]
    assert sum(row["hours"] for row in value["clients"]["hours_of_week"]) == 2


def test_an_empty_log(opened):
    written = synthetic.Logs()
    written.healthy(0, "10.0.0.1")
    value = _value(opened(written))
    assert value["clients"]["working_hours_ratio"] is None
    with_nothing = synthetic.Logs()
    with_nothing.flow(0, "10.0.0.1", "192.0.2.1")
    until = synthetic.datetime(2020, 1, 1, tzinfo=synthetic.UTC)
    assert _value(opened(with_nothing, until=until))["servers"]["autocorrelation"] == []


@pytest.mark.parametrize("lag", [49, 100, 167])
def test_lags_are_those_of_two_days_and_a_week(lag):
    assert lag not in LAGS
