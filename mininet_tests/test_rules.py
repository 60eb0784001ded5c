"""What ``check --rules`` prints is what the controller installs."""

import pytest

from chamaleonet.check import check
from mininet_tests.harness import CANDIDATE, CANDIDATE_PORT, ROOT, run

EXAMPLES = sorted((ROOT / "deploy").glob("*.yaml"))
LABS = {
    "conntrack": (
        "single",
        f"pipeline: conntrack, candidates: {{port: {CANDIDATE_PORT}, interface: {CANDIDATE}}}",
    ),
    "reactive": ("single", "pipeline: reactive, forward: table"),
}


def differences(file):
    """Return how the switch's rules differ from those of a file, regardless of generation."""
    return run("ovs-ofctl", "--protocols=OpenFlow13", "diff-flows", "s1", str(file), check=False)


@pytest.mark.parametrize("lab", LABS.values(), indirect=True, ids=LABS)
def test_the_printed_rules_are_those_in_the_switch(lab, tmp_path):
    _, controller = lab
    file = tmp_path / "rules.txt"
    file.write_text(check(controller.config, rules=True) + "\n")
    assert "priority" in file.read_text()
    assert differences(file) == ""


@pytest.mark.parametrize("network", ["single"], indirect=True)
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_a_switch_takes_the_examples_rules_as_they_are_printed(network, example, tmp_path):
    file = tmp_path / "rules.txt"
    file.write_text(check(example, rules=True) + "\n")
    run("ovs-ofctl", "--protocols=OpenFlow13", "del-flows", "s1")
    run("ovs-ofctl", "--protocols=OpenFlow13", "add-flows", "s1", str(file))
    assert differences(file) == ""
    assert len(network.rules().splitlines()) == len(file.read_text().splitlines()) - 1
