import ipaddress
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chamaleonet.capture import bpf
from chamaleonet.capture.spread import MOST_SNAPLEN, Secret, spreading, ways
from tests.capture.machine import WORD, received, run
from tests.traffic import (
    ACK,
    SYN,
    ethernet,
    icmp,
    icmp_error,
    ip,
    ping,
    pong,
    tcp,
    udp,
)  # fmt: skip

SECRET = Secret(0x9E3779B9, 0x85EBCA6B, 0xC2B2AE35)
PROGRAM = spreading(SECRET, 128)
PAIRS = [("10.0.0.1", "192.0.2.7"), ("fd00::1", "2001:db8::7")]
ROUTERS = {"10.0.0.1": "198.51.100.9", "fd00::1": "2001:db8:f::9"}
HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION, DESTINATION = 0, 43, 44, 51, 60


def hash_address(address):
    """The hash as the docstrings have it."""
    packed, value = ipaddress.ip_address(address).packed, 0
    for (word,) in struct.iter_unpack(">I", packed):
        value = ((word + value ^ SECRET.key) * SECRET.first) & WORD
        value ^= value >> 16
        value = value * SECRET.second & WORD
        value ^= value >> 15
    return value


def pair(one, other):
    value = hash_address(one) + hash_address(other) & WORD
    return value ^ value >> 16


def spread(packet, *, tags=(), snaplen=128):
    ethertype, seen = received(ethernet(packet, tags=tags)[:snaplen])
    return run(PROGRAM, seen, ethertype)


@pytest.fixture(params=PAIRS, ids=["IPv4", "IPv6"])
def ends(request):
    return request.param


def test_both_directions_and_all_protocols_go_the_same_way(ends):
    one, other = ends
    for packet in (
        tcp(one, other, SYN), tcp(other, one, SYN | ACK), udp(one, other), udp(other, one, sport=1),
        ping(one, other), pong(other, one), ip(one, other, 47, b"\0\0\x08\0"),
    ):  # fmt: skip
        assert spread(packet) == pair(one, other) == pair(other, one)


def test_an_icmp_error_goes_the_way_of_the_packet_it_quotes(ends):
    one, other = ends
    router = ROUTERS[one]
    for quoted in (tcp(one, other, SYN), udp(one, other), ping(one, other)):
        for type_ in (3, 11, 12) if ":" not in one else (1, 3, 4):
            error = icmp_error(router, quoted, type_=type_, code=1)
            assert spread(error) == pair(one, other) != pair(router, one)


def test_other_icmp_goes_its_own_way(ends):
    one, other = ends
    for type_ in (0, 5, 8) if ":" not in one else (2, 128, 135):
        message = icmp(other, one, type_, payload=udp("10.0.0.3", "10.0.0.4"))
        assert spread(message) == pair(one, other)


def test_options_are_stepped_over():
    one, other = PAIRS[0]
    quoted = ip(one, other, 17, struct.pack(">HHHH", 1, 2, 8, 0), options=b"\x01" * 40)
    error = ip(ROUTERS[one], one, 1, b"\x03\x03" + bytes(6) + quoted, options=b"\x01" * 12)
    assert spread(error) == pair(one, other)


@pytest.mark.parametrize("tags", [[(0x8100, 5)], [(0x88A8, 5), (0x8100, 6)], [(0x8100, 1)] * 9])
def test_tags_are_stepped_over(ends, tags):
    assert spread(udp(*ends), tags=tags) == pair(*ends)


def extension(kind, following, size):
    """Return an extension header of about ``size`` bytes."""
    if kind == FRAGMENT:
        return bytes([following]) + bytes(7)
    unit, less = (4, 2) if kind == AUTHENTICATION else (8, 1)
    units = max(size // unit, less)
    return bytes([following, units - less]) + bytes(units * unit - 2)


@pytest.mark.parametrize(
    "chain",
    [
        [HOP_BY_HOP], [ROUTING], [FRAGMENT], [AUTHENTICATION], [DESTINATION],
        [HOP_BY_HOP, DESTINATION, ROUTING, FRAGMENT, AUTHENTICATION, DESTINATION],
        [DESTINATION] * 50,
    ],
)  # fmt: skip
@pytest.mark.parametrize("size", [8, 24])
def test_ipv6_extension_headers_are_stepped_over(chain, size):
    (one, other), router = PAIRS[1], ROUTERS[PAIRS[1][0]]
    inner = icmp_error(router, udp(one, other))[40:]
    following = [*chain[1:], 58]
    headers = b"".join(
        extension(kind, after, size) for kind, after in zip(chain, following, strict=True)
    )
    packet = ip(router, one, chain[0], headers + inner)
    deep = spreading(SECRET, MOST_SNAPLEN)
    frame = ethernet(packet)
    if len(frame) <= MOST_SNAPLEN:
        assert run(deep, frame[14:], 0x86DD) == pair(one, other)
    else:  # it reads beyond what is there, or finds what is there to be no ICMP
        assert run(deep, frame[14:MOST_SNAPLEN], 0x86DD) in (0, pair(router, one))


@pytest.mark.parametrize("packet", [b"", b"\x45", b"\x60" * 39, udp(*PAIRS[0])[:19]])
def test_what_is_cut_goes_to_the_first(packet):
    assert spread(packet) == 0


def test_what_is_not_ip_goes_to_the_first():
    assert run(PROGRAM, bytes(60), 0x0806) == 0


def test_flows_are_spread_evenly_and_by_another_secret_otherwise():
    packets = [udp(f"10.0.{n // 250}.{n % 250}", "192.0.2.1") for n in range(2000)]
    ways = []
    for _ in range(2):
        program = spreading(Secret.new(), 128)
        ways.append([run(program, packet, 0x0800) for packet in packets])
        for number in (2, 3, 4):
            for index in range(number):
                share = sum(way % number == index for way in ways[-1])
                assert share == pytest.approx(len(packets) / number, rel=0.3)
    assert ways[0] != ways[1]


@given(
    st.lists(
        st.tuples(st.ip_addresses(v=4), st.ip_addresses(v=4))
        | st.tuples(st.ip_addresses(v=6), st.ip_addresses(v=6)),
        min_size=1,
    )
)
def test_the_way_of_a_pair_is_known_without_a_packet(pairs):
    columns = []
    for ends in zip(*pairs, strict=True):
        words = [divmod(int(end), 1 << 64) for end in ends]
        columns.append(tuple(np.array(each, np.uint64) for each in zip(*words, strict=True)))
    is_ipv4 = np.array([one.version == 4 for one, _ in pairs])
    found = ways(SECRET, is_ipv4, *columns).tolist()
    assert found == [pair(str(one), str(other)) for one, other in pairs]


def test_the_program_fits_into_the_kernel():
    assert len(spreading(SECRET, MOST_SNAPLEN)) <= bpf.MOST_INSTRUCTIONS
