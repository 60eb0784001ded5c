from __future__ import annotations

import pytest

from chamaleonet.analysis.findings import RULES
from chamaleonet.analysis.page import summary

ROW = {
    "client": "10.1.0.3", "server": "10.9.0.1", "protocol": "tcp", "server_port": 8080,
    "first": "2026-11-23T00:00:00Z", "last": "2026-11-23T01:00:00Z", "flows": 7, "requests": 9,
    "period": 60.0, "detail": "no reply",
}  # fmt: skip
FINDING = {
    "kind": "stale_server", "confidence": 0.8, "flows": 1200, "share": 0.25, "hosts": ["10.1.0.3"],
    "evidence": [ROW], "cause": "because", "fix": "mend",
}  # fmt: skip
SUPPRESSION = {
    "kind": "outage", "host": None, "client": None, "server": "10.0.0.0/8", "port": None,
    "until": "2027-01-31", "reason": "known",
}  # fmt: skip


@pytest.fixture
def report(empty_report):
    return empty_report | {
        "about": empty_report["about"] | {"erroneous": 4800, "flows": 10_000, "logged": 5000},
        "findings": [FINDING, FINDING | {"hosts": ["10.1.0.4"]}],
        "explained": 0.5,
        "machines": [{"host": "10.1.0.4", "flows": 1200, "share": 0.25, "kinds": ["stale_server"]}],
        "suppressed": {
            "share": 0.125,
            "findings": [FINDING | {"suppression": SUPPRESSION}],
            "expired": [SUPPRESSION],
        },
    }


def test_how_much_is_explained_comes_first(report):
    assert summary.of(report)["lead"] == "2 causes explain 50.0% of the 4,800 erroneous flows."
    one = summary.of(report | {"findings": [FINDING]})
    assert one["lead"].startswith("One cause explains")


def test_nothing_to_explain_and_nothing_explained(report, empty_report):
    assert summary.of(empty_report)["lead"] == "The log has no erroneous flow."
    unexplained = summary.of(report | {"findings": []})
    assert unexplained["lead"] == "No rule found a cause of the 4,800 erroneous flows."


def test_what_is_left_out_is_said_at_the_top(report):
    report["about"]["suspect"] = 1234
    assert "Left out are 1,234 flows whose verdict is suspect" in summary.of(report)["lead"]


def test_a_host_leads_to_the_finding_that_names_it(report):
    (machine,) = summary.of(report)["machines"]
    assert machine["why"] == [("finding-2", summary.TITLES["stale_server"])]


def test_a_finding_in_words(report):
    finding = summary.of(report)["findings"][0]
    assert (finding["flows"], finding["share"], finding["confidence"]) == ("1,200", "25.0%", "80%")
    assert [cell.text for cell in finding["evidence"].rows[0]][-2:] == ["1 min", "no reply"]


def test_suppressions_in_words(report):
    made = summary.of(report)
    words = "kind outage, server 10.0.0.0/8; until 2027-01-31: known"
    assert made["suppressed"][0]["suppression"] == words
    assert made["expired"] == [words]
    assert made["suppressed_summary"] == "1 suppressed finding, 12.5% of the erroneous flows"


def test_many_findings_are_cut_and_counted(report):
    made = summary.of(report | {"findings": [FINDING] * (summary.MOST_FINDINGS + 5)})
    assert (len(made["findings"]), made["more_findings"]) == (summary.MOST_FINDINGS, 5)


def test_every_kind_has_a_title():
    assert set(summary.TITLES) == {rule.kind for rule in RULES}
