import numpy as np
import pytest

from chamaleonet.config import Config
from chamaleonet.flows.records import Change
from chamaleonet.flows.transitions import ERRONEOUS, State
from chamaleonet.switch.conntrack import ConntrackPipeline
from chamaleonet.switch.reactive import ReactivePipeline
from chamaleonet.switch.redirect import Redirects
from chamaleonet.switch.rules import TCP, UDP, Kind, rule_text
from tests.switch.build import PIPELINES, START, PlayedProbe, flow_event, flow_key, frame
from tests.traffic import ACK, RST, SECOND, SYN, icmp_error, ip, ping, pong, tcp, udp

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


def test_what_exceeds_the_budget_after_all_is_counted_and_tried_again():
    played = PlayedProbe(redirect={"max_rules": 2}).connect()
    for n in (1, 2, 3):  # nothing in common
        played.receive(udp(f"10.0.0.{n}", f"192.0.2.{n}", sport=n, dport=n))
    played.wait(4)
    assert len(redirects(played)) == 2
    assert played.metric("dropped_total", cause="redirect_rules_full") == 1
    assert played.metric("redirect_uncovered_flows", dp_id="00000000000000a1") == 1
    played.receive(udp("192.0.2.1", "10.0.0.1", sport=1, dport=1))  # recovers: its place is free
    played.wait(1)
    assert {dict(rule.match)["udp_src"] for rule in redirects(played)} == {2, 3}
    assert played.metric("redirect_uncovered_flows", dp_id="00000000000000a1") == 0


def test_any_protocol_is_redirected(played):
    played.receive(ip(C, S, 47, bytes(20)))
    played.wait(4)
    assert "nw_proto=47,nw_src=10.0.0.1,nw_dst=192.0.2.9" in rule_text(redirects(played)[0])


def test_the_delay_is_counted_from_the_deadline_to_the_confirmation(played):
    played.receive(udp(C, S))
    played.wait(3.02)
    assert played.metric("verdict_delay_seconds_count") == 1
    assert played.metric("verdict_delay_seconds_sum") == pytest.approx(0.02)


# Aggregation.


class Scanned:
    """Redirects alone, and what their changes make of a switch.

    Attributes:
        rules: those in the switch, by place.
        most: how many there were at once.
        changes: how many changes it took.
    """

    def __init__(self, pipeline, max_rules):
        at = frame(pipeline, redirect={"max_rules": max_rules})
        made = ConntrackPipeline(at) if pipeline == "conntrack" else ReactivePipeline(at, SECOND)
        self.redirects = Redirects(made, at, ERRONEOUS, Config().internal)
        self.rules, self.most, self.changes = {}, 0, 0
        self.now = START
        self.apply(self.redirects.advance(self.now))

    def apply(self, changes):
        for rule, add, _ in changes:
            if add:
                self.rules[rule.place] = rule
            else:
                assert self.rules.pop(rule.place) == rule
            self.most = max(self.most, len(self.rules))
            self.changes += 1

    def event(self, row, key, state=State.UNANSWERED, change=Change.JUDGED):
        self.apply(self.redirects.on_event(flow_event(row, key, state, change=change)))

    def wait(self, seconds):
        for _ in range(seconds):
            self.now += SECOND
            self.apply(self.redirects.advance(self.now))

    def texts(self):
        return [rule_text(rule) for rule in self.rules.values()]


def flow(client, server, protocol=TCP, **ports):
    return flow_key(client, server, protocol, **ports)


@pytest.mark.parametrize(
    ("pipeline", "client", "first", "end"),
    [
        ("conntrack", "203.0.113.9", "10.20.0.0", "low"),
        ("reactive", "10.0.0.1", "198.18.0.0", "high"),
    ],
)
def test_a_scan_of_65536_targets_costs_one_rule(pipeline, client, first, end):
    scanned = Scanned(pipeline, 1000)
    events = np.repeat(flow_event(0, flow(client, first)), 65536)
    events["row"] = np.arange(65536)
    events["flow"][f"{end}_lo"] += np.arange(65536, dtype=np.uint64)  # the server's address
    for event in events:
        scanned.apply(scanned.redirects.on_event(event))
    (text,) = scanned.texts()
    assert f"nw_src={client},tp_dst=22" in text
    assert scanned.most == 751
    assert scanned.changes == 2 * 750 + 1
    assert scanned.redirects.refused == scanned.redirects.uncovered == 0


def test_many_ports_of_many_servers_are_the_clients_rule():
    scanned = Scanned("reactive", 1000)
    for n in range(5000):
        scanned.event(n, flow("10.0.0.1", f"198.18.{n >> 8}.{n & 255}", dport=n))
    (text,) = scanned.texts()
    assert "priority=50,ip,nw_src=10.0.0.1 actions=" in text


def test_with_conntrack_the_clients_tcp_is_apart_from_the_rest():
    scanned = Scanned("conntrack", 1000)
    for n in range(5000):
        protocol = TCP if n % 2 else UDP
        scanned.event(n, flow("10.0.0.1", f"198.18.{n >> 8}.{n & 255}", protocol, dport=n))
    first, second = sorted(scanned.texts())
    assert "priority=95,tcp,nw_src=10.0.0.1,ct_state=-est+trk,tcp_flags=-rst-ack" in first + second
    assert "priority=55,ip,nw_src=10.0.0.1,ct_state=+new+trk" in first + second


def test_many_clients_of_one_internal_service_are_its_rule_then_its_addresss():
    scanned = Scanned("conntrack", 1000)
    for n in range(5000):
        scanned.event(n, flow(f"198.18.{n >> 8}.{n & 255}", "10.0.0.1"))
    (text,) = scanned.texts()
    assert "tcp,nw_dst=10.0.0.1,tp_dst=22" in text
    for n in range(5000, 10000):
        scanned.event(n, flow(f"198.18.{n >> 8}.{n & 255}", "10.0.0.2", dport=n))
    assert len(scanned.rules) == 2
    assert any("tcp,nw_dst=10.0.0.2,ct_state" in text for text in scanned.texts())


def test_one_port_everywhere_from_everywhere_is_one_rule_of_the_prefix():
    scanned = Scanned("conntrack", 1000)
    for n in range(5000):
        scanned.event(n, flow(f"198.18.{n >> 8}.{n & 255}", f"10.7.{n >> 8}.{n & 255}", dport=23))
    (text,) = scanned.texts()
    assert "tcp,nw_dst=10.0.0.0/255.0.0.0,tp_dst=23" in text


def test_an_ordinary_failure_beside_a_scan_keeps_a_rule_of_its_own():
    scanned = Scanned("conntrack", 1000)
    scanned.event(1, flow("10.0.0.7", "198.18.0.7", dport=443))
    for n in range(5000):
        scanned.event(2 + n, flow("10.0.0.1", f"198.18.{n >> 8}.{n & 255}"))
    assert len(scanned.rules) == 2
    assert any("nw_src=10.0.0.7,nw_dst=198.18.0.7" in text for text in scanned.texts())


def test_the_last_place_is_shared_before_a_flow_is_refused():
    scanned = Scanned("reactive", 1)
    scanned.event(1, flow("10.0.0.1", "198.18.0.1"))
    scanned.event(2, flow("10.0.0.1", "198.18.0.2"))
    (text,) = scanned.texts()
    assert "nw_src=10.0.0.1,tp_dst=22" in text
    assert scanned.most == 1  # the first one's rule had to go before
    scanned.event(3, flow("10.0.0.3", "198.18.0.3", dport=80))
    assert (scanned.redirects.refused, scanned.redirects.uncovered) == (1, 1)


def test_when_the_pressure_is_gone_each_flow_has_a_rule_of_its_own_again():
    scanned = Scanned("conntrack", 100)
    flows = [flow("10.0.0.1", f"198.18.0.{n}") for n in range(200)]
    for n, key in enumerate(flows):
        scanned.event(n, key)
    assert len(scanned.rules) == 1
    for n in range(150):
        scanned.event(n, flows[n], State.RECOVERED)
    scanned.wait(20)
    assert len(scanned.rules) == 1  # fifty and the aggregate itself are more than half of it
    scanned.event(150, flows[150], change=Change.ENDED)
    scanned.wait(20)
    assert {rule.match for rule in scanned.rules.values()} == {
        key.client_to_server() for key in flows[151:]
    }
    assert scanned.redirects.aggregates == 0
    assert scanned.most <= 100


def test_pressure_that_comes_and_goes_does_not_make_rules_flap():
    scanned = Scanned("conntrack", 100)
    for n in range(80):
        scanned.event(n, flow("10.0.0.1", f"198.18.0.{n}"))
    changes = scanned.changes
    for _ in range(20):  # around the mark of 75
        for n in range(60, 80):
            scanned.event(n, flow("10.0.0.1", f"198.18.0.{n}"), State.RECOVERED)
        scanned.wait(1)
        for n in range(60, 80):
            scanned.event(n, flow("10.0.0.1", f"198.18.0.{n}"))
    assert scanned.changes == changes


def test_an_aggregate_goes_with_its_last_flow_and_sleeps_when_it_is_idle():
    scanned = Scanned("conntrack", 100)
    flows = [flow("10.0.0.1", f"198.18.0.{n}") for n in range(200)]
    for n, key in enumerate(flows):
        scanned.event(n, key)
    ((place, rule),) = scanned.rules.items()
    assert (rule.idle_timeout, rule.notify) == (60, True)
    del scanned.rules[place]
    assert scanned.redirects.on_removed(rule.cookie) == rule
    scanned.wait(20)
    assert scanned.rules == {}
    scanned.apply(scanned.redirects.on_packet(17))
    (again,) = scanned.rules.values()
    assert again.match == rule.match
    assert again.cookie != rule.cookie
    for n, key in enumerate(flows):
        scanned.event(n, key, change=Change.ENDED)
    assert scanned.rules == {}
    assert scanned.redirects.aggregates == 0


def test_an_aggregate_that_the_switch_does_not_take_is_given_up_for_single_rules():
    scanned = Scanned("reactive", 100)
    for n in range(76):
        scanned.event(n, flow("10.0.0.1", f"198.18.0.{n}"))
    (refused,) = scanned.rules.values()
    scanned.rules.clear()
    scanned.apply(scanned.redirects.on_refused(refused.cookie, full=False))
    # The next best is the client alone, which the switch may well take.
    (text,) = scanned.texts()
    assert "ip,nw_src=10.0.0.1 actions" in text


def test_where_aggregates_find_their_table_full_single_rules_come_back_for_a_while():
    scanned = Scanned("reactive", 100)
    for n in range(76):
        scanned.event(n, flow("10.0.0.1", f"198.18.0.{n}"))
    (refused,) = scanned.rules.values()
    scanned.rules.clear()
    scanned.apply(scanned.redirects.on_refused(refused.cookie, full=True))
    assert len(scanned.rules) == 76
    assert scanned.redirects.budget.limit == 100  # it is another table
    scanned.wait(61)
    assert len(scanned.rules) == 1


def test_what_the_tracker_cannot_tell_keeps_its_own_rule():
    scanned = Scanned("conntrack", 10)
    for n in range(20):
        scanned.event(n, flow("10.0.0.1", f"198.18.0.{n}", protocol=136, sport=0, dport=0))
    assert all("nw_dst=198.18.0." in text for text in scanned.texts())
    assert len(scanned.rules) == 10
    assert scanned.redirects.uncovered == 10
