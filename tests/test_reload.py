import pytest

from chamaleonet.config import Config
from chamaleonet.errors import UserError
from chamaleonet.reload import compare
from chamaleonet.switch.probe import pipeline_of

SWITCH = {"name": "s1", "dp_id": "a1", "pipeline": "conntrack", "logger_port": 4}
OTHER = {"name": "s2", "dp_id": "b2", "pipeline": "reactive", "logger_port": 5}


def config(*switches, **settings):
    return Config.model_validate({"switches": switches or (SWITCH,)} | settings)


def rules(config, at=0):
    return {rule.place: rule for rule in pipeline_of(config, config.switches[at]).static_rules()}


def test_nothing_differs():
    plan = compare(config(), config())
    assert not plan
    assert list(plan.lines()) == []
    assert plan.summary() == "nothing differs"


def test_a_timeout_changes_while_it_runs_and_concerns_no_rule():
    plan = compare(config(), config(timeout="5s"))
    assert plan
    assert list(plan.lines()) == ["timeout: 3000000000 -> 5000000000"]


@pytest.mark.parametrize(
    "change",
    [
        {"scope": {"ports": [1, 2]}},
        {"scope": {"vlans": [7]}},
        {"forward": "none"},
        {"forward": "table"},
        {"conntrack": {"zone": 9}},
    ],
    ids=str,
)
def test_the_fewest_rules_change(change):
    old, new = config(), config(SWITCH | change)
    ((switch, changes),) = compare(old, new).changed
    assert switch == new.switches[0]
    is_, to_be = rules(old), rules(new)
    touched = [each.rule.place for each in changes]
    assert len(set(touched)) == len(touched)
    assert {p for p in is_.keys() | to_be.keys() if is_.get(p) != to_be.get(p)} == set(touched)
    for each in changes:
        if each.add:
            is_[each.rule.place] = each.rule
        else:
            del is_[each.rule.place]
    assert is_ == to_be
    adding = [each.add for each in changes]
    assert adding == sorted(adding, reverse=True)  # no packet finds neither rule


def test_rules_are_told_as_ovs_ofctl_writes_them():
    plan = compare(config(), config(SWITCH | {"forward": "none"}))
    assert list(plan.lines()) == [
        "switches[s1].forward: normal -> none",
        "# s1, datapath 00000000000000a1",
        "+ cookie=0xc4a1000000000000,table=3,priority=0 actions=drop",
    ]
    back = compare(config(), config(SWITCH | {"forward": "table"}))
    assert list(back.lines())[2:] == [
        "- cookie=0xc4a1000000000000,table=3,priority=0 actions=NORMAL"
    ]
    assert back.summary().endswith("0 rules added or replaced, 1 deleted")


def test_switches_come_and_go():
    plan = compare(config(SWITCH, OTHER), config(OTHER | {"dp_id": "c3", "name": "s3"}, SWITCH))
    assert [switch.name for switch in plan.added] == ["s3"]
    assert [switch.name for switch in plan.removed] == ["s2"]
    lines = list(plan.lines())
    assert lines[0] == "# s2, datapath 00000000000000b2: watched no more, its rules stay"
    assert lines[1] == "# s3, datapath 00000000000000c3"
    assert len(lines) == 2 + len(rules(config(OTHER)))


@pytest.mark.parametrize(
    ("new", "keys"),
    [
        (config(idle_timeout="60s", max_flows=10), "idle_timeout, max_flows"),
        (config(capture=["refused"]), "capture"),
        (config(openflow={"listen": "127.0.0.1:1"}), "openflow.listen"),
        (config(logger={"healthy": False}), "logger.healthy"),
        (config(SWITCH | {"logger_port": 7, "snaplen": 96}),
         "switches[s1].logger_port, switches[s1].snaplen"),
        (config(SWITCH | {"redirect": {"max_rules": 9}}), "switches[s1].redirect.max_rules"),
        (config(SWITCH | {"name": "other"}), "switches[other].name"),
        (config(metrics={"controller": "127.0.0.1:9"}), "metrics.controller"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_what_cannot_change_while_it_runs_is_named(new, keys):
    with pytest.raises(UserError) as caught:
        compare(config(), new)
    assert str(caught.value) == f"needs a restart of the controller: {keys}"


def test_what_the_logger_alone_reads_is_not_the_controllers():
    new = config(logger={"directory": "/elsewhere"}, metrics={"logger": "127.0.0.1:9"})
    assert not compare(config(), new)


def test_a_configuration_without_switches_is_refused():
    with pytest.raises(UserError, match="none is configured"):
        compare(config(), Config())


def test_processes_that_judge_cannot_be_told_of_another_timeout():
    candidates = {"port": 3, "interface": "cand0", "detectors": 1}
    switch = SWITCH | {"candidates": candidates}
    with pytest.raises(UserError, match="needs a restart of the controller: timeout"):
        compare(config(switch), config(switch, timeout="1s"))
