"""The shipped scenarios end to end: each planted failure is found and named, and nothing else.

``campus`` plants all that the others do, so it and ``healthy`` say it all. With LAB_SCENARIOS=all,
or some names, the others run too: a minute or two for each.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from chamaleonet.lab import machine, scenario

ROOT = Path(__file__).parents[1]
# Programs that are unpacked and not installed, and those that are not on everybody's PATH.
PATH = f"{ROOT / '.tools'}:{os.environ['PATH']}:/usr/sbin:/sbin"
CHOSEN = os.environ.get("LAB_SCENARIOS", "")
OTHERS = [
    name
    for name in scenario.names()
    if name not in ("campus", "healthy") and (CHOSEN == "all" or name in CHOSEN.split(","))
]

MOST = 900  # s: the longest takes nine minutes
pytestmark = [
    pytest.mark.timeout(MOST + 60),
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    *(
        pytest.mark.skipif(not shutil.which(program, path=PATH), reason=f"needs {program}")
        for program in ("ovs-vsctl", "mnexec", "nft", "unbound", "chronyd", "iperf3", "nmap")
    ),
]


@pytest.fixture
def run(tmp_path):
    def in_full(name):
        assert machine.switch_runs()
        command = [sys.executable, "-m", "chamaleonet", "lab", "run", name, "-o", tmp_path]
        environment = os.environ | {"PATH": PATH}
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=MOST
        )
        return done.returncode, json.loads((tmp_path / "result.json").read_text()), done.stdout

    return in_full


def test_where_all_is_well_nothing_is_found(run):
    status, result, said = run("healthy")
    assert (status, result["problems"]) == (0, []), said
    assert result["unexpected_findings"] == []
    assert result["verdicts"].keys() == {"answered"}, said
    assert result["healthy"]["flows"] > 250
    assert result["healthy"]["captured"] == result["packets"]["written"] == 0


def test_all_failures_at_once_are_found_and_named_and_nothing_else(run):
    status, result, said = run("campus")
    for plant in result["plants"]:
        assert plant["finding_named"], (plant["name"], said)
        assert plant["judged_right"] == plant["expected_flows"] >= plant["least"], said
        assert (plant["captured_missing"], plant["false_captures"]) == (0, 0), said
    assert (status, result["problems"]) == (0, []), said
    assert len(result["plants"]) == len(scenario.load("campus").plants) > 15
    assert result["unexpected_findings"] == []
    assert result["healthy"]["captured"] == 0


@pytest.mark.skipif(not OTHERS, reason="LAB_SCENARIOS names none")
@pytest.mark.parametrize("name", OTHERS)
def test_each_by_itself(run, name):
    status, result, said = run(name)
    assert (status, result["problems"]) == (0, []), said
