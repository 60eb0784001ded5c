"""Packets that were made to mislead: errors that quote what was never sent, keys that collide."""

from __future__ import annotations

import itertools
import random
from collections import Counter

import numpy as np
import pytest

from chamaleonet.flows.engine import Engine
from chamaleonet.flows.records import Role
from chamaleonet.flows.transitions import State
from tests.flows.playbook import settings as engine_settings
from tests.traffic import SECOND, SYN, Record, batch, ethernet, icmp_error, ip, ping, tcp, udp

C, S, ROUTER = "10.0.0.1", "192.0.2.1", "198.51.100.9"


class Watched:
    """An engine that has seen one pending flow of each kind."""

    flows = (tcp(C, S, SYN), udp(C, S), ping(C, S, 7), udp("fd00::1", "2001:db8::1"))

    def __init__(self):
        self.engine = Engine(engine_settings(), judged=tuple(State), packets=True)
        self.roles = Counter()
        self.see(0, *self.flows)

    def see(self, seconds, *packets):
        records = [Record(ethernet(packet), round(seconds * SECOND)) for packet in packets]
        events = 0
        for output in self.engine.judge(batch(records)):
            events += len(output.events)
            self.roles.update(output.packets["role"].tolist())
        return events

    def state(self):
        flows = self.engine.live_flows(tuple(State))
        return sorted(flow.tobytes() for flow in flows)


def nearly():
    """Yield errors that come near the flows' quotes, and what is wrong with each."""
    yield "another client port", icmp_error(ROUTER, udp(C, S, sport=40001))
    yield "another server port", icmp_error(ROUTER, udp(C, S, dport=54))
    yield "ports exchanged", icmp_error(ROUTER, udp(C, S, sport=53, dport=40000))
    yield "another client", icmp_error(ROUTER, udp("10.0.0.2", S))
    yield "another server", icmp_error(ROUTER, udp(C, "192.0.2.2"))
    yield "another protocol", icmp_error(ROUTER, ip(C, S, 132, udp(C, S)[20:]))
    yield "another identifier", icmp_error(ROUTER, ping(C, S, 8))
    yield "sent to another host", icmp_error(ROUTER, udp(C, S), to="10.0.0.2")
    yield "sent to the server", icmp_error(ROUTER, udp(C, S), to=S)
    yield "quote without ports", icmp_error(ROUTER, udp(C, S), quote=22)
    yield "quote cut in the header", icmp_error(ROUTER, udp(C, S), quote=12)
    yield "a later fragment", icmp_error(ROUTER, ip(C, S, 17, udp(C, S)[20:], fragment=64))
    yield "another version", icmp_error("2001:db8::9", udp("fd00::2", "2001:db8::1"))
    yield "another query kind", icmp_error(ROUTER, ip(C, S, 1, b"\x0d\0\0\0\0\x07\0\x01"))


@pytest.mark.parametrize(
    "error", [error for _, error in nearly()], ids=[why for why, _ in nearly()]
)
def test_an_error_that_does_not_quote_exactly_changes_no_flow(error):
    watched = Watched()
    before = watched.state()
    assert watched.see(1, error) == 0
    assert watched.state() == before
    assert watched.engine.summary()["orphans"] == 1
    assert watched.roles == {Role.ERROR: 1}  # it is evidence all the same


def test_an_error_that_quotes_a_reply_judges_nothing():
    watched = Watched()
    assert watched.see(1, icmp_error(ROUTER, udp(S, C, sport=53, dport=40000))) == 0
    flow = next(f for f in watched.engine.live_flows((State.PENDING,)) if f["kind"] >> 8 == 17)
    assert flow["icmp_type"] == 0
    assert watched.engine.summary()["orphans"] == 0


def test_a_flood_of_guessed_quotes_opens_nothing_and_takes_no_room():
    watched, random_ = Watched(), random.Random(1)
    before = watched.state()
    errors = [
        icmp_error(f"203.0.113.{random_.randrange(1, 255)}",
                   udp(C, S, sport=random_.randrange(1024, 40000), dport=53))
        for _ in range(20_000)
    ]  # fmt: skip
    assert watched.see(1, *errors) == 0
    assert watched.state() == before
    assert watched.engine.tracked_flows == len(watched.flows)
    assert watched.engine.summary()["orphans"] == len(errors)


def test_who_guesses_the_whole_quote_is_believed_and_who_sent_it_is_kept():
    """Off the path nobody knows the client's port: 28,000 guesses by the day's usual range."""
    watched = Watched()
    assert watched.see(1, icmp_error(ROUTER, udp(C, S))) == 1
    (flow,) = watched.engine.live_flows((State.ICMP_ERROR,))
    assert int(flow["sender_lo"]) == int.from_bytes(bytes(map(int, ROUTER.split("."))))


def probes(slots):
    """Return how far each entry of a hash table lies from its home."""
    at = np.flatnonzero(slots)
    home = (slots[at] >> np.uint64(32)).astype(np.int64) & len(slots) - 1
    return (at - home) % len(slots)


COUNT = 8192
FAMILIES = {
    "one port after the other": lambda i: udp(C, S, sport=1024 + i),
    "a port scan": lambda i: udp(C, S, dport=1 + i),
    "a sweep": lambda i: udp(C, f"192.0.{i >> 8}.{i & 255}"),
    "both ends alike": lambda i: udp(f"10.0.{i >> 8}.{i & 255}", f"192.0.{i >> 8}.{i & 255}"),
    "one bit in each word": lambda i: udp(
        f"10.{i & 15}.0.1", f"192.{i >> 4 & 15}.0.1", sport=1 << (i >> 8 & 15), dport=1 << (i >> 12)
    ),
    "IPv6 interfaces": lambda i: udp("fd00::1", f"2001:db8::{i:x}:0:0:1"),
    "IPv6 subnets": lambda i: udp("fd00::1", f"2001:db8:{i:x}::1"),
    "ICMP identifiers": lambda i: ping(C, S, i),
}


def engine_with(packets, keys=None):
    engine = Engine(engine_settings(max_flows=COUNT))
    if keys is not None:
        engine.decoder.keys = keys
        engine._table = engine._table._replace(keys=keys)
    list(engine.judge(batch([Record(ethernet(packet)) for packet in packets])))
    return engine


@pytest.mark.parametrize("family", FAMILIES)
def test_keys_in_a_row_do_not_crowd(family):
    """Half full, linear probing takes 0.5 steps on average (Knuth, section 6.4)."""
    engine = engine_with(map(FAMILIES[family], range(COUNT)))
    steps = probes(engine._table.slots)
    assert len(steps) >= COUNT * 0.9  # some families repeat themselves
    assert steps.mean() < 2
    assert steps.max() < 200


def test_keys_that_were_chosen_to_collide_do_not_under_another_secret():
    """Whoever knows one engine's secret can aim at a slot of it, and of no other."""
    first = Engine(engine_settings(max_flows=COUNT))
    packets = [udp(C, f"192.0.{i >> 8 & 255}.{i & 255}", sport=1024 + (i >> 16) * 7)
               for i in range(60_000)]  # fmt: skip
    hashes = first.decoder.decode(batch([Record(ethernet(packet)) for packet in packets]))["hash"]
    mask = 2 * COUNT - 1
    slot, _ = Counter((hashes & mask).tolist()).most_common(1)[0]
    near = (hashes & mask).astype(int) // 64 == slot // 64
    chosen = list(itertools.compress(packets, near.tolist()))
    assert len(chosen) > 100
    crowded = probes(engine_with(chosen, first.decoder.keys)._table.slots)
    spread = probes(engine_with(chosen)._table.slots)
    assert crowded.mean() > 20
    assert spread.mean() < 2
