"""The engine against the reference, on generated sequences and on mutated captures."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chamaleonet.capture.files import open_capture
from chamaleonet.flows.engine import Engine
from chamaleonet.flows.records import Direction, Quality
from chamaleonet.flows.table import Register
from chamaleonet.flows.transitions import CAPTURABLE, VERDICTS, State
from tests.captures import CAPTURES, needs_captures
from tests.flows.playbook import Played, compare
from tests.flows.playbook import settings as engine_settings
from tests.traffic import (
    ACK,
    FIN,
    RST,
    SECOND,
    SYN,
    Record,
    batch,
    ethernet,
    icmp,
    icmp_error,
    ip,
    sctp,
    tcp,
    udp,
)  # fmt: skip

# Few enough hosts and ports that packets meet in flows.
_PAIRS = [
    ("10.0.0.1", "192.0.2.1"), ("10.0.0.1", "10.0.0.2"), ("10.0.0.1", "10.0.0.1"),
    ("198.51.100.1", "192.0.2.1"), ("fd00::1", "2001:db8::1"), ("fd00::1", "fd00::1"),
]  # fmt: skip
_PORTS = st.sampled_from([53, 80])
_FLAGS = st.sampled_from(
    [
        SYN,
        SYN,
        SYN,
        SYN | ACK,
        SYN | ACK,
        ACK,
        RST,
        RST | ACK,
        FIN | ACK,
        FIN,
        0,
        SYN | RST,
        SYN | FIN,
    ]
)
_STEPS = st.sampled_from(
    [0, 0, 0, 1, SECOND // 10, SECOND, 3 * SECOND - 1, 3 * SECOND, 3 * SECOND + 1, -SECOND,
     177 * SECOND, 180 * SECOND - 1, 180 * SECOND]
)  # fmt: skip


@st.composite
def _packets(draw):
    source, target = draw(st.sampled_from(_PAIRS))
    if draw(st.booleans()):
        source, target = target, source
    sport, dport = draw(_PORTS), draw(_PORTS)
    kind = draw(st.sampled_from(["tcp", "tcp", "udp", "icmp", "sctp", "gre"]))
    if kind == "tcp":
        options = draw(st.sampled_from([b"", b"\x01" * 12]))
        return tcp(source, target, draw(_FLAGS), sport=sport, dport=dport, options=options)
    if kind == "udp":
        return udp(source, target, sport=sport, dport=dport)
    if kind == "sctp":
        return sctp(source, target, sport=sport, dport=dport)
    if kind == "gre":
        return ip(source, target, 47, b"\0\0\x08\0")
    types = [8, 0, 13, 14, 17] if ":" not in source else [128, 129]
    return icmp(source, target, draw(st.sampled_from(types)), rest=b"\0\x01\0\x01")


@st.composite
def _sequences(draw):
    records, sent, now = [], [], 1000 * SECOND
    for _ in range(draw(st.integers(1, 30))):
        now += draw(_STEPS)
        if sent and draw(st.integers(0, 4)) == 0:
            lost = draw(st.sampled_from(sent))
            sender = "203.0.113.9" if lost[0] >> 4 == 4 else "2001:db8:f::1"
            usual = (
                [(3, 1), (3, 3), (3, 4), (11, 0)] if lost[0] >> 4 == 4 else [(1, 4), (2, 0), (3, 0)]
            )
            type_, code = draw(st.sampled_from(usual))
            quote = draw(st.sampled_from([None, None, None, 200, 22]))
            packet = icmp_error(sender, lost, type_=type_, code=code, quote=quote)
        else:
            packet = draw(_packets())
            sent.append(packet)
        tags = draw(st.sampled_from([(), (), ((0x8100, 0x2007),), ((0x88A8, 9), (0x8100, 10))]))
        records.append(Record(ethernet(packet, tags=tags), now, wire_length=len(packet) + 500))
    return records


@settings(max_examples=3000, deadline=None)
@given(
    _sequences(),
    st.sampled_from([1, 7, 65536]),
    st.sets(st.sampled_from(CAPTURABLE)).map(tuple),
)
def test_agrees_with_the_reference(records, size, capture):
    compare(records, size=size, capture=capture)


def _told(played):
    """Everything that was told, in its order, without the numbers of rows."""
    columns = [name for name in played.ended[0][2].dtype.names if name not in ("slab", "spare")]
    return (
        [(time, was, flow[columns].tolist()) for time, was, flow in played.judged],
        [(time, was, flow[columns].tolist()) for time, was, flow in played.ended],
        [(role, data) for role, _, data in played.captured],
    )


@settings(max_examples=200, deadline=None)
@given(_sequences())
def test_batch_size_changes_nothing(records):
    whole = _told(Played(records))
    assert _told(Played(records, size=1)) == whole
    assert _told(Played(records, size=7)) == whole


@needs_captures
@pytest.mark.parametrize("name", CAPTURES)
def test_agrees_on_mutated_captures(name):
    """Bytes of real packets are changed, packets swapped, lost and cut."""
    rng = random.Random(name)
    records = _records(CAPTURES[name])
    rng.shuffle(records[: len(records) // 50])
    for round_ in range(3):
        mutated = []
        for record in records[:1500]:
            data = bytearray(record.data)
            if data and rng.random() < 0.3:
                for _ in range(rng.randint(1, 3)):
                    data[min(rng.randrange(70), len(data) - 1)] ^= 1 << rng.randrange(8)
            if rng.random() < 0.05:
                data = data[: rng.randrange(len(data) + 1)]
            if rng.random() > 0.05:
                mutated.append(Record(bytes(data), record.time, record.link, record.wire_length))
        compare(mutated, size=(1, 7, 65536)[round_])


def _records(path):
    with open_capture(str(path)) as capture:
        return [
            Record(
                got.buffer[got.offset[i] : got.offset[i] + got.length[i]].tobytes(),
                int(got.time[i]), int(got.link[i]), int(got.wire_length[i]),
            )
            for got in capture.batches()
            for i in range(len(got))
        ]  # fmt: skip


def test_time_passes_without_packets():
    engine = Engine(engine_settings(), judged=(State.UNANSWERED,))
    list(engine.judge(batch([Record(ethernet(udp("10.0.0.1", "192.0.2.1")), SECOND)])))
    assert engine.pending_flows == 1
    assert list(engine.advance(4 * SECOND - 1)) == []
    (output,) = engine.advance(4 * SECOND)
    assert [State(flow["state"]) for flow in output.events["flow"]] == [State.UNANSWERED]
    assert output.events["time"].tolist() == [4 * SECOND]
    assert engine.pending_flows == 0
    list(engine.advance(181 * SECOND))
    assert engine.tracked_flows == 0
    list(engine.advance(SECOND))
    assert engine.now == 181 * SECOND


@pytest.mark.parametrize("timeout", [2, 20])
def test_another_timeout_holds_for_flows_that_wait_already(timeout):
    engine = Engine(engine_settings(timeout=10 * SECOND), judged=(State.UNANSWERED,))
    list(engine.judge(batch([Record(_flow(1), SECOND)])))
    list(engine.advance(2 * SECOND))  # it knows by now when to look again
    engine.set_timeout(timeout * SECOND)
    assert list(engine.advance((1 + timeout) * SECOND - 1)) == []
    (output,) = engine.advance((1 + timeout) * SECOND)
    assert output.events["flow"]["state"].tolist() == [State.UNANSWERED]


def test_a_flow_can_be_forgotten_by_name():
    engine = Engine(engine_settings(), judged=tuple(State), ended=tuple(State))
    (output,) = engine.judge(batch([Record(ethernet(udp("10.0.0.1", "192.0.2.1")), SECOND)]))
    row = int(output.events["row"][0])
    assert len(list(engine.forget(row, SECOND))) == 1
    assert (engine.tracked_flows, engine.pending_flows) == (0, 0)
    assert list(engine.forget(row, SECOND)) == []


def test_a_verdict_bears_the_quality_of_its_direction_and_time():
    engine = Engine(engine_settings(), judged=(State.UNANSWERED, State.RECOVERED))
    there, back = udp("10.0.0.1", "192.0.2.1"), udp("192.0.2.1", "10.0.0.1", sport=53, dport=40000)
    inbound = udp("192.0.2.1", "10.0.0.9")

    def told(outputs):
        return [
            (State(event["flow"]["state"]), Quality(event["flow"]["quality"]))
            for output in outputs
            for event in output.events
        ]

    told(engine.judge(batch([Record(ethernet(there)), Record(ethernet(inbound))])))
    engine.set_quality(Direction.OUTBOUND, Quality.SUSPECT)
    assert told(engine.advance(3 * SECOND)) == [
        (State.UNANSWERED, Quality.SUSPECT), (State.UNANSWERED, Quality.SOUND),
    ]  # fmt: skip
    engine.set_quality(Direction.OUTBOUND, Quality.SOUND)
    answer = Record(ethernet(back), time=4 * SECOND)
    assert told(engine.judge(batch([answer]))) == [(State.RECOVERED, Quality.SOUND)]


def test_outputs_larger_than_their_buffers():
    """More verdicts fall due at once than the engine can put out at once."""
    count = 20_000
    records = [
        Record(ethernet(udp("10.0.0.1", f"192.0.{i >> 8}.{i & 255}", sport=i & 0xFFF)), SECOND)
        for i in range(count)
    ]
    engine = Engine(engine_settings(max_flows=count), judged=tuple(State), packets=True)
    told = sum(len(output.events) for output in engine.judge(batch(records)))
    late = list(_copied(engine.advance(5 * SECOND)))
    assert told == count
    assert sum(events for events, _, _ in late) == count
    assert sum(packets for _, packets, _ in late) == count
    assert len(late) > 1
    assert engine.summary()["verdicts"]["unanswered"] == count


def _copied(outputs):
    for output in outputs:
        yield len(output.events), len(output.packets), len(output.data)


def _flow(i, flags=SYN, *, reply=False):
    client, server = f"10.{i >> 16 & 255}.{i >> 8 & 255}.{i & 255}", "192.0.2.1"
    if reply:
        return ethernet(tcp(server, client, SYN | ACK, sport=80, dport=40000))
    return ethernet(tcp(client, server, flags))


def test_a_full_table_lets_the_longest_idle_healthy_flow_go():
    records = [Record(_flow(1), 1), Record(_flow(1, reply=True), 2)]  # answered
    records += [Record(_flow(2, ACK), 3), Record(_flow(3, ACK), 4), Record(_flow(2, ACK), 5)]
    records += [Record(_flow(4), 6), Record(_flow(5), 7)]  # one too many: flow 1, then 3 must go
    played = Played(records, max_flows=3)
    assert played.summary["evicted"] == 2
    assert played.summary["untracked"] == 0
    assert [flow["first"] for _, _, flow in played.ended[:2]] == [1, 4]
    assert played.summary["flows"] == 5


def test_a_flow_that_finds_no_place_is_counted():
    records = [Record(_flow(i), i) for i in range(5)]
    played = Played(records, max_flows=3)
    assert played.summary["untracked"] == 2
    assert played.summary["flow_packets"] == 5
    assert played.summary["flows"] == 3


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=200), st.integers(1, 16))
def test_a_small_table_stays_consistent(numbers, rows):
    """Flows come, go and come back; every place is accounted for at every step."""
    engine = Engine(engine_settings(max_flows=rows, timeout=50, idle_timeout=100))
    for step, number in enumerate(numbers):
        data = _flow(number, reply=number % 3 == 0) if step % 2 else _flow(number)
        list(engine.judge(batch([Record(data, step * 7)])))
        table = engine._table
        live = int(table.registers[Register.LIVE])
        assert live == engine.tracked_flows <= rows
        assert live == np.count_nonzero(table.slots)
        assert live == np.count_nonzero(table.flows["state"][:rows])
        summary = engine.summary()
        assert summary["flows"] + summary["untracked"] <= summary["flow_packets"]
        assert sum(summary["verdicts"][s.label] for s in VERDICTS) == summary["flows"]


def test_hashes_are_secret():
    """Two engines put the same flow into different slots (2**21 of them)."""

    def slot():
        engine = Engine(engine_settings(max_flows=1 << 20))
        list(engine.judge(batch([Record(_flow(1), 1)])))
        return int(np.flatnonzero(engine._table.slots)[0])

    assert len({slot() for _ in range(8)}) > 1
