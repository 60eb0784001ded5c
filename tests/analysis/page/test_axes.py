from __future__ import annotations

from itertools import pairwise

import pytest

from chamaleonet.analysis.page import axes

HOUR, DAY = 3600, 86400
MONDAY = 4 * DAY + 1000 * 7 * DAY


@pytest.mark.parametrize(
    ("low", "high", "values"),
    [
        (0, 100, [0, 20, 40, 60, 80, 100]),
        (0, 7, [0, 2, 4, 6, 8]),
        (-0.04, 0.25, [-0.05, 0, 0.05, 0.1, 0.15, 0.2, 0.25]),
        (0, 0, [0, 0.2, 0.4, 0.6, 0.8, 1]),
    ],
)
def test_round_numbers_around_all_values(low, high, values):
    scale = axes.linear(low, high, 0, 100)
    assert [value for value, _ in scale.ticks] == pytest.approx(values)
    assert (scale(scale.low), scale(scale.high)) == (0, 100)
    assert scale.low <= low <= high <= scale.high


@pytest.mark.parametrize(("worst", "low"), [(0.97, 0.9), (0.9, 0.9), (0.85, 0.8), (0.2, 0.0)])
def test_shares_reach_to_all_and_to_the_worst(worst, low):
    scale = axes.shares(100, 0, low=worst)
    assert (scale.low, scale.high) == (low, 1.0)
    assert scale.ticks[-1] == (1.0, "100%")
    assert len({text for _, text in scale.ticks}) == len(scale.ticks)


def test_logarithms():
    scale = axes.logarithmic(0.01, 100, 0, 400)
    assert [scale(value) for value in (0.01, 0.1, 1, 100)] == pytest.approx([0, 100, 200, 400])
    assert [text for _, text in scale.ticks] == ["10 ms", "100 ms", "1 s", "10 s", "1 min"]


@pytest.mark.parametrize(
    ("seconds", "step"), [(600, 300), (DAY, 6 * HOUR), (8 * DAY, 2 * DAY), (365 * DAY, 91 * DAY)]
)
def test_times_at_round_hours_and_days(seconds, step):
    begin = MONDAY + 60
    scale = axes.clock(begin, begin + seconds, 0, 100)
    times = [time for time, _ in scale.ticks]
    assert times
    assert all(begin <= time <= begin + seconds and time % 60 == 0 for time in times)
    assert {later - earlier for earlier, later in pairwise(times)} == {step}
    assert len({text for _, text in scale.ticks}) == len(times)


def test_a_moment_is_a_span_too():
    assert axes.clock(MONDAY, MONDAY, 0, 100)(MONDAY) == 0
