from __future__ import annotations

from ipaddress import ip_network

import numpy as np
import pytest

from chamaleonet.flows.engine import Engine
from chamaleonet.flows.records import Direction, Quality
from chamaleonet.flows.sights import BUCKETS, CLIENTS, SERVERS, Seen, distinct
from chamaleonet.flows.transitions import State
from tests.flows.playbook import settings
from tests.traffic import ACK, RST, SECOND, SYN, Record, batch, ethernet, icmp_error, ping, tcp, udp

NETWORKS = tuple(map(ip_network, ("10.0.0.0/8", "fd00::/8", "10.1.0.0/16", "10.1.2.0/24")))


def engine_after(*packets, internal=NETWORKS, seconds=0):
    engine = Engine(settings(internal=internal), judged=tuple(State), packets=True)
    list(engine.judge(batch([Record(ethernet(packet)) for packet in packets])))
    list(engine.advance(seconds * SECOND))
    return engine


def number(engine, prefix):
    return engine.prefixes.index(ip_network(prefix)) + 1


def _reply(server, flags):
    return tcp(server, "10.0.0.1", flags, sport=80, dport=40000)


def seen(engine, what, prefix=0):
    """Return which directions have how many flows of a kind."""
    flows = engine.sights.flows[prefix, :, what]
    return {way: int(flows[way]) for way in Direction if flows[way]}


def test_who_asks_and_who_is_heard():
    engine = engine_after(
        tcp("10.0.0.1", "192.0.2.1", SYN), _reply("192.0.2.1", SYN | ACK),
        tcp("10.0.0.1", "192.0.2.2", SYN), _reply("192.0.2.2", RST | ACK),
        tcp("192.0.2.3", "10.0.0.1", SYN), ping("fd00::1", "fd00::2"),
        tcp("192.0.2.4", "10.0.0.1", SYN | ACK), tcp("192.0.2.5", "10.0.0.1", ACK),
    )  # fmt: skip
    assert seen(engine, Seen.ASKED) == {
        Direction.OUTBOUND: 2, Direction.INBOUND: 1, Direction.INTERNAL: 1,
    }  # fmt: skip
    assert seen(engine, Seen.HEARD) == {Direction.OUTBOUND: 2}
    assert seen(engine, Seen.UNASKED) == {Direction.INBOUND: 1}


def test_a_host_belongs_to_the_longest_prefix_whatever_their_order():
    packets = [udp("10.0.0.1", "192.0.2.1"), udp("10.1.2.3", "192.0.2.1"), udp("fd00::1", "::2")]
    for internal in (NETWORKS, NETWORKS[::-1]):
        engine = engine_after(*packets, internal=internal)
        for prefix, count in zip(NETWORKS, (1, 1, 0, 1), strict=True):
            asked = seen(engine, Seen.ASKED, number(engine, prefix))
            assert asked == ({Direction.OUTBOUND: count} if count else {})
        assert seen(engine, Seen.ASKED) == {Direction.OUTBOUND: 3}


def test_more_prefixes_than_can_be_told_apart():
    internal = tuple(ip_network(f"10.{n >> 8}.{n & 255}.0/24") for n in range(300))
    engine = engine_after(
        udp("10.0.0.1", "192.0.2.1"), udp("10.1.40.1", "192.0.2.1"), internal=internal
    )
    assert seen(engine, Seen.ASKED) == {Direction.OUTBOUND: 2}
    assert seen(engine, Seen.ASKED, 1) == {Direction.OUTBOUND: 1}
    assert seen(engine, Seen.ASKED, 255) == {Direction.OUTBOUND: 1}


@pytest.mark.parametrize(("clients", "servers"), [(1, 1), (40, 1), (3, 100), (300, 200)])
def test_distinct_ends_are_counted(clients, servers):
    engine = engine_after(
        *[
            udp(f"10.0.{n % clients >> 8}.{n % clients & 255}",
                f"192.{n % servers >> 8}.2.{n % servers & 255}")
            for n in range(max(clients, servers))
        ]
    )  # fmt: skip
    counts = distinct(engine.sights.counts)[0, 0, Direction.OUTBOUND, Seen.ASKED]
    assert counts[CLIENTS] == pytest.approx(clients, rel=0.25, abs=2)
    assert counts[SERVERS] == pytest.approx(servers, rel=0.25, abs=2)


def test_more_than_there_are_buckets_for_is_a_large_number():
    full = distinct(np.ones((2, BUCKETS), np.uint32))
    assert np.isfinite(full).all()
    assert (full > 1000).all()


def test_an_answer_counts_for_the_interval_that_it_was_asked_for_in():
    engine = Engine(settings(), sight_interval=SECOND)
    outbound = (0, Direction.OUTBOUND)

    def play(packet, seconds):
        record = Record(ethernet(packet), time=int(seconds * SECOND))
        list(engine.judge(batch([record])))

    for port, asked, answered in ((3, 5.5, 8.5), (1, 6.9, 7.1), (2, 7.1, 7.2)):
        play(udp("10.0.0.1", "192.0.2.1", sport=port), asked)
        if port != 3:
            play(udp("192.0.2.1", "10.0.0.1", sport=53, dport=port), answered)
    counts = engine.sights.counts[(slice(None), *outbound)][:, :, CLIENTS].sum(axis=-1)
    assert counts[:, Seen.ASKED].tolist() == [0, 1, 1, 1]
    assert counts[:, Seen.HEARD].tolist() == [0, 0, 1, 1]
    play(udp("192.0.2.1", "10.0.0.1", sport=53, dport=3), 8.5)
    late = engine.sights.counts[(slice(None), *outbound)][:, :, CLIENTS].sum(axis=-1)
    assert (late == counts).all(), "too late to count"
    assert seen(engine, Seen.HEARD) == {Direction.OUTBOUND: 3}


def test_a_verdict_bears_the_quality_of_its_prefix():
    def judged(**quality):
        engine = engine_after(udp("10.0.0.1", "192.0.2.1"), udp("10.1.2.3", "192.0.2.1"))
        prefix = number(engine, "10.1.2.0/24") if quality.pop("one", False) else 0
        engine.set_quality(Direction.OUTBOUND, Quality.SUSPECT, prefix)
        (output,) = engine.advance(3 * SECOND)
        return [Quality(event["flow"]["quality"]) for event in output.events], output

    qualities, output = judged(one=True)
    assert qualities == [Quality.SOUND, Quality.SUSPECT]
    assert len(output.packets) == 1, "the first packet of a flow that may be well is not told"
    qualities, output = judged()
    assert qualities == [Quality.SUSPECT] * 2
    assert len(output.packets) == 0


def test_packets_of_a_suspect_flow_are_captured_from_the_first_sound_failure_on():
    request = tcp("10.0.0.1", "192.0.2.1", SYN)
    engine = engine_after(request)
    engine.set_quality(Direction.OUTBOUND, Quality.SUSPECT)
    again = Record(ethernet(request), time=4 * SECOND)
    outputs = list(engine.judge(batch([again])))
    assert [len(output.packets) for output in outputs] == [0]
    engine.set_quality(Direction.OUTBOUND, Quality.SOUND)
    error = Record(ethernet(icmp_error("192.0.2.9", request)), time=5 * SECOND)
    (output,) = engine.judge(batch([error]))
    assert len(output.packets) == 2, "the first packet, and the error"
