"""A reload touches the rules that differ, and no other."""

import re

import pytest

from chamaleonet import cli
from mininet_tests.harness import CANDIDATE, CANDIDATE_PORT, run

LAB = (
    "single",
    f"pipeline: conntrack, candidates: {{port: {CANDIDATE_PORT}, interface: {CANDIDATE}}}",
)


def counted():
    """Return the packets that each rule of s1 has seen."""
    text = run("ovs-ofctl", "--protocols=OpenFlow13", "dump-flows", "s1")
    found = re.findall(r"table=(\d+), n_packets=(\d+), .*? (priority=\S+) actions=(.*)", text)
    return {(table, match, actions): int(packets) for table, packets, match, actions in found}


@pytest.mark.parametrize("lab", [LAB], indirect=True, ids=["conntrack"])
def test_rules_that_do_not_differ_keep_their_counters(lab, capsys):
    network, controller = lab
    network.host("client").cmd("ping -c 3 -i 0.2 -W 1", network.host("server").IP())
    before = counted()
    assert sum(before.values()) > 6
    text = controller.config.read_text()
    controller.config.write_text(text.replace("{name: s1,", "{name: s1, scope: {ports: [1, 2]},"))
    assert cli.main(["reload", "--config", str(controller.config)]) == 0
    told = capsys.readouterr().out
    controller.wait_for(lambda: any("in_port" in match for _, match, _ in counted()))
    controller.wait_for(lambda: len(counted()) == len(before) + 2)
    after = counted()
    kept = before.keys() & after.keys()
    assert len(kept) == len(before) - 2
    assert told.count("\n+ ") == 4
    assert told.count("\n- ") == 2
    assert all(after[rule] >= before[rule] for rule in kept)

    controller.config.write_text(text.replace("pipeline: conntrack", "pipeline: contrack"))
    assert cli.main(["reload", "--config", str(controller.config)]) == 2
    assert f"{controller.config}:" in capsys.readouterr().err
    assert counted().keys() == after.keys()
