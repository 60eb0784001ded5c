"""When redirect rules were there, by what `ovs-ofctl monitor` of Open vSwitch 3.1 printed."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from chamaleonet.errors import UserError
from chamaleonet.flows.records import Query
from chamaleonet.flows.transitions import State
from chamaleonet.lab import rules
from chamaleonet.switch.aggregate import Aggregate
from chamaleonet.switch.rules import Rule, rule_text
from tests.log.build import flow

SAID = """\
ONFST_FLOW_MONITOR reply (OF1.3) (xid=0x6):
2026-11-27 04:20:00.300: ONFST_FLOW_MONITOR reply (OF1.3) (xid=0x0):
 event=ADDED table=0 cookie=0xc4a1000000000000 in_port=102
 event=ADDED table=1 cookie=0xc4a1000000000000  actions=goto_table:2
2026-11-27 04:20:00.341: ONFST_FLOW_MONITOR reply (OF1.3) (xid=0x0):
 event=ADDED table=1 idle_timeout=60 cookie=0xc4a1010000000001 tcp,nw_src=10.0.0.1,nw_dst=10.0.0.2,tp_src=1000,tp_dst=80 actions=output(port=102,max_len=128),goto_table:2
2026-11-27 04:20:00.358: ONFST_FLOW_MONITOR reply (OF1.3) (xid=0x0):
 event=ADDED table=1 cookie=0xc4a1010000000002 tcp6,ipv6_src=fd00::1,ipv6_dst=fd00::2,tp_src=1000,tp_dst=80 actions=output:102,goto_table:2
 event=ADDED table=1 cookie=0xc4a1010000000003 icmp,nw_src=10.0.0.1,nw_dst=10.0.0.2,icmp_type=8 actions=output:102,goto_table:2
 event=ADDED table=1 cookie=0x1 udp,nw_src=10.0.0.1,nw_dst=10.0.0.2,tp_src=1,tp_dst=2 actions=output:102
 event=ADDED table=1 cookie=0xc4a1010000000005 ip,nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_proto=33 actions=output:102,goto_table:2
2026-11-27 04:20:01.427: ONFST_FLOW_MONITOR reply (OF1.3) (xid=0x0):
 event=DELETED reason=delete table=1 cookie=0xc4a1010000000001 tcp,nw_src=10.0.0.1,nw_dst=10.0.0.2,tp_src=1000,tp_dst=80 actions=output:102,goto_table:2
2026-11-27 04:20:02.000: ONFST_FLOW_MONITOR reply (OF1.3) (xid=0x0):
 event=ADDED table=1 cookie=0xc4a1010000000007 tcp,nw_src=10.0.0.1,nw_dst=10.0.0.2,tp_src=1000,tp_dst=80 actions=output:102,goto_table:2
2026-11-27T04:20:03Z|00001|fatal_signal|WARN|terminating with signal 15 (Terminated)
"""  # noqa: E501  (as it was printed)

TCP = flow("tcp", "10.0.0.1", "10.0.0.2", 1000, 80)[0]


def at(clock):
    moment = datetime.fromisoformat(f"2026-11-27 {clock}").replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000) * 10**6


@pytest.fixture
def read(tmp_path):
    path = tmp_path / "rules-s1.txt"

    def read(text):
        path.write_text(text)
        return rules.read([path], frozenset({2}))

    return read


def test_a_rule_comes_goes_and_comes_again(read):
    first, second = read(SAID).own(rules.fields_of(TCP))
    assert (first.since, first.until) == (at("04:20:00.341"), at("04:20:01.427"))
    assert second.since == at("04:20:02.000")
    assert second.until > at("23:59:59.999"), "it was there when the monitor ended"


@pytest.mark.parametrize(
    "record",
    [
        flow("tcp", "fd00::1", "fd00::2", 1000, 80),
        flow("icmp", "10.0.0.1", "10.0.0.2", 7, 7, query=Query.ECHO),
        flow(33, "10.0.0.1", "10.0.0.2", 5, 6),
    ],
)
def test_rules_of_all_kinds(read, record):
    [span] = read(SAID).own(rules.fields_of(record[0]))
    assert span.since == at("04:20:00.358")


def test_other_flows_and_other_applications_have_none(read):
    found = read(SAID)
    for record in (
        flow("udp", "10.0.0.1", "10.0.0.2", 1, 2),  # no cookie of ours
        flow("tcp", "10.0.0.2", "10.0.0.1", 80, 1000),  # the way back
        flow("icmp", "10.0.0.1", "10.0.0.2", 7, 7, query=Query.TIMESTAMP),
        flow("icmp", "10.0.0.1", "10.0.0.2", 7, 7, query=Query.ECHO, state=State.UNSOLICITED),
    ):
        assert found.own(rules.fields_of(record[0])) == []


@pytest.mark.parametrize(
    ("aggregate", "covered"),
    [
        (Aggregate(0, 4, 6, client=0x0A000001, service=("tcp_dst", 80)), True),
        (Aggregate(0, 4, 6, client=0x0A000001, service=("tcp_dst", 81)), False),
        (Aggregate(0, 4, 6, server=0x0A000002, service=("tcp_dst", 80)), True),
        (Aggregate(1, 4, None, client=0x0A000001), True),
        (Aggregate(1, 4, 17, client=0x0A000001), False),
        (Aggregate(1, 4, 6, server=0x0A000003), False),
        (Aggregate(2, 4, 6, None, 0x0A000000, 0xFF000000, ("tcp_dst", 80)), True),
        (Aggregate(2, 4, 6, None, 0x0B000000, 0xFF000000, ("tcp_dst", 80)), False),
        (Aggregate(2, 6, 6, None, 0xFD << 120, 0xFF << 120, ("tcp_dst", 80)), False),
    ],
)
def test_aggregates(read, aggregate, covered):
    match = (*aggregate.match, ("tcp_flags", (0, 20)))
    words = rule_text(Rule(2, 95, match)).split("priority=95,")[1].removesuffix(" actions=drop")
    words = words.replace("/255.0.0.0", "/8").replace("/ff00::", "/8")  # as the switch says it
    found = read(
        "2026-11-27 04:20:00.341: ONFST_FLOW_MONITOR reply (OF1.3) (xid=0x0):\n"
        f" event=ADDED table=2 cookie=0xc4a1010000000001 {words} actions=output:102\n"
    )
    assert bool(found.aggregated(rules.fields_of(TCP))) is covered
    assert found.own(rules.fields_of(TCP)) == []


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(UserError, match=r"rules-s1\.txt"):
        rules.read([tmp_path / "rules-s1.txt"], frozenset())
