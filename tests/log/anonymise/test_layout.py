"""Where packets are cut: behind the last header that can be read."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chamaleonet.flows.headers import BIT_QUOTED, Counted
from chamaleonet.flows.records import CAPTURED
from tests.flows.test_decode import LINKS, _damaged, decode
from tests.log.anonymise.anonymous import NOTHING, anonymised
from tests.traffic import SYN, ethernet, icmp, icmp_error, ip, sctp, tcp, udp

V4, V6 = ("10.0.0.1", "192.0.2.1"), ("2001:db8::1", "2001:db9::1")


@settings(max_examples=500, deadline=None)
@given(_damaged() | st.binary(max_size=120), st.sampled_from(LINKS), st.booleans())
def test_cuts_where_the_decoder_cuts(data, link, framed):
    if framed:
        data, link = ethernet(data), 1
    header = decode(data, link)
    kept = len(anonymised(data, link, NOTHING))
    if header["counted"] == Counted.FLOW_PACKETS:
        assert kept == header["cut"]
    elif header["counted"] == Counted.ICMP_ERRORS:
        # Of a quoted header that tells no flow, the decoder keeps nothing.
        tied = header["bits"] & BIT_QUOTED
        assert 0 <= kept - header["cut"] <= (0 if tied else 8)
    elif header["counted"] == Counted.NON_IP:
        assert kept == 0
    assert kept <= len(data)


@pytest.mark.parametrize("ends", [V4, V6], ids=["IPv4", "IPv6"])
def test_what_is_kept_of_a_packet(ends):
    header = 20 if ends is V4 else 40
    echo, redirect, error = (8, 5, 3) if ends is V4 else (128, 137, 1)
    sender, back = "192.0.2.9" if ends is V4 else "2001:db9::9", ends[::-1]
    for packet, kept in (
        (tcp(*ends, SYN, options=b"\1" * 8, payload=b"payload"), 28),
        (udp(*ends), 8),
        (sctp(*ends), 12),
        (icmp(*ends, echo, payload=b"payload"), 8),
        (ip(*ends, 47, b"tunnel"), 0),
        (icmp(*ends, 42, payload=b"unknown"), 0),
        (icmp(*ends, redirect, rest=b"gate"), 0),
        (icmp(*ends, 135, payload=bytes(16)), 0),  # neighbour solicitation
        (icmp_error(sender, udp(*ends), quote=99), 8 + header + 8),
        (icmp_error(sender, tcp(*ends, SYN, payload=b"payload"), quote=99), 8 + header + 20),
        (icmp_error(sender, icmp(*ends, echo, payload=b"payload"), quote=99), 8 + header + 8),
        (icmp_error(sender, icmp(*ends, 42), quote=99), 8 + header),
        (icmp_error(sender, icmp_error(ends[0], udp(*back)), quote=99), 8 + header + 8),
        (icmp_error(sender, udp(*ends), quote=header - 1), 8),
        (icmp(*ends, error, payload=b"\x90" + udp(*ends)[1:]), 8),  # quotes IP version 9
        (icmp(*ends, error, rest=b"")[: header + 3], 3),
    ):
        assert len(anonymised(packet)) == header + kept, packet


def test_what_is_no_ip_is_not_kept():
    arp = b"\2" * 12 + b"\x08\x06" + bytes(28)
    assert anonymised(arp, 1) == b""
    assert anonymised(b"", 1) == b""
    assert anonymised(ethernet(udp(*V4))[:13], 1) == b""
    assert anonymised(udp(*V4), 147) == b""  # a link type that nobody knows


def test_an_ip_header_that_is_not_whole_is_not_kept():
    frame = ethernet(udp(*V4))
    for length in range(14, 34):
        assert anonymised(frame[:length], 1, NOTHING) == bytes(12) + b"\x08\x00"
    frame = ethernet(udp(*V6))
    for length in range(14, 54):
        assert len(anonymised(frame[:length], 1)) == 14
    # An extension that is cut goes, what is before it stays.
    chain = ip(*V6, 0, b"\x3c\0" + bytes(6) + b"\x11\1" + bytes(14) + bytes(8))
    assert [len(anonymised(chain[:length])) for length in (47, 48, 63, 64, 65)] == [
        40, 48, 48, 64, 65
    ]  # fmt: skip


def test_only_the_bytes_of_the_packets_are_handed_on():
    one, two = udp(*V4), tcp(*V4, SYN)
    packets = np.zeros(2, CAPTURED)
    data = b"SECRET" + two + b"SECRET" + one + b"SECRET"
    packets["link"], packets["length"] = 101, (len(one), len(two))
    packets["offset"] = 12 + len(two), 6
    packets["wire_length"] = 900, 901
    changed, out = NOTHING.packets(packets, np.frombuffer(data, np.uint8))
    assert changed["offset"].tolist() == [0, 28]
    assert changed["length"].tolist() == [28, 40]
    assert changed["wire_length"].tolist() == [900, 901]
    assert len(out) == 68
    assert struct.unpack(">H", out[20:22]) == (40000,)
    assert struct.unpack(">H", out[28 + 22 : 28 + 24]) == (80,)
