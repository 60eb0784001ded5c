"""Each true flow beside what was found of it."""

from __future__ import annotations

import pytest

from chamaleonet.flows.engine import Settings
from chamaleonet.lab.cases import Case, join
from chamaleonet.lab.logged import LoggedFlow, LoggedPacket
from chamaleonet.lab.rules import Rules, Span, fields_of
from chamaleonet.lab.truth import Key, truth
from tests.lab.recorded import BEGIN, GONE, HPC, INTERNAL, STAFF, TIMEOUT, WWW, Run
from tests.traffic import ACK, PSH, SECOND, SYN, ping, tcp

NO_RULES = Rules([], frozenset())
FOREVER = 1 << 62


@pytest.fixture
def judged(tmp_path):
    def judged(run):
        run.write(tmp_path)
        settings = Settings(internal=INTERNAL, timeout=TIMEOUT * SECOND)
        return truth(sorted(tmp_path.glob("trace-*.pcap")), settings)

    return judged


@pytest.fixture
def unanswered(judged):
    """A flow with packets at 0, 0.5 and 2 s, of which the first and the last are captured."""
    run = Run()
    run.unanswered(0)
    return judged(run).flows[0]


def joined(true, flows=(), packets=(), rules=NO_RULES):
    return join(true, TIMEOUT * SECOND, flows, packets, rules)


def live(key, at, verdict="unanswered"):
    return LoggedFlow(key, BEGIN + round(at * SECOND), verdict, "sound")


def test_a_row_is_of_the_flow_that_began_closest(judged):
    run = Run()
    for n in range(3):
        run.packet(0.6 * n, ping(STAFF, GONE, identifier=n))  # one key in the flow log
    run.healthy(5)
    key = Key("icmp", STAFF, None, GONE, None)
    rows = [live(key, 0.65), live(key, 1.25), live(key, 9)]
    found = joined(judged(run), rows)
    assert [case.live for case in found.cases] == [None, rows[0], rows[1], None]
    assert found.flows == [rows[2]], "the trace knows nothing of it"


def test_a_packet_is_of_the_flow_that_lived_then(judged):
    run = Run()
    for at in (1, 200):
        run.packet(at, tcp(HPC, GONE, SYN, sport=7))
    true = judged(run)
    name = true.flows[0].name
    times = [BEGIN + SECOND - 5_000_000, BEGIN + 9 * SECOND, BEGIN + 200 * SECOND - 5_000_000]
    packets = [LoggedPacket(name, time, False, False, False) for time in times]
    before = LoggedPacket(name, BEGIN, False, False, False)
    found = joined(true, packets=[before, *packets])
    assert [[packet.time for packet in case.written] for case in found.cases] == [
        times[:2], times[2:],
    ]  # fmt: skip
    assert found.packets == [before]


def test_what_the_server_sends_must_not_be_written(unanswered):
    case = Case(unanswered, TIMEOUT * SECOND)
    for from_high in (False, True):
        case.written = [LoggedPacket(unanswered.name, BEGIN, False, from_high, False)]
        assert case.wrongly_written == (from_high != unanswered.client_high)
    case.written = [LoggedPacket(unanswered.name, BEGIN, True, True, False)]
    assert case.wrongly_written == 0, "an ICMP error"


@pytest.mark.parametrize(
    ("since", "least"),
    [
        (1.004, 2),
        (1.85, 2),
        (1.95, 1),  # within GUARD of the packet
        (2.5, 1),
        (0.5, 2),  # another flow's, with the same match
    ],
)
def test_no_packet_is_missed_before_the_rule(unanswered, since, least):
    at = BEGIN + round(since * SECOND)
    case = Case(unanswered, TIMEOUT * SECOND, rules=[Span(frozenset(), at, FOREVER)])
    assert (case.least, case.most) == (least, 2)


def test_a_rule_more_than_a_second_late_excuses_nothing(judged):
    run = Run()
    run.unanswered(0)
    run.packet(2.5, tcp(HPC, GONE, SYN, sport=20_001))
    [flow] = judged(run).flows
    late = Span(frozenset(), BEGIN + 4 * SECOND, FOREVER)
    assert Case(flow, TIMEOUT * SECOND, rules=[late]).least == 2, "the first one and the last"


def test_a_packet_that_wakes_its_rule_may_be_missing(unanswered):
    first = Span(frozenset(), BEGIN + SECOND, BEGIN + 3 * SECOND // 2)
    again = Span(frozenset(), BEGIN + 2 * SECOND + 9_000_000, FOREVER)
    case = Case(unanswered, TIMEOUT * SECOND, rules=[first, again])
    assert (case.least, case.most) == (1, 2)


def test_under_an_aggregate_only_what_opens_is_copied(judged):
    run = Run()
    port = run.unanswered(0)
    run.packet(4, tcp(HPC, GONE, ACK | PSH, sport=port))
    [flow] = judged(run).flows
    aggregate = Span(frozenset(), BEGIN + SECOND, FOREVER)
    assert Case(flow, TIMEOUT * SECOND).least == 3
    assert Case(flow, TIMEOUT * SECOND, aggregates=[aggregate]).least == 2


def test_the_rules_of_a_flow(judged):
    run = Run()
    run.unanswered(0)
    run.healthy(1)
    true = judged(run)
    fields = fields_of(true.flows[0].record)
    gone = Span(fields, BEGIN - SECOND, BEGIN)
    own = Span(fields, BEGIN + SECOND, FOREVER)
    wide = Span(frozenset({"ip", f"nw_src={HPC}"}), BEGIN + SECOND, FOREVER)
    other = Span(frozenset({"ip", f"nw_src={STAFF}"}), BEGIN + SECOND, FOREVER)
    rules = Rules([(1, gone), (1, own), (2, wide), (2, other)], frozenset({2}))
    failed, healthy = joined(true, rules=rules).cases
    assert (failed.rules, failed.aggregates) == ([own], [wide])
    assert (healthy.rules, healthy.aggregates) == ([], [])


@pytest.mark.parametrize(
    ("delay", "races"), [(0.02, False), (0.95, True), (1.05, True), (1.2, False)]
)
def test_a_reply_about_the_deadline_is_a_race(judged, delay, races):
    run = Run()
    run.packet(0, tcp(STAFF, WWW, SYN, sport=7))
    run.packet(delay, tcp(WWW, STAFF, SYN | ACK, sport=80, dport=7))
    [flow] = judged(run).flows
    case = Case(flow, TIMEOUT * SECOND)
    assert case.races is races
    assert case.may_be_captured is (races or delay > 1)
    case.live = live(flow.key, 0, "recovered")
    assert case.agrees is (races or delay > 1)
    case.live = None
    assert case.agrees is (races or delay < 1)
    case.live = live(flow.key, 0, "unanswered")
    assert not case.agrees
