import pytest

from chamaleonet.config import Config
from chamaleonet.flows.records import Change
from chamaleonet.flows.transitions import State
from chamaleonet.switch.rules import Kind, Output, rule_text
from tests.switch.build import PlayedProbe
from tests.traffic import ACK, RST, SYN, ip, ping, pong, tcp, udp

C, S = "10.0.0.1", "192.0.2.9"
JUDGED = int(Change.JUDGED)


def played(**changes):
    return PlayedProbe("reactive", **changes).connect()


def bypasses(probe):
    return [rule for rule in probe.rules if rule.cookie.kind is Kind.BYPASS]


def answer(probe, client=C, server=S, *, sport=40000):
    probe.receive(udp(client, server, sport=sport), udp(server, client, sport=53, dport=sport))


def test_an_answered_flow_is_bypassed_both_ways():
    probe = played()
    answer(probe)
    there, back = map(rule_text, bypasses(probe))
    assert (
        "udp,nw_src=10.0.0.1,nw_dst=192.0.2.9,tp_src=40000,tp_dst=53 actions=goto_table:3" in there
    )
    assert (
        "udp,nw_src=192.0.2.9,nw_dst=10.0.0.1,tp_src=53,tp_dst=40000 actions=goto_table:3" in back
    )
    assert all(rule.notify and rule.idle_timeout == 180 for rule in bypasses(probe))


@pytest.mark.parametrize(
    "packets",
    [
        [udp(C, S)],
        [tcp(C, S, SYN), tcp(S, C, RST | ACK, sport=80, dport=40000)],
        [ping(C, S), pong(S, C)],  # a switch cannot tell its identifier from others
        [ip(C, S, 136, bytes(12)), ip(S, C, 136, bytes(12))],
    ],
    ids=["pending", "refused", "ping", "udp-lite"],
)
def test_what_must_stay_visible_is_not_bypassed(packets):
    probe = played()
    probe.receive(*packets)
    assert bypasses(probe) == []


@pytest.mark.parametrize(
    "packets",
    [
        [tcp(C, S, ACK)],
        [tcp(C, S, SYN), tcp(S, C, SYN | ACK, sport=80, dport=40000)],
        [ip(C, S, 47, bytes(20)), ip(S, C, 47, bytes(20))],
    ],
    ids=["midstream", "handshake", "gre"],
)
def test_what_needs_no_watching_is_bypassed(packets):
    probe = played()
    probe.receive(*packets)
    assert len(bypasses(probe)) == 2


def test_a_late_reply_ends_the_redirect_and_begins_the_bypass():
    probe = played()
    probe.receive(udp(C, S))
    probe.wait(4)
    probe.receive(udp(S, C, sport=53, dport=40000))
    assert {rule.cookie.kind for rule in probe.rules} == {Kind.BYPASS}


def test_an_idle_bypass_takes_its_twin_and_its_flow_along():
    probe = played()
    answer(probe)
    probe.probe.on_flow_removed(bypasses(probe)[0].cookie.at(0))
    probe.settle()
    assert bypasses(probe) == []
    assert probe.probe.engine.tracked_flows == 0
    probe.receive(udp(C, S))
    probe.wait(4)
    assert probe.told[-1] == (JUDGED, State.UNANSWERED)


def test_the_word_of_a_removal_comes_late_and_harms_nobody():
    probe = played()
    answer(probe)
    first = bypasses(probe)[0].cookie
    probe.probe.on_flow_removed(first.at(0))
    answer(probe)
    assert bypasses(probe)[0].cookie != first
    probe.probe.on_flow_removed(first.at(0))
    assert len(bypasses(probe)) == 2


def test_a_removal_forgets_no_later_flow_of_the_same_row():
    probe = played(config=Config(timeout=10**9, idle_timeout=2 * 10**9, max_flows=1024))
    answer(probe)
    cookie = bypasses(probe)[0].cookie
    probe.wait(5)  # the engine sees no more packets of it and forgets it first
    probe.receive(udp(C, S, sport=7))
    probe.probe.on_flow_removed(cookie.at(0))
    assert probe.probe.engine.tracked_flows == 1


def test_a_service_is_bypassed_once():
    probe = played(reactive={"granularity": "service", "idle_timeout": "60s"})
    for port in (1000, 1001):
        answer(probe, "198.51.100.7", C, sport=port)
    there, back = map(rule_text, bypasses(probe))
    assert ",udp,nw_dst=10.0.0.1,tp_dst=53 " in there
    assert ",udp,nw_src=10.0.0.1,tp_src=53 " in back
    assert "idle_timeout=60," in there


def test_of_an_outbound_flow_the_service_is_the_clients_port():
    probe = played(reactive={"granularity": "service"})
    answer(probe)
    assert ",udp,nw_src=10.0.0.1,tp_src=40000 " in rule_text(bypasses(probe)[1])


def test_plain_openflow_cannot_cut_at_ports():
    static = [rule for rule, _ in played().probe.rulebook]
    assert Output(4) in {action for rule in static for action in rule.actions}
    assert "tcp_flags" not in " ".join(map(rule_text, static))
    assert "max_len" not in " ".join(map(rule_text, static))
