import math

import pytest

from benchmarks.experiments.catalogue.redirect_delay import quantile


@pytest.mark.parametrize(("wanted", "value"), [(0.25, 0.5), (0.5, 1.0), (0.75, 1.5), (1.0, 2.0)])
def test_a_quantile_is_interpolated_within_its_bucket(wanted, value):
    assert quantile([(1.0, 50), (2.0, 100), (math.inf, 100)], wanted) == value


def test_empty_buckets_are_passed_over():
    assert quantile([(1.0, 0), (2.0, 0), (3.0, 10), (math.inf, 10)], 0.5) == 2.5
