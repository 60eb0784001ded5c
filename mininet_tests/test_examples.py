"""The example configurations, as a switch takes them."""

import pytest

from chamaleonet.check import check
from mininet_tests.harness import ROOT, run

EXAMPLES = sorted((ROOT / "deploy").glob("*.yaml"))


@pytest.mark.parametrize("network", ["single"], indirect=True)
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_a_switch_takes_the_examples_rules_as_they_are_printed(network, example, tmp_path):
    file = tmp_path / "rules.txt"
    file.write_text(check(example, rules=True) + "\n")
    run("ovs-ofctl", "--protocols=OpenFlow13", "del-flows", "s1")
    run("ovs-ofctl", "--protocols=OpenFlow13", "add-flows", "s1", str(file))
    assert network.differences(file) == ""
    assert len(network.rules().splitlines()) == len(file.read_text().splitlines()) - 1
