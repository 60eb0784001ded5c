"""Prometheus' rules: they work, name metrics that exist, and lead to a runbook."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.deploy import promql

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
PROMTOOL = shutil.which("promtool") or ROOT / ".tools" / "promtool"
RULES = [
    rule
    for group in yaml.safe_load((PROMETHEUS / "rules.yml").read_text())["groups"]
    for rule in group["rules"]
]
RECORDED = {rule["record"] for rule in RULES if "record" in rule}
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
TESTED = yaml.safe_load((PROMETHEUS / "rules_test.yml").read_text())["tests"]

needs_promtool = pytest.mark.skipif(not Path(PROMTOOL).exists(), reason="needs promtool")


@needs_promtool
@pytest.mark.parametrize(
    "command",
    [("check", "config", "prometheus.yml"), ("test", "rules", "rules_test.yml")],
    ids=" ".join,
)
def test_promtool_is_content(command):
    done = subprocess.run([PROMTOOL, *command], cwd=PROMETHEUS, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_metric_that_is_named_exists():
    for rule in RULES:
        unknown = promql.names(rule["expr"]) - promql.declared() - promql.STANDARD - RECORDED
        assert not unknown, rule


def test_a_metric_that_does_not_exist_would_be_found():
    expression = (
        'sum by (job) (rate(bad_total{verdict=~"a|b"}[5m])) / on (x) (other:r > 0) offset 1h'
    )
    assert promql.names(expression) == {"bad_total", "other:r"}


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_is_tested_both_ways(name):
    cases = [
        bool(each["exp_alerts"])
        for test in TESTED
        for each in test.get("alert_rule_test", [])
        if each["alertname"] == name
    ]
    assert set(cases) == {True, False}


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_how_bad_it_is_and_leads_to_its_runbook(name):
    alert = ALERTS[name]
    assert alert["labels"]["severity"] in ("critical", "warning")
    page, _, anchor = alert["annotations"]["runbook_url"].partition("#")
    assert anchor == name.lower()
    headings = re.findall(r"^## (.+)$", (ROOT / page).read_text(), re.MULTILINE)
    assert name in headings
    assert headings == sorted(headings)


def test_every_runbook_has_its_alert():
    headings = re.findall(r"^## (Cha.+)$", (ROOT / "docs/runbooks.md").read_text(), re.MULTILINE)
    assert set(headings) == ALERTS.keys()


def test_the_jobs_are_those_that_rules_know():
    jobs = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["scrape_configs"]
    assert [job["job_name"] for job in jobs] == ["chamaleonet-controller", "chamaleonet-logger"]
