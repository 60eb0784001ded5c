"""Grafana's dashboards: generated, laid out without overlap, and about metrics that exist."""

import itertools
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.deploy import promql

GRAFANA = Path(__file__).parents[2] / "deploy" / "grafana"
DASHBOARDS = {path.stem: json.loads(path.read_text()) for path in GRAFANA.glob("dashboards/*.json")}
PANELS = [
    pytest.param(panel, id=f"{name}-{panel['title']}")
    for name, dashboard in DASHBOARDS.items()
    for panel in dashboard["panels"]
]


def test_the_dashboards_are_up_to_date():
    done = subprocess.run(
        [sys.executable, GRAFANA / "generate.py", "--check"], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert DASHBOARDS.keys() == {"overview", "switch", "logger", "network"}


def test_identifiers_are_unique():
    assert len({each["uid"] for each in DASHBOARDS.values()}) == len(DASHBOARDS)
    for dashboard in DASHBOARDS.values():
        numbers = [panel["id"] for panel in dashboard["panels"]]
        assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize("name", DASHBOARDS)
def test_no_panel_lies_over_another(name):
    places = [panel["gridPos"] for panel in DASHBOARDS[name]["panels"]]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for one, other in itertools.combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or below, (one, other)


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_explains_itself_and_names_metrics_that_exist(panel):
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert panel["targets"]
    for target in panel["targets"]:
        named = promql.names(target["expr"])
        assert named
        assert not named - promql.declared() - promql.STANDARD


def test_what_is_provisioned_is_what_there_is():
    (source,) = yaml.safe_load((GRAFANA / "provisioning/datasources/chamaleonet.yml").read_text())[
        "datasources"
    ]
    assert (source["type"], source["url"]) == ("prometheus", "$CHAMALEONET_PROMETHEUS")
    (provider,) = yaml.safe_load((GRAFANA / "provisioning/dashboards/chamaleonet.yml").read_text())[
        "providers"
    ]
    assert provider["type"] == "file"
    for dashboard in DASHBOARDS.values():
        kinds = [variable["type"] for variable in dashboard["templating"]["list"]]
        assert kinds == ["datasource", "query"]
