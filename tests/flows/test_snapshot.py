"""Flows that outlive their engine."""

from ipaddress import ip_network

import numpy as np
import pytest

from chamaleonet.flows import snapshot
from chamaleonet.flows.engine import Engine
from chamaleonet.flows.records import SLAB, SLAB_BYTES, Quality, Role
from chamaleonet.flows.transitions import State
from tests.flows.playbook import ends, settings
from tests.traffic import SECOND, SYN, Record, batch, ethernet, icmp_error, tcp, udp

C, S = "10.0.0.1", "192.0.2.9"
ALL = tuple(State)


def engine(**changes):
    return Engine(settings(**changes), judged=ALL, ended=ALL, packets=True)


def play(engine, *packets, at=0):
    """Judge packets; return what is told: (change, was, state) of events, packets' roles."""
    outputs = engine.judge(batch([Record(ethernet(packet), time=at) for packet in packets]))
    return told(outputs)


def told(outputs):
    return [
        (int(event["change"]), State(event["was"]), State(event["flow"]["state"]))
        for output in outputs
        for event in output.events
    ]


def passed_on(old, **changes):
    """Return an engine with the flows of another one."""
    new = engine(**changes)
    saved = old.snapshot(1000)
    assert snapshot.sound(saved)
    new.restore(saved)
    return new


def of(engine, *states):
    return sorted(int(flow["ports"]) for flow in engine.live_flows(states))


def answered(port):
    return udp(C, S, sport=port), udp(S, C, sport=53, dport=port)


def test_each_flow_goes_on_where_it_stood():
    old = engine()
    play(old, udp(C, S, sport=1))
    list(old.advance(4 * SECOND))
    play(old, udp(C, S, sport=2), *answered(3), tcp(C, S, SYN, sport=4), at=5 * SECOND)
    new = passed_on(old)
    assert new.summary()["verdicts"] == old.summary()["verdicts"]
    assert (new.tracked_flows, new.pending_flows, new.now) == (4, 2, 5 * SECOND)
    # A late reply, one in time, a repeat, and silence.
    assert play(new, udp(S, C, sport=53, dport=1), udp(S, C, sport=53, dport=2),
                udp(C, S, sport=3), at=6 * SECOND) == [
        (0, State.UNANSWERED, State.RECOVERED), (0, State.PENDING, State.ANSWERED),
    ]  # fmt: skip
    assert told(new.advance(8 * SECOND)) == [(0, State.PENDING, State.UNANSWERED)]
    ended = [State.ANSWERED, State.ANSWERED, State.RECOVERED, State.UNANSWERED]
    assert sorted(told(new.advance(300 * SECOND))) == [(1, state, state) for state in ended]
    assert new.tracked_flows == 0


def test_the_first_packet_is_delivered_with_the_verdict_whoever_comes_to_it():
    old = engine()
    first = udp(C, S, sport=2)
    play(old, *answered(1), first)
    new = passed_on(old)
    error = Record(ethernet(icmp_error("192.0.2.1", first)), time=SECOND)
    [(packets, data)] = [(each.packets, bytes(each.data)) for each in new.judge(batch([error]))]
    assert packets["role"].tolist() == [Role.FIRST, Role.ERROR]
    assert packets["length"][0] == 42
    assert data[:42] == ethernet(first)[:42]


def test_silence_that_nobody_listened_to_is_suspect():
    old = engine()
    play(old, udp(C, S, sport=1), udp(C, S, sport=2))
    new = passed_on(old)
    play(new, icmp_error("192.0.2.1", udp(C, S, sport=2)), udp(C, S, sport=3))
    # May it be well after all: its packets stay here.
    assert [len(output.packets) for output in new.advance(4 * SECOND)] == [1]
    qualities = {int(f["ports"]) >> 16: f["quality"] for f in new.live_flows(ALL[1:])}
    assert qualities == {1: Quality.SUSPECT, 2: Quality.SOUND, 3: Quality.SOUND}


def test_what_was_idle_meanwhile_ends_at_once():
    old = engine()
    play(old, udp(C, S, sport=1))
    new = passed_on(old)
    assert told(new.advance(10_000 * SECOND)) == [
        (0, State.PENDING, State.UNANSWERED), (1, State.UNANSWERED, State.UNANSWERED),
    ]  # fmt: skip


def test_failing_and_waiting_flows_go_first_where_there_is_no_room_for_all():
    old = engine()
    play(old, udp(C, S, sport=1))
    list(old.advance(4 * SECOND))
    for port in range(10, 20):
        play(old, *answered(port), at=(4 + port) * SECOND)
    play(old, udp(C, S, sport=2), at=30 * SECOND)
    flows = old.snapshot(4).flows
    assert sorted(int(ends(flow)[0][1]) for flow in flows) == [1, 2, 18, 19]
    small = engine(max_flows=3)
    assert len(small.restore(old.snapshot(100))) == 3
    assert small.tracked_flows == 3


def test_a_flow_that_is_there_already_stays_as_it_is():
    old, new = engine(), engine()
    play(old, udp(C, S, sport=1))
    play(new, *answered(1))
    assert len(new.restore(old.snapshot(10))) == 0
    assert of(new, State.ANSWERED)
    assert new.tracked_flows == 1


def test_events_that_came_later_are_followed():
    old = engine()
    play(old, *(udp(C, S, sport=port) for port in (1, 2, 3)))
    saved = old.snapshot(10)
    events = [
        output.events.copy()
        for steps in (
            old.judge(batch([Record(ethernet(udp(S, C, sport=53, dport=2)), time=SECOND)])),
            old.judge(batch([Record(ethernet(udp(C, S, sport=4)), time=SECOND)])),
            old.advance(3 * SECOND),  # 1 and 3 are unanswered
            old.forget(2, int(saved.flows["first"][0])),
            old.advance(4 * SECOND),
        )
        for output in steps
    ]
    after = snapshot.follow(saved, np.concatenate(events))
    assert snapshot.sound(after)
    new = engine()
    new.restore(after)
    assert of(new, State.UNANSWERED) == of(old, State.UNANSWERED)
    assert of(new, State.ANSWERED) == of(old, State.ANSWERED)
    assert of(new, State.PENDING) == []
    assert told(new.advance(5 * SECOND)) == [], "no verdict and no packet is told again"


def test_a_first_packet_that_may_still_be_asked_for_is_kept():
    old = engine(capture=(State.ICMP_ERROR,))
    play(old, udp(C, S, sport=1))
    saved = old.snapshot(10)
    events = np.concatenate([output.events.copy() for output in old.advance(4 * SECOND)])
    new = engine(capture=(State.ICMP_ERROR,))
    new.restore(snapshot.follow(saved, events))
    outputs = new.judge(
        batch([Record(ethernet(icmp_error("192.0.2.1", udp(C, S, sport=1))), time=5 * SECOND)])
    )
    assert [output.packets["role"].tolist() for output in outputs] == [[Role.FIRST, Role.ERROR]]


@pytest.mark.parametrize(
    ("field", "value"),
    [("state", 0), ("state", 9), ("direction", 4), ("quality", 3), ("slab", 1), ("slab", -2)],
)
def test_what_kernels_could_not_take_is_not_sound(field, value):
    old = engine()
    play(old, udp(C, S, sport=1))
    saved = old.snapshot(10)
    saved.flows[field] = value
    assert not snapshot.sound(saved)


def test_prefixes_are_numbered_anew():
    old = engine(internal=(ip_network("10.0.0.0/8"),))
    play(old, udp(C, S))
    saved = old.snapshot(10)
    assert saved.flows["prefix"].tolist() == [1]
    saved.flows["prefix"] = 200  # of another configuration
    new = engine(internal=tuple(map(ip_network, ("10.1.0.0/16", "10.2.0.0/16", "10.0.0.0/8"))))
    new.restore(saved)
    assert new.live_flows(ALL[1:])["prefix"].tolist() == [3]


def test_first_packets_that_are_too_long_are_not_sound():
    firsts = np.zeros(1, SLAB)
    firsts["length"] = SLAB_BYTES + 1
    assert not snapshot.sound(snapshot.Snapshot(engine().snapshot(0).flows, firsts))
