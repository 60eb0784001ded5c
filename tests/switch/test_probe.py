import itertools
import struct

import pytest
from prometheus_client import CollectorRegistry

from chamaleonet.config import Config
from chamaleonet.flows.engine import Engine
from chamaleonet.flows.records import Change, Direction, Quality, Role
from chamaleonet.flows.transitions import State
from chamaleonet.metrics import ControllerMetrics
from chamaleonet.switch.probe import Probe
from chamaleonet.switch.rules import Kind, rule_text
from tests.switch.build import PIPELINES, START, PlayedProbe, switch
from tests.traffic import ACK, RST, SYN, batch, ethernet, icmp_error, ping, tcp, udp
from tests.traffic import Record as Packet

C, S = "10.0.0.1", "192.0.2.9"
DP = "00000000000000a1"
JUDGED, ENDED = int(Change.JUDGED), int(Change.ENDED)


@pytest.fixture(params=PIPELINES)
def played(request):
    return PlayedProbe(request.param).connect()


def test_flows_are_counted_by_verdict_direction_and_protocol(played):
    played.receive(udp(C, S), tcp(S, C, SYN), ping("fc00::1", "2001:db8::1"))
    played.receive(udp(S, C, sport=53, dport=40000))
    played.wait(4)
    played.receive(udp(C, S, sport=7), udp(C, S, sport=8))
    played.wait(4)
    count = {
        ("answered", "outbound", "udp"): 1,
        ("unanswered", "inbound", "tcp"): 1,
        ("unanswered", "outbound", "icmpv6"): 1,
        ("unanswered", "outbound", "udp"): 2,
    }
    for (verdict, direction, protocol), number in count.items():
        labels = {"verdict": verdict, "direction": direction, "protocol": protocol}
        assert played.metric("flows_total", **labels) == number


def test_verdicts_that_are_not_sound_are_counted(played):
    played.probe.engine.set_quality(Direction.OUTBOUND, Quality.SUSPECT)
    played.receive(udp(C, S), udp(C, S, sport=7), tcp(S, C, SYN))
    played.wait(4)
    assert played.metric("flows_unsound_total", quality="suspect") == 2
    assert played.metric("flows_unsound_total", quality="degraded") == 0


def test_candidates_are_counted_by_their_way(played):
    played.receive(udp(C, S), udp(C, S))
    played.probe.judge(batch([Packet(ethernet(udp(C, S)), time=START)]))
    assert played.metric("candidate_packets_total", source="packet_in") == 2
    assert played.metric("candidate_packets_total", source="ring") == 1
    assert played.metric("packet_ins_total", dp_id=DP) == 2


def test_many_packet_ins_are_judged_before_the_tick(played):
    frame = ethernet(udp(C, S))
    for _ in range(600):
        played.probe.packet_in(memoryview(frame), len(frame), START)
    assert played.probe.engine.packets == 512


def test_what_the_engine_tells_is_told_on(played):
    played.receive(udp(C, S))
    played.wait(4)
    played.receive(udp(C, S), icmp_error("192.0.2.1", udp(C, S)))
    played.probe.finish()
    assert played.told == [
        (JUDGED, State.UNANSWERED), (JUDGED, State.ICMP_ERROR), (ENDED, State.ICMP_ERROR),
    ]  # fmt: skip
    assert [role for role, _ in played.packets] == [Role.FIRST, Role.LATER, Role.ERROR]


def test_the_end_of_healthy_flows_is_told_too_for_they_are_counted(played):
    played.receive(udp(C, S), udp(S, C, sport=53, dport=40000))
    played.probe.finish()
    assert played.told == [(JUDGED, State.ANSWERED), (ENDED, State.ANSWERED)]


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_healthy_flows_end_in_silence_where_nobody_counts_them(pipeline):
    config = Config(max_flows=1024, logger={"healthy": False})
    played = PlayedProbe(pipeline, config=config).connect()
    played.receive(udp(C, S), udp(S, C, sport=53, dport=40000), udp(C, S, sport=7))
    played.wait(4)
    played.probe.finish()
    assert played.told == [
        (JUDGED, State.ANSWERED), (JUDGED, State.UNANSWERED), (ENDED, State.UNANSWERED),
    ]  # fmt: skip


def test_a_reused_port_is_a_new_flow_where_the_switch_says_so():
    played = PlayedProbe("conntrack").connect()
    played.receive(tcp(C, S, SYN), tcp(S, C, SYN | ACK, sport=80, dport=40000))
    played.receive(tcp(C, S, SYN))  # the tracker lets only a new connection's SYN through
    played.wait(4)
    answered, unanswered = State.ANSWERED, State.UNANSWERED
    assert played.told == [(JUDGED, answered), (ENDED, answered), (JUDGED, unanswered)]


def test_a_repeated_syn_is_none_where_packets_cross_the_bypass():
    played = PlayedProbe("reactive").connect()
    played.receive(tcp(C, S, SYN), tcp(S, C, SYN | ACK, sport=80, dport=40000))
    played.receive(tcp(C, S, SYN))
    played.wait(4)
    assert played.told == [(JUDGED, State.ANSWERED)]


def test_removals_of_another_generation_are_not_about_our_rules(played):
    played.receive(udp(C, S))
    played.wait(4)
    (rule,) = played.rules
    played.probe.on_flow_removed(rule.cookie.at(1))
    played.probe.on_flow_removed(7)
    assert played.rules == [rule]
    played.probe.on_flow_removed(rule.cookie.at(0))
    assert played.rules == []
    assert played.metric("redirect_rule_changes_total", dp_id=DP, change="expired") == 1


def refuse_next(played, *packets, full=False):
    """Have the switch refuse the first flow-mod that these packets lead to."""
    played.receive()
    for packet in packets:
        frame = ethernet(packet)
        played.probe.packet_in(memoryview(frame), len(frame), played.now)
    played.probe.judge_packet_ins()
    played.probe.flush()
    (under_way,) = played.probe.rulebook._connection.batches.values()
    code = "TABLE_FULL" if full else "EPERM"
    played.probe.on_error(min(under_way), f"OFPET_FLOW_MOD_FAILED, OFPFMFC_{code}", full=full)
    played.settle()


def test_a_refused_redirect_is_counted_logged_and_tried_again(played, caplog):
    quoted = udp(C, S)
    refuse_next(played, quoted, icmp_error("192.0.2.1", quoted))
    assert played.rules == []
    assert played.metric("redirect_rule_changes_total", dp_id=DP, change="failed") == 1
    assert "refused" in caplog.text
    assert "nw_src=10.0.0.1,nw_dst=192.0.2.9" in caplog.text
    assert "OFPFMFC_EPERM" in caplog.text
    played.receive(quoted)
    assert played.rules == []  # not in a tight loop
    assert played.metric("redirect_uncovered_flows", dp_id=DP) == 1
    played.wait(2)
    assert played.metric("redirect_uncovered_flows", dp_id=DP) == 0
    assert [rule.cookie.kind for rule in played.rules] == [Kind.REDIRECT]


def test_a_full_table_bounds_the_budget_and_is_doubted_later(played):
    played.receive(udp(C, S, sport=1))
    played.wait(4)
    quoted = udp(C, S, sport=2)
    refuse_next(played, quoted, icmp_error("192.0.2.1", quoted), full=True)
    assert played.metric("redirect_budget_rules", dp_id=DP) == 1
    assert played.metric("dropped_total", cause="redirect_rules_full") == 0
    (rule,) = played.rules  # one for both
    assert "tp_dst=53" in rule_text(rule)
    assert "tp_src" not in rule_text(rule)
    played.wait(29)
    assert played.metric("redirect_budget_rules", dp_id=DP) == 1
    played.wait(2)
    assert played.metric("redirect_budget_rules", dp_id=DP) == 2


def test_many_refusals_are_few_lines(played, caplog):
    for port in range(100):
        quoted = udp(C, S, sport=port)
        refuse_next(played, quoted, icmp_error("192.0.2.1", quoted))
    assert caplog.text.count("the switch refused to add") == 10
    played.wait(61)
    refuse_next(played, udp(S, C), icmp_error("192.0.2.1", udp(S, C)))
    assert "it refused 90 more" in caplog.text


def features(*tables):
    """Return the body of an OFPMP_TABLE_FEATURES reply, of (table, max_entries)."""
    return b"".join(
        struct.pack("!HB5x32sQQII", 72, table, b"", 0, 0, 0, entries) + bytes(8)
        for table, entries in tables
    )


def statistics(*tables):
    """Return the body of an OFPMP_TABLE reply, of (table, active_count)."""
    return b"".join(struct.pack("!B3xIQQ", *table, 0, 0) for table in tables)


def answer(played, question, body):
    """Have the switch answer one of the questions about its tables."""
    xid = getattr(played.probe.capacity, f"_{question}_asked")
    assert played.probe.asks(xid)
    played.probe.on_answer(xid, bytes(16) + body)


def budget(played):
    return played.metric("redirect_budget_rules", dp_id=DP)


def test_the_budget_is_what_the_table_holds_less_what_others_have_there(played):
    assert budget(played) == 10_000  # the switch has not answered
    answer(played, "features", features((0, 9), (1, 500), (2, 7)))
    assert budget(played) == 499  # one rule is static
    played.receive(udp(C, S))
    played.wait(11)
    assert played.metric("redirect_rules", dp_id=DP) == 1
    answer(played, "statistics", statistics((1, 102), (2, 30)))
    assert budget(played) == 399
    for role, active, most in (("redirect", 102, 500), ("filter", 30, 7)):
        assert played.metric("switch_table_rules", dp_id=DP, table=role) == active
        assert played.metric("switch_table_max_rules", dp_id=DP, table=role) == most


def test_a_switch_without_bounds_gets_a_sane_budget_and_one_that_cannot_say_the_default(played):
    assert not played.probe.asks(4711)
    answer(played, "features", features((1, 1_000_000)))
    assert budget(played) == 10_000
    played.connect()
    xid = played.probe.capacity._features_asked
    played.probe.on_error(xid, "OFPET_BAD_REQUEST, OFPBRC_BAD_MULTIPART")
    assert budget(played) == 1000


def test_the_configured_budget_is_bounded_by_the_table():
    played = PlayedProbe(redirect={"max_rules": 100}).connect()
    assert budget(played) == 100
    answer(played, "features", features((1, 50)))
    assert budget(played) == 49


def test_a_refused_bypass_takes_its_twin_along_but_not_its_flow():
    played = PlayedProbe("reactive").connect()
    refuse_next(played, udp(C, S), udp(S, C, sport=53, dport=40000))
    assert played.rules == []
    assert played.probe.engine.tracked_flows == 1


def test_errors_about_other_messages_are_not_ours(played):
    played.probe.on_error(4711, "OFPET_BAD_REQUEST")
    assert played.metric("redirect_rule_changes_total", dp_id=DP, change="failed") == 0


def test_rules_survive_a_lost_connection(played):
    played.receive(udp(C, S))
    played.wait(4)
    wanted = [rule for rule, _ in played.probe.rulebook]
    played.probe.disconnect()
    assert played.probe.flush() == b""
    assert played.metric("redirect_rules", dp_id=DP) == 0
    played._xid = itertools.count(1)
    played.connect()
    assert [rule for rule, _ in played.probe.rulebook] == wanted
    assert played.metric("redirect_rules", dp_id=DP) == 1


def test_a_full_flow_table_is_counted():
    played = PlayedProbe(config=Config(max_flows=1, flood={"new_flows": None})).connect()
    played.receive(udp(C, S, sport=1), udp(C, S, sport=2), tcp(C, S, RST))
    assert played.metric("dropped_total", cause="flow_table_full") == 2


def test_another_judge_can_take_the_engines_place():
    asked = {}

    def new_judge(settings, **options):
        asked.update(options, settings=settings)
        return Engine(settings, **options)

    metrics = ControllerMetrics(CollectorRegistry())
    config = Config(max_flows=77)
    probe = Probe(config, switch(), [].append, metrics, new_judge)
    assert isinstance(probe.engine, Engine)
    assert asked.pop("settings").max_flows == 77
    assert asked["packets"]
    assert State.UNANSWERED in asked["judged"]


def test_flows_that_are_gone_on_with_want_their_rules_and_verdicts_are_degraded_for_a_while(played):
    played.receive(udp(C, S))
    played.wait(4)
    wanted = {(rule.place, rule.actions) for rule in played.rules}
    flows = played.probe.snapshot(10)
    follower = PlayedProbe(played.probe.switch.pipeline)
    follower.now = played.now
    assert follower.probe.restore(flows, follower.now) == 1
    follower.connect()
    assert {(rule.place, rule.actions) for rule in follower.rules} == wanted

    def quality(port):
        follower.receive(udp(C, S, sport=port))
        follower.wait(4)
        (flow,) = (f for f in follower.probe.engine.live_flows((State.UNANSWERED,))
                   if f["ports"] >> 16 == port)  # fmt: skip
        return Quality(flow["quality"])

    assert quality(1) is Quality.DEGRADED
    follower.wait(3)
    assert quality(2) is Quality.SOUND
