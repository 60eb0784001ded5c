"""Whose addresses stand in a report."""

from __future__ import annotations

import pytest

from chamaleonet.lab.named import Place, is_about, naming
from chamaleonet.units import network
from tests.lab.recorded import FINDING, GONE, HPC

PLACE = Place((network(f"{HPC}/32"), network("2001:db8:5::/48")))
NOTHING = FINDING | {"hosts": [], "evidence": []}


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        (HPC, True), (GONE, False), ("2001:db8:5::7", True), ("10.20.30.0/24", True),
        ("10.20.31.0/24", False), ("10.0.0.0/8", False), ("2001:db8:5:1::/64", True),
        ("stale", False), ("", False),
    ],
)  # fmt: skip
def test_a_place(text, meant):
    assert (text in PLACE) is meant


@pytest.mark.parametrize(
    ("finding", "about"),
    [
        (NOTHING, False),
        (NOTHING | {"hosts": [GONE, HPC]}, True),
        (NOTHING | {"evidence": [{"client": None, "server": "2001:db8:5::1"}]}, True),
        (NOTHING | {"evidence": [{"client": HPC, "server": None}]}, True),
        (NOTHING | {"hosts": [GONE], "cause": f"{HPC} is to blame"}, False),
    ],
)
def test_a_finding_is_about_its_hosts_and_evidence(finding, about):
    assert is_about(finding, PLACE) is about


@pytest.mark.parametrize(
    ("name", "table", "named"),
    [
        ("scanners", {"scanners": 1, "list": [{"client": HPC}]}, True),
        ("scanners", {"scanners": 1, "list": [{"client": GONE}]}, False),
        ("simultaneous", [{"network": "10.20.30.0/24"}], True),
        ("network_change", {"failing_hosts": 1, "curve": []}, True),
        ("network_change", {"failing_hosts": 0, "curve": []}, False),
        ("timeouts", {"late": [{"late": 0}, {"late": 3}]}, True),
        ("timeouts", {"late": [{"late": 0}]}, False),
        ("verdicts", [{"verdict": "unanswered", "flows": 9}], False),
    ],
)
def test_tables(name, table, named):
    report = {"findings": [], "tables": {name: table}}
    assert naming(report, (f"table {name}", "outage"), PLACE) == ([f"table {name}"] * named)


def test_only_what_may_name_it_does():
    report = {"findings": [FINDING, FINDING | {"kind": "outage"}], "tables": {}}
    assert naming(report, ("outage", "table leaks"), PLACE) == ["outage"]
