"""The smallest number of simultaneous failures that is no chance."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import pytest

from chamaleonet.analysis import minimum_dependent

HOUR, DAY, WEEK, MONTH = 60, 24 * 60, 7 * 24 * 60, 30 * 24 * 60  # minutes


@pytest.mark.parametrize(
    ("n", "expected"),
    [
        (10, (8, 3, 2, 2)),
        (50, (21, 5, 3, 2)),
        (100, (35, 7, 4, 3)),
        (500, (126, 14, 6, 4)),
        (1000, (231, 21, 8, 5)),
        (5000, (1021, 64, 17, 8)),
        (10000, (1980, 112, 26, 11)),
        (50000, (9491, 457, 85, 29)),
    ],
)
def test_the_numbers_of_the_literature(n, expected):
    """Bins of 11 minutes; one failure per hour, day, week and 30 days."""
    assert tuple(minimum_dependent(n, 11 / span) for span in (HOUR, DAY, WEEK, MONTH)) == expected


@pytest.mark.parametrize("p", [Fraction(1, 1000), Fraction(1, 7), Fraction(1, 2), Fraction(9, 10)])
@pytest.mark.parametrize("n", [0, 1, 2, 13, 60])
def test_equals_exact_arithmetic(n, p):
    tail = [
        sum(comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(d, n + 1)) for d in range(n + 2)
    ]
    smallest = next(d for d, probability in enumerate(tail) if probability < Fraction(1, 10**4))
    assert minimum_dependent(n, float(p)) == smallest


def test_what_cannot_fail_and_what_always_fails():
    assert minimum_dependent(100, 0.0) == 1
    assert minimum_dependent(100, 1.0) == 101
    assert minimum_dependent(0, 0.5) == 1


def test_large_numbers_stay_near_the_normal_approximation():
    n, p = 10**9, 0.25
    deviation = (n * p * (1 - p)) ** 0.5
    assert minimum_dependent(n, p) == pytest.approx(n * p + 3.719 * deviation, abs=deviation / 100)


@pytest.mark.parametrize(("n", "p"), [(-1, 0.5), (10, -0.1), (10, 1.1), (10, float("nan"))])
def test_no_distribution(n, p):
    with pytest.raises(ValueError, match="no binomial distribution"):
        minimum_dependent(n, p)
