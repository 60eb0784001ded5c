import pytest

from chamaleonet.config import Config
from chamaleonet.flows.transitions import State
from chamaleonet.switch.rules import Kind, rule_text
from tests.switch.build import PIPELINES, PlayedProbe
from tests.traffic import ACK, RST, SYN, icmp_error, ip, ping, pong, tcp, udp

C, S = "10.0.0.1", "192.0.2.9"


@pytest.fixture(params=PIPELINES)
def played(request):
    return PlayedProbe(request.param).connect()


def redirects(played):
    return [rule for rule in played.rules if rule.cookie.kind is Kind.REDIRECT]


def test_an_unanswered_flow_is_redirected_after_its_timeout(played):
    played.receive(udp(C, S))
    played.wait(2.9)
    assert redirects(played) == []
    played.wait(0.2)
    (rule,) = redirects(played)
    assert "udp,nw_src=10.0.0.1,nw_dst=192.0.2.9,tp_src=40000,tp_dst=53" in rule_text(rule)
    assert rule.goto == 2
    assert rule.notify
    assert rule.idle_timeout == 60


def test_an_icmp_error_redirects_at_once(played):
    packet = udp(C, S)
    played.receive(packet, icmp_error("192.0.2.1", packet))
    assert len(redirects(played)) == 1


def test_an_answered_flow_is_not_redirected(played):
    played.receive(udp(C, S), udp(S, C, sport=53, dport=40000))
    played.wait(10)
    assert redirects(played) == []


def test_recovery_removes_the_rule(played):
    played.receive(udp(C, S))
    played.wait(4)
    played.receive(udp(S, C, sport=53, dport=40000))
    assert redirects(played) == []
    assert played.metric("redirect_rule_changes_total", dp_id="00000000000000a1", change="deleted")


def test_a_refusal_removes_the_rule_unless_it_is_captured():
    for capture, rules in ((("unanswered",), 0), (("unanswered", "refused"), 1)):
        played = PlayedProbe(config=Config(capture=capture, max_flows=1024)).connect()
        played.receive(tcp(C, S, SYN))
        played.wait(4)
        assert len(redirects(played)) == 1
        played.receive(tcp(S, C, RST | ACK, sport=80, dport=40000))
        assert len(redirects(played)) == rules


def test_an_unsolicited_reply_is_redirected_where_it_is_captured():
    config = Config(capture=(State.UNSOLICITED,), max_flows=1024)
    played = PlayedProbe(config=config).connect()
    played.receive(pong(S, C))
    (rule,) = redirects(played)
    assert "nw_src=192.0.2.9,nw_dst=10.0.0.1,icmp_type=0" in rule_text(rule)


def test_the_end_of_a_flow_removes_its_rule(played):
    played.receive(udp(C, S))
    played.wait(4)
    played.wait(200)
    assert redirects(played) == []


def test_flows_that_a_switch_cannot_tell_apart_share_a_rule(played):
    played.receive(ping(C, S, identifier=1), ping(C, S, identifier=2))
    played.wait(4)
    assert len(redirects(played)) == 1
    played.receive(pong(S, C, identifier=1))
    assert len(redirects(played)) == 1
    played.receive(pong(S, C, identifier=2))
    assert redirects(played) == []


def test_an_expired_rule_comes_back_when_its_client_speaks_again(played):
    played.receive(udp(C, S))
    played.wait(4)
    (rule,) = redirects(played)
    played.probe.on_flow_removed(rule.cookie.at(0))
    assert redirects(played) == []
    played.receive(udp(C, S))
    (again,) = redirects(played)
    assert again.match == rule.match
    assert again.cookie != rule.cookie  # a late word of the first removal is not about this one
    played.probe.on_flow_removed(rule.cookie.at(0))
    assert redirects(played) == [again]


def test_a_flow_that_ends_while_its_rule_is_expired_needs_no_deletion(played):
    played.receive(udp(C, S))
    played.wait(4)
    (rule,) = redirects(played)
    played.probe.on_flow_removed(rule.cookie.at(0))
    played.wait(200)
    assert len(played.probe.redirects) == 0
    played.receive(udp(C, S))
    played.wait(4)
    assert len(redirects(played)) == 1


def test_rules_are_bounded_and_what_exceeds_is_counted_and_tried_again():
    played = PlayedProbe(redirect={"max_rules": 2}).connect()
    for port in (1, 2, 3):
        played.receive(udp(C, S, sport=port))
    played.wait(4)
    assert len(redirects(played)) == 2
    assert played.metric("dropped_total", cause="redirect_rules_full") == 1
    played.receive(udp(S, C, sport=53, dport=1))  # recovers: its place is free
    played.receive(udp(C, S, sport=3))
    assert {dict(rule.match)["udp_src"] for rule in redirects(played)} == {2, 3}


def test_any_protocol_is_redirected(played):
    played.receive(ip(C, S, 47, bytes(20)))
    played.wait(4)
    assert "nw_proto=47,nw_src=10.0.0.1,nw_dst=192.0.2.9" in rule_text(redirects(played)[0])


def test_the_delay_is_counted_from_the_deadline_to_the_confirmation(played):
    played.receive(udp(C, S))
    played.wait(3.02)
    assert played.metric("verdict_delay_seconds_count") == 1
    assert played.metric("verdict_delay_seconds_sum") == pytest.approx(0.02)
