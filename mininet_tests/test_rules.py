"""What ``check --rules`` prints is what the controller installs."""

import pytest

from chamaleonet.check import check
from mininet_tests.harness import CANDIDATE, CANDIDATE_PORT

LABS = {
    "conntrack": (
        "single",
        f"pipeline: conntrack, candidates: {{port: {CANDIDATE_PORT}, interface: {CANDIDATE}}}",
    ),
    "packet-ins": ("single", "pipeline: conntrack"),
    "reactive": ("single", "pipeline: reactive, forward: table"),
    "reactive, metered": ("single", "pipeline: reactive, meters: {by: action}"),
}


@pytest.mark.parametrize("lab", LABS.values(), indirect=True, ids=LABS)
def test_the_printed_rules_are_those_in_the_switch(lab, tmp_path):
    network, controller = lab
    file = tmp_path / "rules.txt"
    file.write_text(check(controller.config, rules=True) + "\n")
    assert "priority" in file.read_text()
    assert network.differences(file) == ""
