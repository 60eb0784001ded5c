"""What is in the flow tables, and what passes through them."""

import pytest

from chamaleonet.check import switch_rules
from chamaleonet.doctor.machine import Answer
from tests.doctor.recorded import (
    INLINE,
    NOT_INSTALLED,
    PORTS,
    REACTIVE,
    Recorded,
    configured,
    exported,
    flows,
    says,
)

DUMP = "ovs-ofctl --protocols=OpenFlow13 --no-names dump-flows"
DUMP_NO_STATS = "ovs-ofctl --protocols=OpenFlow13 --no-names --no-stats dump-flows"
DIFF = "ovs-ofctl --protocols=OpenFlow13 --no-names diff-flows"
RULES = list(switch_rules(INLINE, INLINE.switches[0]))[1:]


@pytest.fixture
def machine():
    return Recorded()


def test_rules_are_compared_with_those_that_check_prints(machine):
    compared = []

    def differences(*command):
        compared.extend(word.text.splitlines() for word in command[-2:])
        return ""

    redirect = " cookie=0xc4a1110000000007, table=1, priority=10,tcp actions=goto_table:2\n"
    other = " cookie=0x7, table=1, priority=10,udp actions=drop\n"
    machine.commands[DUMP_NO_STATS] = flows() + redirect + other
    machine.commands[DIFF] = differences
    assert says("rules", machine)[1] == f"all {len(RULES)} are in place, and 1 for single flows"
    installed, wanted = compared
    assert wanted == [rule.split(",", 1)[1] for rule in RULES]  # whatever the cookies are
    assert len(installed) == 3  # those of the redirect and of others are left out
    assert not any("cookie" in line for line in installed)


def test_rules_that_are_missing_or_too_many(machine):
    machine.commands[DIFF] = Answer(
        2, "-table=1, priority=5 actions=drop\n+table=0, priority=0 actions=goto_table:3\n"
    )
    verdict, found, todo = says("rules", machine)
    assert verdict == "fail"
    assert "1 are missing and 1 are too many, such as: table=0, priority=0" in found
    assert todo.endswith("chamaleonet run --config site.yaml")
    machine.commands[DIFF] = Answer(1, "", "ovs-ofctl: bad syntax\n")
    assert says("rules", machine)[:2] == ("skipped", "ovs-ofctl: bad syntax")
    machine.commands[DUMP_NO_STATS] = NOT_INSTALLED
    assert says("rules", machine)[:2] == ("skipped", "ovs-ofctl is not installed")


def test_others_rules(machine):
    assert says("others' rules", machine)[0] == "ok"
    other = " cookie=0x7, table={}, priority=10,udp actions=drop\n"
    machine.commands[DUMP_NO_STATS] = flows() + other.format(1)
    verdict, found, _ = says("others' rules", machine)
    assert verdict == "warn"
    assert found.startswith("1 in our tables, such as: cookie=0x7")
    machine.commands[DUMP_NO_STATS] = flows() + other.format(3)
    assert says("others' rules", machine)[0] == "warn"
    assert says("others' rules", machine, configured(switch__forward="table"))[0] == "ok"


def test_traffic(machine):
    assert says("traffic", machine)[1] == "port 1: 810 packets, port 2: 700 packets"
    ports = "ovs-ofctl --protocols=OpenFlow13 --no-names dump-ports"
    machine.commands[ports] = PORTS.replace("pkts=700", "pkts=0")
    assert says("traffic", machine)[0] == "ok"  # a port of many may be silent
    both = configured(switch__scope__ports=[1, 2])
    assert says("traffic", machine, both)[:2] == ("warn", "port 2 has received nothing")
    assert says("traffic", machine, configured(switch__scope__ports=[1, 9]))[:2] == (
        "fail", "the switch has no port 9"
    )  # fmt: skip
    machine.commands[ports] = PORTS.replace("pkts=700", "pkts=0").replace("pkts=810", "pkts=0")
    assert says("traffic", machine)[1] == "port 1, 2 has received nothing"
    machine.commands[ports] = PORTS.split("  port  1")[0]
    assert says("traffic", machine)[0] == "skipped"


@pytest.mark.parametrize(
    ("new", "reply", "invalid", "verdict", "found"),
    [
        (100, 90, 3, "ok", "100 first packets and 90 first replies so far"),
        (100, 2, 0, "warn", "hardly any reply is seen"),
        (100, 0, 0, "fail", "only one direction is seen"),
        (0, 0, 50, "fail", "only replies are seen: 50 to what was not"),
        (5, 4, 0, "skipped", "too little traffic to tell: 5 first packets, 4 replies"),
    ],
)
def test_directions(machine, new, reply, invalid, verdict, found):
    machine.commands[DUMP] = flows(new, reply, invalid)
    said = says("directions", machine)
    assert said[0] == verdict
    assert said[1].startswith(found)
    assert bool(said[2]) == (verdict != "ok")
    assert machine.waited == [3.0]


def test_a_direction_that_was_seen_before_and_is_not_now(machine):
    def later():
        machine.commands[DUMP] = flows(1050, 900, 0)

    machine.commands[DUMP] = flows(1000, 900, 0)
    machine.on_wait = later
    assert says("directions", machine)[:2] == (
        "fail", "only one direction is seen: 50 first packets and 0 first replies in 3 s"
    )  # fmt: skip


def flows_total(**verdicts):
    return exported(
        *[
            f'chamaleonet_flows_total{{direction="outbound",protocol="tcp",verdict="{name}"}} {n}.0'
            for name, n in verdicts.items()
        ]
    )


def test_directions_by_the_controllers_metrics_where_the_switch_does_not_count(machine):
    machine.pages[9302] = flows_total(answered=90, recovered=5, unanswered=10)
    assert says("directions", machine, REACTIVE)[:2] == (
        "ok", "105 first packets and 95 first replies so far"
    )  # fmt: skip
    machine.pages[9302] = flows_total(unanswered=50, icmp_error=3)
    assert says("directions", machine, REACTIVE)[0] == "fail"
    machine.pages[9302] = flows_total(unsolicited=50)
    assert says("directions", machine, REACTIVE)[1].startswith("only replies are seen: 50")
    machine.pages = {}
    assert says("directions", machine, REACTIVE)[0] == "skipped"
