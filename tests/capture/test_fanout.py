import contextlib
import select

import pytest

from chamaleonet.capture import fanout
from chamaleonet.capture.fanout import open_group
from chamaleonet.capture.ring import Ring
from chamaleonet.capture.spread import Secret, spreading
from chamaleonet.errors import UserError
from tests.capture.machine import received, run
from tests.capture.test_ring import taken
from tests.namespace import needs_root
from tests.traffic import ethernet, icmp_error, ping, pong, tcp, udp

pytestmark = [pytest.mark.root, needs_root]

SECRET = Secret(0x9E3779B9, 0x85EBCA6B, 0xC2B2AE35)


@contextlib.contextmanager
def rings(namespace, number):
    group = namespace.call(open_group, "near", number, 128, SECRET, retire=1)
    with contextlib.ExitStack() as opened:
        yield [opened.enter_context(Ring(member)) for member in group]


def frames():
    """Return frames of many flows: both directions, errors, tags."""
    found = []
    for n in range(60):
        for client, server, router in (
            (f"10.0.0.{n}", f"192.0.2.{n}", "198.51.100.1"),
            (f"fd00::{n:x}", f"2001:db8::{n:x}", "2001:db8:f::1"),
        ):
            request = udp(client, server)
            for packet in (
                request, udp(server, client, sport=53, dport=40000), icmp_error(router, request),
                tcp(client, server, 2), ping(client, server), pong(server, client),
            ):  # fmt: skip
                for tags in ((), ((0x8100, 5),), ((0x88A8, 7), (0x8100, 5))):
                    found.append(ethernet(packet, tags=tags))  # noqa: PERF401
    found.append(b"\2" * 12 + b"\x08\x06" + bytes(46))  # ARP
    return found


def by_ring(opened, count):
    """Wait for ``count`` frames and return those of each ring."""
    got = [[] for _ in opened]
    while sum(map(len, got)) < count:
        assert select.select(opened, [], [], 10)[0], f"{[len(each) for each in got]} of {count}"
        for ring, frames_of in zip(opened, got, strict=True):
            frames_of += [packet[0] for packet in taken(ring)]
    return got


@pytest.mark.parametrize("number", [2, 3])
def test_the_kernel_spreads_as_the_program_says(namespace, send, number):
    program = spreading(SECRET, 128)
    sent = frames()
    with rings(namespace, number) as opened:
        for frame in sent:
            send(frame)
        got = by_ring(opened, len(sent))
        for index, arrived in enumerate(got):
            expected = []
            for frame in sent:
                ethertype, packet = received(frame)
                if run(program, packet, ethertype) % number == index:
                    expected.append(frame)
            assert sorted(arrived) == sorted(expected)
            assert len(arrived) > len(sent) / number / 2
            assert opened[index].received == len(arrived)
            assert opened[index].dropped == 0


def test_the_ways_stay_when_the_interface_goes_down_and_up(namespace, send):
    sent = frames()
    with rings(namespace, 3) as opened:
        ways = []
        for _ in range(2):
            for frame in sent:
                send(frame)
            ways.append([sorted(arrived) for arrived in by_ring(opened, len(sent))])
            namespace.ip("link", "set", "near", "down")
            namespace.ip("link", "set", "near", "up")
            assert [taken(ring) for ring in opened] == [[]] * 3
        assert ways[0] == ways[1]


def test_whoever_takes_a_ring_over_goes_on_where_the_other_stopped(namespace, send):
    [member] = namespace.call(open_group, "near", 1, 128, SECRET, retire=1)
    with Ring(member) as first:
        batches = first.batches()
        for number in range(300):
            send(b"\2" * 12 + b"\x88\xb5" + number.to_bytes(2, "big") + bytes(1000))
            if number == 100:
                assert select.select([first], [], [], 10)[0]
                next(batches)  # and never hand it back, as one that is killed
        second = Ring(member)
        got = []
        while len(got) < 300:
            assert select.select([second], [], [], 10)[0], f"only {len(got)}"
            got += [int.from_bytes(packet[0][14:16], "big") for packet in taken(second)]
        assert got == list(range(300))


def test_a_missing_interface_is_named():
    with pytest.raises(UserError, match="nosuch0: cannot capture: No such device"):
        open_group("nosuch0", 2, 128, SECRET)


def test_a_kernel_without_such_groups_is_told_of(namespace, monkeypatch):
    monkeypatch.setattr(fanout, "_CBPF", 99)
    with pytest.raises(UserError, match="near: packets cannot be spread over processes: Invalid"):
        namespace.call(open_group, "near", 2, 128, SECRET)
