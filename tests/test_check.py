from pathlib import Path

import pytest

from chamaleonet import config
from chamaleonet.check import check
from chamaleonet.errors import UserError

DEPLOY = Path(__file__).parent.parent / "deploy"


def test_the_effective_configuration_is_a_configuration(tmp_path):
    example = DEPLOY / "inline-ovs.yaml"
    (tmp_path / "dump.yaml").write_text(check(example))
    assert config.load(tmp_path / "dump.yaml") == config.load(example)


def test_rules_are_printed_for_each_switch(tmp_path):
    path = tmp_path / "two.yaml"
    path.write_text(
        "switches:\n"
        "  - {name: one, dp_id: 1, pipeline: conntrack, logger_port: 4}\n"
        "  - {name: two, dp_id: 2, pipeline: reactive, logger_port: 4, forward: none}\n"
    )
    one, two = check(path, rules=True).split("# two, datapath 0000000000000002\n")
    assert one.startswith("# one, datapath 0000000000000001\n")
    assert "ct(commit,zone=50337" in one
    assert "ct(" not in two
    assert "NORMAL" in one
    assert "NORMAL" not in two
    assert "table=3,priority=0 actions=drop" in two


def test_a_wrong_configuration_is_the_users_error(tmp_path):
    (tmp_path / "x.yaml").write_text("switchs: []\n")
    with pytest.raises(UserError, match=r"x.yaml:1: switchs: unknown key"):
        check(tmp_path / "x.yaml")
