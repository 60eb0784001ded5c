"""The experiments that show on a switch what models and the engine alone show: quick runs."""

from benchmarks.experiments.catalogue import (
    flood_capture,
    redirect_delay,
    service_granularity,
    timeout_delay,
)


def test_live_calls_as_many_unanswered_as_offline():
    (row,) = (row for row in timeout_delay.run(True) if row["live"] is not None)
    assert 0 < row["unanswered"] < 0.2
    assert abs(row["live"] - row["some"]) < 0.3  # by a clock that others use as well


def test_delays_are_those_of_every_flow():
    rows = redirect_delay.run(True)
    assert {row["pipeline"] for row in rows} == {"conntrack", "reactive"}
    for row in rows:
        assert 0 < row["p50"] <= row["p90"] <= row["p99"]


def test_a_switch_misses_what_the_model_says():
    by_flow, by_service = (row for row in service_granularity.run(True) if row["live"] is not None)
    assert by_flow["missed"] == 0
    assert by_flow["live"] < 0.2
    assert by_service["missed"] > 0.4
    assert abs(by_service["live"] - by_service["missed"]) < 0.3


def test_ordinary_failures_are_judged_and_captured_in_a_small_flood():
    rows = [row for row in flood_capture.run(True) if row["where"] == "switch"]
    assert [row["sheds"] for row in rows] == [False, True]
    for row in rows:
        assert min(row["inside"], row["outside"], row["captured"]) > 0.9
