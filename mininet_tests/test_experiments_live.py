"""Experiments that show on a switch what a model or the engine alone shows, too."""


def on_switch(rows):
    return [row for row in rows if row["live"] is not None]


def test_live_calls_as_many_unanswered_as_offline(rows_of):
    (row,) = on_switch(rows_of("timeout-delay"))
    assert 0 < row["unanswered"] < 0.2
    assert abs(row["live"] - row["some"]) < 0.3  # by a clock that others use as well


def test_every_flow_gets_its_rule_and_has_a_delay(rows_of):
    rows = rows_of("redirect-delay")
    assert {row["pipeline"] for row in rows} == {"conntrack", "reactive"}
    for row in rows:
        assert 0 < row["p50"] <= row["p90"] <= row["p99"]


def test_a_switch_misses_what_the_model_says(rows_of):
    by_flow, by_service = on_switch(rows_of("service-granularity"))
    assert by_flow["missed"] == 0
    assert by_flow["live"] < 0.2
    assert by_service["missed"] > 0.4
    assert abs(by_service["live"] - by_service["missed"]) < 0.3
    assert by_service["rules"] < by_flow["rules"]


def test_ordinary_failures_are_judged_and_captured_in_a_small_flood(rows_of):
    rows = [row for row in rows_of("flood-capture") if row["where"] == "switch"]
    assert [row["sheds"] for row in rows] == [False, True]
    for row in rows:
        for share in ("inside", "outside", "captured_inside", "captured_outside"):
            assert row[share] > 0.9


def test_memory_is_that_of_the_flows(rows_of):
    few, many = rows_of("memory")
    assert few["flows"] < many["flows"]
    assert few["run"] > few["replay"] > 10  # MB
    assert abs(many["growth"]) < 10  # bytes per flow that came
    assert 128 < many["engine"] < 1000
