"""What really happened, by the trace."""

from __future__ import annotations

import pytest

from chamaleonet.errors import UserError
from chamaleonet.flows.engine import Settings
from chamaleonet.flows.records import Role
from chamaleonet.lab.truth import Key, truth
from tests.lab.recorded import BEGIN, GONE, HPC, INTERNAL, STAFF, TIMEOUT, WWW, Run
from tests.traffic import ACK, SECOND, SYN, icmp_error, ping, pong, tcp

SETTINGS = Settings(internal=INTERNAL, timeout=TIMEOUT * SECOND)


def judged(run, directory, taps=1):
    run.write(directory, taps=taps)
    return truth(sorted(directory.glob("trace-*.pcap")), SETTINGS)


def test_each_flow_with_its_verdict_and_what_is_captured_of_it(tmp_path):
    run = Run()
    run.healthy(1)
    run.unanswered(2)
    run.unreachable(5)
    true = judged(run, tmp_path)
    answered, unanswered, failed = true.flows
    assert answered.key == Key("tcp", STAFF, 20_001, WWW, 80)
    assert (answered.verdict, answered.erred, answered.packets) == ("answered", None, ())
    assert (unanswered.verdict, unanswered.attempts) == ("unanswered", 3)
    assert unanswered.first == BEGIN + 2 * SECOND
    assert unanswered.erred == unanswered.judged == BEGIN + 3 * SECOND
    assert [(packet.time - BEGIN, packet.role) for packet in unanswered.packets] == [
        (2 * SECOND, Role.FIRST), (4 * SECOND, Role.LATER),
    ]  # fmt: skip
    assert failed.verdict == "icmp_error"
    assert [packet.role for packet in failed.packets] == [Role.FIRST, Role.ERROR]
    assert (true.begin, true.end) == (BEGIN + SECOND, BEGIN + round(5.02 * SECOND))


def test_a_recovered_flow_erred_at_its_deadline(tmp_path):
    run = Run()
    run.packet(1, tcp(STAFF, WWW, SYN, sport=7))
    run.packet(2.5, tcp(STAFF, WWW, SYN, sport=7))
    run.packet(3, tcp(WWW, STAFF, SYN | ACK, sport=80, dport=7))
    run.packet(3.1, tcp(STAFF, WWW, ACK, sport=7))
    [flow] = judged(run, tmp_path).flows
    assert (flow.verdict, flow.erred, flow.judged) == (
        "recovered", BEGIN + 2 * SECOND, BEGIN + 3 * SECOND,
    )  # fmt: skip
    assert len(flow.packets) == 2, "not what came after the reply"


def test_two_taps_are_one_stream(tmp_path):
    run = Run()
    run.healthy(1)
    run.unanswered(2)
    true = judged(run, tmp_path, taps=2)
    assert sorted(flow.verdict for flow in true.flows) == ["answered", "unanswered"]
    assert true.summary["packets"] == len(run.records)


def test_one_row_of_the_table_for_two_flows_in_turn(tmp_path):
    """The engine uses a row again: what is told of one flow must not stick to the next."""
    run = Run()
    for at in (1, 200, 400):
        run.unanswered(at)
    run.healthy(600)
    flows = judged(run, tmp_path).flows
    assert [flow.erred and flow.erred - flow.first for flow in flows] == [SECOND] * 3 + [None]
    assert [len(flow.packets) for flow in flows] == [2, 2, 2, 0]


def test_queries_have_no_ports_but_are_told_apart(tmp_path):
    run = Run()
    run.packet(1, ping(STAFF, WWW, identifier=1))
    run.packet(1.1, pong(WWW, STAFF, identifier=1))
    run.packet(2, ping(STAFF, GONE, identifier=2))
    run.packet(3.5, ping(HPC, GONE, identifier=3))
    flows = judged(run, tmp_path).flows
    assert [flow.key for flow in flows] == [
        Key("icmp", STAFF, None, WWW, None), Key("icmp", STAFF, None, GONE, None),
        Key("icmp", HPC, None, GONE, None),
    ]  # fmt: skip
    assert [flow.verdict for flow in flows] == ["answered", "unanswered", "pending"]
    assert len({flow.name for flow in flows}) == 3


def test_an_error_about_no_flow_is_counted_alone(tmp_path):
    run = Run()
    run.packet(1, icmp_error(WWW, tcp(STAFF, WWW, SYN, sport=9)))
    true = judged(run, tmp_path)
    assert (true.flows, true.summary["icmp_errors"], true.summary["orphans"]) == ([], 1, 1)


def test_an_empty_trace(tmp_path):
    true = judged(Run(), tmp_path)
    assert (true.flows, true.begin, true.end) == ([], 0, 0)


def test_no_trace():
    with pytest.raises(UserError, match="no trace"):
        truth([], SETTINGS)
