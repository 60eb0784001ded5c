"""Packets with other addresses: which bytes change, and that no other place tells an address."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chamaleonet.flows.headers import BIT_QUOTED, Counted
from chamaleonet.log.anonymise.anonymiser import Anonymiser
from tests.flows.test_decode import LINKS, _damaged, decode
from tests.log.anonymise.anonymous import ALL, INTERNAL, KEY, NOTHING, SOME, anonymised, mapped
from tests.log.anonymise.test_blank import CASES
from tests.traffic import ACK, SYN, ethernet, icmp, icmp_error, ip, ping, tcp, udp

A, B, A6, B6 = "10.1.2.3", "192.0.2.9", "2001:db8::1", "2001:db9::2"
KEEPS_MACS = Anonymiser(KEY, internal=INTERNAL, macs="keep")


def packed(*texts):
    return b"".join(ip_address(text).packed for text in texts)


@pytest.mark.parametrize(
    ("packet", "by", "expected"),
    [
        (udp(A, B), SOME, udp(mapped(A), B)),
        (udp(B, A), SOME, udp(B, mapped(A))),
        (udp(A, B), ALL, udp(mapped(A), mapped(B))),
        (udp(B, B), SOME, udp(B, B)),
        (udp(A6, B6), SOME, udp(mapped(A6), B6)),
        (udp(B6, A6), ALL, udp(mapped(B6), mapped(A6))),
        (icmp_error(B, udp(A, B)), SOME, icmp_error(B, udp(mapped(A), B))),
        (icmp_error(B, udp(A, B)), ALL, icmp_error(mapped(B), udp(mapped(A), mapped(B)))),
        (icmp_error(A6, udp(B6, A6)), SOME, icmp_error(mapped(A6), udp(B6, mapped(A6)))),
        (ip(A, B, 17, fragment=7), SOME, ip(mapped(A), B, 17, fragment=7)),
        (udp(A, "255.255.255.255"), ALL, udp(mapped(A), "255.255.255.255")),
        (udp("::", "ff02::1"), ALL, udp("::", "ff02::1")),
    ],
)
def test_addresses_are_mapped_where_they_stand(packet, by, expected):
    kept = anonymised(packet, by=by)

    def without_checksums(data):
        """Return a packet with the checksums of IPv4 headers, ICMP and UDP zeroed."""
        data, at = bytearray(data[: len(kept)]), 0
        while at < len(data):
            header, protocol = (40, data[at + 6]) if data[at] >> 4 == 6 else (20, data[at + 9])
            if header == 20:
                data[at + 10 : at + 12] = bytes(2)
            at += header
            field = at + (6 if protocol == 17 else 2)
            data[field : field + 2] = bytes(len(data[field : field + 2]))
            at += 8
        return bytes(data)

    assert without_checksums(kept) == without_checksums(expected)


MAC = bytes.fromhex("02a1b2c3d4e5")
FRAMES = [
    (1, MAC + MAC + b"\x08\x00", bytes(12) + b"\x08\x00"),
    (1, MAC + MAC + b"\x81\0\0\7\x08\x00", bytes(12) + b"\x81\0\0\7\x08\x00"),
    (
        1,
        MAC + MAC + b"\x88\xa8\0\5\x81\0\0\7\x08\x00",
        bytes(12) + b"\x88\xa8\0\5\x81\0\0\7\x08\x00",
    ),
    (113, b"\0\0\0\1\0\6" + MAC + b"xy\x08\0", b"\0\0\0\1\0\6" + bytes(8) + b"\x08\0"),
    (
        276,
        b"\x08\0\0\0\0\0\0\3\0\1\0\6" + MAC + b"xy",
        b"\x08\0\0\0\0\0\0\3\0\1\0\6" + bytes(8),
    ),
    (0, b"\2\0\0\0", b"\2\0\0\0"),
    (108, b"\0\0\0\2", b"\0\0\0\2"),
    (101, b"", b""),
    (228, b"", b""),
]


@pytest.mark.parametrize(("link", "header", "zeroed"), FRAMES)
def test_mac_addresses(link, header, zeroed):
    packet = udp(A, B)
    kept = anonymised(packet, 101)
    for payload in (packet, packet[:9]):  # also where no IP header is left
        rest = kept if payload is packet else b""
        assert anonymised(header + payload, link) == zeroed + rest
        assert anonymised(header + payload, link, KEEPS_MACS) == header + rest


# Bytes that come from nowhere else, to be looked for.
PLANT = bytes([10, 0xE7, 0xD8, 0xC9])
PLANT6 = bytes.fromhex("20010db8 f0e1d2c3 b4a59687 78695a4b")
MAC_PLANT = bytes.fromhex("02f3e4d5c6b7")
HOST, HOST6 = str(ip_address(PLANT)), str(ip_address(PLANT6))
_NAT64 = str(ip_address(b"\0\x64\xff\x9b" + bytes(8) + PLANT))
_6TO4 = str(ip_address(b"\x20\x02" + PLANT + bytes(10)))
_LINK_LOCAL = str(ip_address(b"\xfe\x80" + bytes(6) + PLANT6[8:]))
_IPV4_OPTIONS = (
    b"\7\x0b\x0c" + 2 * PLANT + b"\0",
    b"\x83\x0b\4" + 2 * PLANT + b"\0",
    b"\x89\x0b\4" + 2 * PLANT + b"\0",
    b"\x44\x0c\x0d\1" + 2 * PLANT,
    b"\x52\x0c" + bytes(6) + PLANT,
    b"\x95\6" + PLANT + b"\0\0",
    b"\x1f\x08" + PLANT + b"xx",
    b"\0" + PLANT + PLANT[:3],
)
_ROUTING = (
    b"\x11\2\0\1" + bytes(4) + PLANT6,
    b"\x11\4\0\2" + bytes(4) + 2 * PLANT6,
    b"\x11\2\2\1" + bytes(4) + PLANT6,
    b"\x11\2\3\1\x99\0\0\0" + PLANT6,
    b"\x11\2\4\1\0\0\0\0" + PLANT6,
    b"\x11\2\x63\1" + bytes(4) + PLANT6,
)
_DESTINATION = (
    b"\x11\2\xc9\x10" + PLANT6 + b"\1\2\0\0",
    b"\x11\2\1\4" + PLANT + PLANT6[8:] + PLANT6[8:14],
    b"\x11\2\x3e\x14" + PLANT + PLANT6,
    b"\x11\2\0\0\0\x55\x40" + PLANT6 + b"x",
)
_TCP_OPTIONS = (
    b"\x1e\x08\x30\1" + PLANT,
    b"\x1e\x14\x30\1" + PLANT6,
    b"\xfd\x08xx" + PLANT,
    b"\0\0\0\0" + PLANT6,
    b"\x22\x12" + PLANT6 + b"\0\0",
)
_UDP = struct.pack(">HHHH", 1, 2, 8, 7)
PLANTED = [
    udp(HOST, B), udp(B, HOST), tcp(HOST, B, SYN), ping(HOST, B),
    udp(HOST6, B6), udp(B6, HOST6), tcp(B6, HOST6, SYN | ACK), ping(HOST6, B6),
    udp(_NAT64, B6), udp(B6, _6TO4), udp(_LINK_LOCAL, B6),
    *(ip(HOST, B, 17, _UDP, options=options) for options in _IPV4_OPTIONS),
    *(ip(HOST6, B6, 43, routing + _UDP) for routing in _ROUTING),
    *(ip(B6, HOST6, kind, options + _UDP) for kind in (0, 60) for options in _DESTINATION),
    *(tcp(HOST, B, SYN, options=options) for options in _TCP_OPTIONS),
    *(tcp(HOST6, B6, SYN, options=options) for options in _TCP_OPTIONS),
    udp(HOST, B, payload=PLANT6), icmp(HOST, B, 5, 1, rest=PLANT, payload=PLANT6),
    icmp(B6, HOST6, 137, rest=PLANT, payload=PLANT6), ip(HOST6, B6, 50, PLANT6),
]  # fmt: skip
PLANTED += [
    icmp_error(*(("192.0.2.77", each) if each[0] >> 4 == 4 else ("2001:db9::77", each)), quote=200)
    for each in PLANTED
]


def tells(data):
    """Return whether three bytes of a planted address, or of the MAC, follow each other."""
    return any(
        plant[i : i + 3] in data
        for plant in (PLANT, PLANT6[4:], MAC_PLANT)
        for i in range(len(plant) - 2)
    )


@pytest.mark.parametrize("by", [SOME, ALL], ids=["some", "all"])
@pytest.mark.parametrize("packet", PLANTED)
def test_no_place_tells_an_address_wherever_the_packet_is_cut(packet, by):
    frame = bytearray(ethernet(packet, tags=[(0x8100, 5)]))
    frame[:12] = 2 * MAC_PLANT
    assert tells(frame[12:])
    for length in range(len(frame) + 1):
        assert not tells(anonymised(frame[:length], 1, by))
    if packet[0] >> 4 == 6:
        assert not tells(anonymised(b"\x86\xdd" + bytes(18) + packet, 276, by))
    else:
        assert not tells(anonymised(b"\0\0\0\1\0\6" + MAC_PLANT + b"\0\0\x08\0" + packet, 113, by))


def _packets():
    planted = st.sampled_from([*PLANTED, *(build(before) for build, before, _ in CASES)])
    return st.builds(
        lambda packet, changes, length: _changed(packet, changes)[:length],
        planted,
        st.lists(st.tuples(st.integers(0, 199), st.integers(0, 255)), max_size=4),
        st.integers(0, 200),
    )


def _changed(packet, changes):
    result = bytearray(packet)
    for at, value in changes:
        result[at % len(result)] = value
    return bytes(result)


ANY = _packets() | _damaged() | st.binary(max_size=120)


@settings(max_examples=1000, deadline=None)
@given(ANY, st.sampled_from(LINKS), st.booleans())
def test_any_bytes_stay_what_they_were(data, link, framed):
    """The decoder sees the same flow afterwards, and a second time nothing more is changed."""
    if framed:
        data, link = ethernet(data), 1
    kept = anonymised(data, link, NOTHING)
    before, after = decode(data, link), decode(kept, link)
    names = ["counted", "vlan", "cut", "network", "bits"]
    if before["counted"] == Counted.ICMP_ERRORS:
        names += ["icmp_type", "icmp_code"]
    if before["counted"] == Counted.FLOW_PACKETS or before["bits"] & BIT_QUOTED:
        names += ["low_hi", "low_lo", "high_hi", "high_lo", "ports", "kind"]
    if before["counted"] in (Counted.FLOW_PACKETS, Counted.ICMP_ERRORS):
        assert before[names] == after[names]
    assert anonymised(kept, link, NOTHING) == kept
    assert len(anonymised(data, link, ALL)) == len(kept)


def test_no_access_outside_the_captured_bytes():
    """The same with Numba's bounds checks on, each packet alone in its buffer."""
    code = """
import numpy as np
from hypothesis import given, settings, strategies as st
from chamaleonet.log.anonymise.addresses import ADDRESS
from chamaleonet.log.anonymise.layout import LAYOUT, lay_out
from tests.log.anonymise import test_rewrite as t
from tests.log.anonymise.anonymous import captured

@settings(max_examples=3000, deadline=None, database=None)
@given(t.ANY, st.sampled_from(t.LINKS), st.booleans(), st.sampled_from([t.SOME, t.ALL]))
def test(data, link, framed, by):
    t.anonymised(t.ethernet(data) if framed else data, 1 if framed else link, by)

test()

packets, data = captured(t.udp(t.A, t.B), 101)
try:  # and the checks are really on
    lay_out(
        packets, data, np.empty(27, np.uint8), 0, np.empty(1, LAYOUT), np.empty((1, 4), ADDRESS)
    )
except IndexError:
    print("checked")
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"NUMBA_BOUNDSCHECK": "1"}, capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    assert done.stdout == "checked\n", done.stderr[-2000:]
