"""Every panel and every rule, in a real Prometheus that scrapes real processes under traffic."""

import json
import math
import re
from pathlib import Path

import pytest

from chamaleonet.demo.campus import Campus
from chamaleonet.demo.show import configuration
from chamaleonet.demo.traffic import Traffic
from chamaleonet.lab.machine import switch_runs
from chamaleonet.lab.programs import Programs
from chamaleonet.lab.scrape import total
from mininet_tests.prometheus import PROGRAM, ROOT, Prometheus

pytestmark = pytest.mark.skipif(not Path(PROGRAM).exists(), reason="needs Prometheus")

QUERIES = [
    pytest.param(target["expr"], id=f"{path.stem}-{panel['title']}-{target['refId']}")
    for path in sorted((ROOT / "deploy/grafana/dashboards").glob("*.json"))
    for panel in json.loads(path.read_text())["panels"]
    for target in panel["targets"]
]
# What the browser would put in.
VARIABLES = {"$__rate_interval": "5m", "$instance": ".*"}
VERDICTS = {"answered", "unanswered", "icmp_error", "refused", "recovered"}


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory):
    """Has scraped controller and logger before, during and after a round of every verdict."""
    assert switch_runs()
    directory = tmp_path_factory.mktemp("dashboards")
    programs = Programs(configuration(directory, "conntrack"), directory)
    jobs = ("chamaleonet-controller", "chamaleonet-logger")
    targets = dict(zip(jobs, programs.metrics_ports, strict=True))
    with Campus(programs.openflow_port) as campus:
        traffic = Traffic(campus, directory)
        try:
            programs.start()
            with Prometheus(directory, targets) as server:
                server.wait_for(lambda: server.values("sum(up)") == [2])
                traffic.start_servers()
                server.wait_for(lambda: listening(campus) == {"80", "4000", "53"})
                traffic.start_round(0)
                server.wait_for(lambda: entered(programs) == VERDICTS)
                server.wait_for(lambda: len(settled(server)) >= len(VERDICTS))
                yield server
        finally:
            traffic.stop()
            programs.stop()


def listening(campus):
    """Return which of the servers' ports somebody listens on by now."""
    hosts = [campus.host(name) for name in ("web", "dns")]
    told = "".join(host.pexec("ss", "-Hlntu")[0] for host in hosts)
    return set(re.findall(r":(80|4000|53) ", told))


def entered(programs):
    metrics = programs.controller()
    return {verdict for verdict in VERDICTS if total(metrics, "flows_total", verdict=verdict)}


def settled(server):
    """Return the verdicts that were scraped at least twice, so that they have a rate."""
    return server.values("sum by (verdict) (rate(chamaleonet_flows_total[5m])) >= 0")


@pytest.mark.parametrize("expression", QUERIES)
def test_a_panel_has_data(prometheus, expression):
    for variable, value in VARIABLES.items():
        expression = expression.replace(variable, value)
    assert "$" not in expression
    values = prometheus.values(expression)
    assert values
    assert any(map(math.isfinite, values))


def test_every_rule_can_be_evaluated(prometheus):
    rules = prometheus.rules()
    assert len(rules) > 10
    prometheus.wait_for(lambda: all(rule["health"] == "ok" for rule in prometheus.rules()))
    recorded = {rule["name"] for rule in rules if rule["type"] == "recording"}
    for name in recorded:
        prometheus.wait_for(lambda name=name: prometheus.values(name))


def test_nothing_alerts_while_all_is_well(prometheus):
    firing = {rule["name"] for rule in prometheus.rules() if rule.get("state") == "firing"}
    assert firing == set()


def test_a_panel_without_data_would_be_found(prometheus):
    assert prometheus.values("sum(rate(chamaleonet_no_such_total[5m]))") == []
