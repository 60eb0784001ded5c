import math

import pytest

from chamaleonet.lab.scrape import of_buckets, parsed, quantile, total

TEXT = """\
# HELP chamaleonet_flows_total Flows.
# TYPE chamaleonet_flows_total counter
chamaleonet_flows_total{verdict="answered",protocol="tcp"} 3.0
chamaleonet_flows_total{verdict="answered",protocol="udp"} 4.0
chamaleonet_flows_total{verdict="refused",protocol="tcp"} 1.0
"""


def test_samples_are_summed_by_label():
    metrics = parsed(TEXT)
    assert total(metrics, "flows_total") == 8
    assert total(metrics, "flows_total", verdict="answered") == 7
    assert total(metrics, "flows_total", verdict="answered", protocol="udp") == 4
    assert total(metrics, "nothing") == 0


def test_a_quantile_is_interpolated():
    metrics = {"x_bucket": [({"le": "1"}, 10.0), ({"le": "2"}, 20.0), ({"le": "+Inf"}, 20.0)]}
    assert quantile(metrics, "x", 0.5) == 1.0
    assert quantile(metrics, "x", 0.75) == 1.5
    assert quantile({}, "x", 0.5) is None


@pytest.mark.parametrize(("wanted", "value"), [(0.25, 0.5), (0.5, 1.0), (0.75, 1.5), (1.0, 2.0)])
def test_a_quantile_is_interpolated_within_its_bucket(wanted, value):
    assert of_buckets([(1.0, 50), (2.0, 100), (math.inf, 100)], wanted) == value


def test_empty_buckets_are_passed_over():
    assert of_buckets([(1.0, 0), (2.0, 0), (3.0, 10), (math.inf, 10)], 0.5) == 2.5
