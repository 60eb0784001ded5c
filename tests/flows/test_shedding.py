"""Floods, as scripts: what the engine opens, what it sheds, and what it says of it."""

from __future__ import annotations

import itertools
import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chamaleonet.flows import shedding
from chamaleonet.flows.engine import Engine
from chamaleonet.flows.records import Change, Direction, Quality
from chamaleonet.flows.transitions import State
from chamaleonet.kernels import kernel
from tests.flows.playbook import ends
from tests.flows.playbook import settings as engine_settings
from tests.traffic import ACK, SECOND, SYN, Record, batch, ethernet, ping, tcp, udp

U64 = np.uint64
BUDGET = 2000  # new flows a second: 200 in an interval
STEP = SECOND // 10
START = 1000 * SECOND


class Live:
    """An engine as a live probe has it, and the flows that it judged."""

    def __init__(self, **changes):
        self.engine = Engine(
            engine_settings(
                **{"new_flows": BUDGET, "evict_judged": True, "max_flows": 100_000} | changes
            ),
            judged=tuple(state for state in State if state > State.PENDING),
            ended=(State.UNANSWERED,),
        )
        self.flows = []
        self.ended = 0

    def see(self, seconds, *packets):
        """Let packets be seen, one a nanosecond, and the time pass."""
        now = START + round(seconds * SECOND)
        records = [Record(ethernet(packet), now + n) for n, packet in enumerate(packets)]
        self._take(self.engine.judge(batch(records)) if records else self.engine.advance(now))
        return self

    def _take(self, outputs):
        for output in outputs:
            judged = output.events["change"] == Change.JUDGED
            self.flows += list(output.events["flow"][judged].copy())
            self.ended += int((~judged).sum())

    def verdicts(self):
        return [State(flow["state"]).label for flow in self.flows]

    def judged_clients(self):
        return Counter(str(ends(flow)[0][0]) for flow in self.flows)


def anywhere(random_, n, target="10.9.9.9"):
    """Return SYNs from random addresses outside, as a flood with spoofed sources has them."""
    return [
        tcp(f"{random_.randrange(11, 100)}.{random_.randrange(256)}.{random_.randrange(256)}.9",
            target, SYN, sport=random_.randrange(1024, 65536))
        for _ in range(n)
    ]  # fmt: skip


def mixed(random_, *streams):
    packets = [packet for stream in streams for packet in stream]
    random_.shuffle(packets)
    return packets


def fails(client, seconds, n=1):
    """Return packets that nobody answers, of one internal host."""
    return [udp(client, "192.0.2.7", sport=round(seconds * 100) + k) for k in range(n)]


def test_within_the_budget_nothing_is_shed_and_verdicts_are_sound():
    live, random_ = Live(), random.Random(1)
    for step in range(10):
        live.see(step / 10, *anywhere(random_, 199))
    live.see(10)
    assert live.engine.shed == 0
    assert Counter(live.verdicts()) == {"unanswered": 10 * 199}
    assert {flow["quality"] for flow in live.flows} == {Quality.SOUND}
    assert live.engine.degraded == frozenset()


def test_a_flood_with_spoofed_sources_costs_no_host_inside_its_verdict():
    live, random_ = Live(), random.Random(2)
    hosts = [f"10.0.{subnet}.1" for subnet in range(50)]
    for step in range(10):
        failing = [packet for host in hosts for packet in fails(host, step / 10)]
        live.see(step / 10, *mixed(random_, anywhere(random_, 1500), failing))
    live.see(10)
    assert {host: live.judged_clients()[host] for host in hosts} == dict.fromkeys(hosts, 10)
    opened = live.engine.summary()["flows"]
    assert live.engine.shed == 10 * 1550 - opened
    assert opened <= 10 * 200 + 200  # the first interval has no demand to go by
    assert opened >= 10 * 200 * 0.9


def test_a_flood_from_one_host_inside_presses_on_its_own_prefix_alone():
    live, random_ = Live(), random.Random(3)
    hosts = [f"10.0.{subnet}.1" for subnet in range(40)]
    for step in range(12):
        flood = [udp("10.0.200.6", "192.0.2.1", sport=random_.randrange(65536),
                     dport=random_.randrange(65536)) for _ in range(1000)]  # fmt: skip
        failing = [packet for host in hosts for packet in fails(host, step / 10)]
        live.see(step / 10, *mixed(random_, flood, failing))
    live.see(10)
    judged = [live.judged_clients()[host] for host in hosts]
    # A host shares a bucket with the flood in one interval of 256, and not twice in a row.
    assert sum(judged) >= 0.97 * 12 * len(hosts)
    assert min(judged) >= 9
    assert live.engine.degraded == frozenset()  # it is over
    assert Quality.DEGRADED in {flow["quality"] for flow in live.flows}


def test_inside_and_outside_have_half_each_when_both_want_more():
    live, random_ = Live(), random.Random(4)
    for step in range(6):
        inside = [udp(f"10.{random_.randrange(256)}.{random_.randrange(256)}.1", "192.0.2.1",
                      sport=random_.randrange(65536)) for _ in range(600)]  # fmt: skip
        live.see(step / 10, *mixed(random_, inside, anywhere(random_, 1800)))
    directions = live.engine.summary()["directions"]
    outbound, inbound = (sum(directions[way].values()) for way in ("outbound", "inbound"))
    assert outbound == pytest.approx(inbound, rel=0.35)
    assert outbound + inbound <= 6 * 200 + 200


def test_who_was_shed_is_not_opened_by_its_reply():
    live, random_ = Live(), random.Random(5)
    flood = anywhere(random_, 4000)
    queries = [udp("198.51.100.1", f"10.9.{n}.9", sport=1000 + n) for n in range(200)]
    pings = [ping("198.51.100.1", f"10.9.{n}.9", n) for n in range(200)]
    live.see(0, *flood[:2000]).see(0.1, *flood[2000:], *queries, *pings)
    opened = live.engine.summary()["flows"]
    assert live.engine.shed == 4400 - opened
    # Everybody answers, in an interval with nothing else to do.
    replies = [udp(f"10.9.{n}.9", "198.51.100.1", sport=53, dport=1000 + n) for n in range(200)]
    live.see(1, *replies)
    answered = live.verdicts().count("answered")
    # Of two flows that are remembered in one place, by a secret hash, the first one is forgotten.
    forgotten = live.engine.summary()["flows"] - opened
    assert forgotten <= 4
    assert live.engine.shed == 4400 - opened + len(replies) - answered - forgotten
    live.see(10)
    outbound = [flow for flow in live.flows if flow["direction"] != Direction.INBOUND]
    assert len(outbound) <= forgotten


def drowned(packet):
    """Return an engine that has shed this packet."""
    live, random_ = Live(), random.Random(6)
    live.see(0, *anywhere(random_, 2000))
    before = live.engine.shed
    live.see(0.1, *anywhere(random_, 2000))
    shed = live.engine.shed
    while True:  # its bucket may have had room
        live.see(0.15, *anywhere(random_, 300), packet)
        if find(live, packet) is None:
            break
        raise AssertionError("the packet was not shed: choose another seed")
    assert live.engine.shed > shed > before
    return live


def find(live, packet):
    """Return the state of a packet's flow, None where there is none."""
    headers = live.engine.decoder.decode(batch([Record(ethernet(packet))]))
    for flow in live.engine.live_flows(tuple(State)):
        if all(flow[name] == headers[0][name] for name in ("low_lo", "high_lo", "ports", "kind")):
            return State(flow["state"])
    return None


C, S = "77.1.2.3", "10.0.0.1"


def test_who_was_shed_may_try_again():
    live = drowned(udp(C, S))
    live.see(1, udp(C, S))
    assert find(live, udp(C, S)) is State.PENDING


def test_after_a_reply_a_shed_flow_is_never_judged():
    live = drowned(udp(C, S))
    live.see(1, udp(S, C, sport=53, dport=40000))
    assert find(live, udp(C, S)) is None
    live.see(1.1, udp(C, S))
    assert find(live, udp(C, S)) is State.MIDSTREAM


def test_a_shed_handshake_is_never_judged_but_the_next_is():
    there, back = tcp(C, S, SYN), tcp(S, C, SYN | ACK, sport=80, dport=40000)
    live = drowned(there)
    live.see(1, back)
    assert find(live, there) is None
    live.see(1.1, tcp(C, S, ACK))
    assert find(live, there) is State.MIDSTREAM
    live = drowned(there)
    live.see(1, back).see(2, there)
    assert find(live, there) is State.PENDING


def test_shed_flows_are_forgotten_as_others_are():
    live = drowned(udp(C, S))
    live.see(185, udp(S, C, sport=53, dport=40000))
    assert find(live, udp(C, S)) is State.PENDING


def test_verdicts_are_degraded_by_direction_until_the_last_that_may_be_affected():
    live, random_ = Live(), random.Random(7)
    live.see(0, udp("10.0.0.1", "192.0.2.7"), *anywhere(random_, 2000))
    assert live.engine.degraded == {Direction.INBOUND}
    live.see(1, *anywhere(random_, 100))
    live.see(3.2, *anywhere(random_, 100))
    assert live.engine.degraded == frozenset()
    live.see(10)
    qualities = {
        (Direction(flow["direction"]), int(flow["first"] - START) // SECOND): flow["quality"]
        for flow in live.flows
    }
    assert qualities == {
        (Direction.OUTBOUND, 0): Quality.SOUND,
        (Direction.INBOUND, 0): Quality.DEGRADED,
        (Direction.INBOUND, 1): Quality.SOUND,
        (Direction.INBOUND, 3): Quality.SOUND,
    }


def test_a_flood_that_fills_the_table_leaves_room_for_others():
    """The budget alone would open 3000 flows until the first of them is judged."""
    live, random_ = Live(max_flows=1000), random.Random(8)
    judged = []
    for step in range(60):
        client = f"10.0.{step}.1"
        live.see(step / 10, *mixed(random_, anywhere(random_, 100), fails(client, step / 10)))
        judged.append(client)
    live.see(20)
    summary = live.engine.summary()
    assert live.engine.tracked_flows <= 1000
    assert summary["untracked"] == 0
    assert summary["evicted"] == summary["flows"] - live.engine.tracked_flows
    assert live.ended == summary["evicted"]
    assert sum(live.judged_clients()[client] == 1 for client in judged) >= 58


def test_an_evicted_verdict_degrades_both_of_its_directions():
    live = Live(max_flows=4, new_flows=100)
    live.see(0, udp("10.0.0.1", "192.0.2.1")).see(4)
    assert live.engine.degraded == frozenset()
    for n in range(4):
        live.see(5 + n / 5, udp(f"10.0.{n}.1", "10.0.0.1"))
    assert live.engine.evicted_judged == 1
    assert live.engine.degraded == {Direction.OUTBOUND, Direction.INBOUND}


@kernel
def _level(demand, share):
    return shedding.water_level(demand, share)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 60), min_size=1, max_size=256), st.integers(1, 3000))
def test_the_level_is_the_highest_that_the_share_allows(demand, share):
    level = _level(np.array(demand, np.int32), share)
    if sum(demand) <= share:
        assert level > max(demand)
        return
    served = [sum(min(each, height) for each in demand) for height in range(max(demand) + 1)]
    assert level == max([height for height, sum_ in enumerate(served) if sum_ <= share] + [1])
    # Of two that want more than they get, none gets more than the other: max-min fairness.


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(1, 400), st.sampled_from(["10.0", "77", "v6"])),
        min_size=1, max_size=12,
    ),
    st.integers(1, 300),
)  # fmt: skip
def test_no_interval_opens_more_than_twice_its_budget(bursts, per_interval):
    """Whatever comes, from wherever and whenever."""
    live, random_ = Live(new_flows=per_interval * 10), random.Random(9)
    opened, step, before, port = Counter(), 0, 0, itertools.count()
    for pause, size, kind in bursts:
        step += pause
        packets = [
            udp(f"2001:db8:{random_.randrange(9):x}::1", "fd00::1", sport=next(port))
            if kind == "v6"
            else udp(f"{kind}.{random_.randrange(4)}.1" + ".1" * (kind == "77"), "10.0.0.9",
                     sport=next(port))
            for _ in range(size)
        ]  # fmt: skip
        live.see(step / 10, *packets)
        opened[step] += live.engine.summary()["flows"] - before
        before = live.engine.summary()["flows"]
    assert max(opened.values()) <= 2 * per_interval
    assert before + live.engine.shed == sum(size for _, size, _ in bursts)


@kernel
def _buckets(salts, interval, found):
    for prefix in range(len(found)):
        found[prefix] = shedding.bucket_of(
            salts, interval, shedding.OUTSIDE, U64(4), U64(0), U64(prefix << 16)
        )


def test_nobody_can_aim_at_anothers_bucket():
    """Prefixes that share a bucket in one interval are spread in the next, and under other keys."""

    def buckets(salts, interval):
        found = np.empty(4096, np.int64)
        _buckets(salts, interval, found)
        return found.tolist()

    salts = shedding.new_salts()
    now = buckets(salts, 7)
    together = [prefix for prefix, bucket in enumerate(now) if bucket == now[0]]
    assert len(together) > 4  # someone who knew the salts would find them
    for others in (buckets(salts, 8), buckets(shedding.new_salts(), 7)):
        most = Counter(others[prefix] for prefix in together).most_common(1)[0][1]
        assert most < len(together)
    assert max(Counter(now).values()) < 10 * 4096 / shedding.BUCKETS


def test_replay_sheds_nothing():
    engine = Engine(engine_settings(max_flows=100_000))
    records = [Record(ethernet(p), START) for p in anywhere(random.Random(10), 50_000)]
    list(engine.judge(batch(records)))
    assert engine.shed == 0
    assert engine.summary()["flows"] + 0 >= 49_000  # some may share a key
