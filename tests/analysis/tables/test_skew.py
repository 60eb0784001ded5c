"""Table 4 on logs of which everything is known."""

from __future__ import annotations

import numpy as np
import pytest

from chamaleonet.analysis.source import Logs
from chamaleonet.analysis.table import Options
from chamaleonet.analysis.tables import compute
from chamaleonet.analysis.tables.skew import LORENZ_POINTS, gini, lorenz
from tests.analysis import synthetic


def _value(logs):
    return compute("skew", logs, Options()).value


def _by_definition(values):
    """Gini as the mean difference of all pairs, over twice the mean."""
    values = np.array(values, float)
    return np.abs(values[:, None] - values).mean() / (2 * values.mean())


@pytest.mark.parametrize("values", [[1, 1, 1], [0, 0, 5], [1, 2, 3, 4], [0, 1, 1, 9, 9, 100]])
def test_gini(values):
    flows, hosts = np.unique(values, return_counts=True)
    assert gini(flows, hosts) == pytest.approx(_by_definition(values))


def test_no_flows_have_no_curve():
    flows, hosts = np.array([0]), np.array([7])
    assert gini(flows, hosts) is None
    assert lorenz(flows, hosts) == []


def test_long_curves_are_thinned_out():
    flows = np.arange(5000)
    points = lorenz(flows, np.ones(5000, int))
    assert len(points) == LORENZ_POINTS
    assert points[0] == {"hosts": 0, "flows": 0}
    assert points[-1] == {"hosts": 1, "flows": 1}
    for point in points:  # of a uniform distribution it is a parabola
        assert point["flows"] == pytest.approx(point["hosts"] ** 2, abs=1e-3)


def test_shares_of_hosts(opened):
    """Of 200 hosts two have all: the top 1%."""
    written = synthetic.Logs()
    for host in synthetic.addresses(200):
        written.healthy(0, host)
    for host, flows in (("10.1.0.1", 3), ("10.1.0.2", 1)):
        for at in range(flows):
            written.flow(at, host, "192.0.2.1")
    written.flow(0, "10.1.0.3", "192.0.2.1", verdict="refused")  # failed, but is not erroneous
    clients = _value(opened(written))["clients"]
    assert (clients["hosts"], clients["flows"], clients["top_1_percent"]) == (200, 4, 1)
    assert clients["gini"] == pytest.approx(_by_definition([3, 1, *[0] * 198]))
    assert clients["top"] == [
        {"host": "10.1.0.1", "flows": 3, "share": 0.75},
        {"host": "10.1.0.2", "flows": 1, "share": 0.25},
    ]
    assert clients["lorenz"] == [
        {"hosts": 0, "flows": 0}, {"hosts": 0.99, "flows": 0}, {"hosts": 0.995, "flows": 0.25},
        {"hosts": 1, "flows": 1},
    ]  # fmt: skip


def test_clients_and_servers_are_apart(opened):
    written = synthetic.Logs()
    written.flow(0, "10.0.0.1", "10.0.0.2")
    written.flow(0, "10.0.0.1", "192.0.2.1")
    written.flow(0, "192.0.2.1", "10.0.0.1")
    written.flow(0, "192.0.2.1", "198.51.100.1")  # no host of ours
    value = _value(opened(written))
    assert [(row["host"], row["flows"]) for row in value["clients"]["top"]] == [("10.0.0.1", 2)]
    assert [(row["host"], row["flows"]) for row in value["servers"]["top"]] == [("10.0.0.1", 1)]


def test_an_empty_side(tmp_path):
    written = synthetic.Logs()
    written.flow(0, "10.0.0.1", "10.0.0.2")
    with Logs.open(written.write_file(tmp_path / "flows.parquet")) as logs:
        assert _value(logs)["servers"] == {
            "hosts": 0, "flows": 0, "gini": None, "top_1_percent": None, "lorenz": [], "top": [],
        }  # fmt: skip
