"""Options: what is kept of them, byte by byte."""

from __future__ import annotations

import struct
from ipaddress import IPv6Address

import pytest

from tests.log.anonymise.anonymous import NOTHING, anonymised
from tests.traffic import SYN, ethernet, icmp_error, ip, tcp

V4, V6 = ("10.0.0.1", "192.0.2.1"), ("2001:db8::1", "2001:db9::1")
WHERE = bytes([10, 11, 12, 13])  # an address
WHERE6 = IPv6Address("2001:db8::beef").packed
SCTP = bytes(range(12))  # its checksum is no business of ours


def padded(options, multiple=4):
    return options + bytes(-len(options) % multiple)


IPV4 = [
    (b"\x94\4\0\0", b"\x94\4\0\0"),  # router alert
    (b"\7\7\4" + WHERE + b"\0", b"\1" * 7 + b"\0"),  # record route
    (b"\x83\7\4" + WHERE + b"\1", b"\1" * 8),  # loose source route
    (b"\1\x89\x0b\4" + 2 * WHERE, b"\1" * 12),  # strict source route
    (b"\x44\x0c\5\1" + WHERE + bytes(4), b"\1" * 12),  # timestamps with addresses
    (b"\x52\x0c" + bytes(6) + WHERE, b"\1" * 12),  # traceroute
    (b"\x95\6" + WHERE + b"\0\0", b"\1" * 6 + b"\0\0"),  # selective directed broadcast
    (b"\1\x94\4\0\0\7\3\4\x94\4\0\0\0\0\0", b"\1\x94\4\0\0\1\1\1\x94\4\0\0\0\0\0"),
    (b"\0" + b"\7" + WHERE + b"\1\1", bytes(8)),  # behind the end of the list
    (b"\x94\4\0\0\7\1" + WHERE + b"\1\1", b"\x94\4\0\0" + bytes(8)),  # shorter than itself
    (b"\x94\4\0\0\7\x0d" + WHERE + b"\1\1", b"\x94\4\0\0" + bytes(8)),  # longer than the header
    (b"\1\1\1\7", b"\1\1\1\0"),  # no room for its length
]

TCP = [
    (b"\2\4\5\xb4\4\2\x08\x0a12345678\1\3\3\7", b"\2\4\5\xb4\4\2\x08\x0a12345678\1\3\3\7"),
    (b"\1\1\5\x0a12345678", b"\1\1\5\x0a12345678"),  # SACK
    (b"\x1e\x08\x30\1" + WHERE, b"\1" * 8),  # Multipath TCP: ADD_ADDR
    (b"\x1e\x14\x30\1" + WHERE6, b"\1" * 20),
    (b"\x22\x0acookies!", b"\1" * 10),  # Fast Open
    (b"\x13\x12" + bytes(16), b"\1" * 18),  # MD5
    (b"\xfe\x06" + WHERE, b"\1" * 6),  # an experiment
    (b"\2\4\5\xb4\0" + WHERE, b"\2\4\5\xb4" + bytes(5)),  # behind the end of the list
    (b"\2\4\5\xb4\x1e\1" + WHERE, b"\2\4\5\xb4" + bytes(6)),
    (b"\2\4\5\xb4\x1e\x28" + WHERE, b"\2\4\5\xb4" + bytes(6)),
]

IPV6 = [
    (b"\5\2\0\0\1\0", b"\5\2\0\0\1\0"),  # router alert
    (b"\xc2\4\0\1\0\0", b"\xc2\4\0\1\0\0"),  # jumbo payload
    (b"\4\1\5\0\0\0", b"\4\1\5\0\0\0"),  # tunnel encapsulation limit
    (b"\0\0\xc9\x10" + WHERE6 + b"\1\0", b"\0\0\1\x10" + bytes(16) + b"\1\0"),  # home address
    (b"\1\4" + WHERE, b"\1\4" + bytes(4)),  # padding that is none
    (b"\x3e\4" + WHERE, b"\1\4" + bytes(4)),  # an experiment
    (b"\5\2\0\0\x3e\x0a" + WHERE + WHERE, b"\5\2\0\0" + bytes(10)),  # longer than the header
    (b"\0\0\0\0\0\x3e", bytes(6)),  # no room for its length
]


def with_ipv4(options):
    return ip(*V4, 132, SCTP, options=padded(options))


def with_tcp(options):
    return tcp(*V4, SYN, options=padded(options))


def with_ipv6(options, kind=60):
    options += bytes(-(len(options) + 2) % 8)
    return ip(*V6, kind, bytes([132, len(options) // 8]) + options + SCTP)


CASES = [
    *((with_ipv4, *case) for case in IPV4),
    *((with_tcp, *case) for case in TCP),
    *((with_ipv6, *case) for case in IPV6),
    *((lambda options: with_ipv6(options, 0), *case) for case in IPV6),
]


def without_checksums(packet):
    """Return an IP packet with its header's and TCP's checksum zeroed."""
    result = bytearray(packet)
    if packet[0] >> 4 == 4:
        result[10:12] = bytes(2)
        if packet[9] == 6:
            at = (packet[0] & 15) * 4 + 16
            result[at : at + 2] = bytes(2)
    return bytes(result)


@pytest.mark.parametrize(("build", "before", "after"), CASES)
def test_options(build, before, after):
    expected = build(after)
    assert without_checksums(anonymised(build(before), by=NOTHING)) == expected
    # In what an ICMP error quotes, too.
    sender = "192.0.2.9" if expected[0] >> 4 == 4 else "2001:db9::9"
    error = anonymised(icmp_error(sender, build(before), quote=200), by=NOTHING)
    assert without_checksums(error[-len(expected) :]) == expected


def routing(kind, left, body):
    return ip(*V6, 43, bytes([132, len(body) // 8, kind, left]) + body + SCTP)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (0, bytes(4) + WHERE6 + WHERE6),
        (2, bytes(4) + WHERE6),
        (3, b"\x99\0\0\0" + WHERE6),  # RPL: compressed addresses
        (4, b"\1\0\0\0" + WHERE6 + WHERE6),  # segment routing
        (253, b"what" + WHERE6),  # an experiment
    ],
)
def test_a_routing_header_keeps_its_type_and_length(kind, body):
    expected = routing(kind, 0, bytes(len(body)))
    for left in (0, 1, 2):
        packet = routing(kind, left, body)
        assert anonymised(packet, by=NOTHING) == expected
        error = anonymised(icmp_error("2001:db9::9", packet, quote=200), by=NOTHING)
        assert error[48:] == expected


def test_other_extensions_stay_as_they_are():
    chain = b"\x33\0\0\1frag" + b"\x84\1\0\0" + b"\0\1\2\3" + b"\4\5\6\7" + SCTP
    chain = ip(*V6, 44, chain)
    assert anonymised(chain, by=NOTHING) == chain


@pytest.mark.parametrize(("long_sequence", "header"), [(0, 12), (1, 16)])
def test_behind_the_generic_header_of_dccp_all_is_zero(long_sequence, header):
    generic = struct.pack(">HHBBHB", 1, 2, 6, 0, 0, long_sequence) + b"\1" * (header - 9)
    packet = ip(*V4, 33, generic + b"\2" * (24 - header) + b"payload")
    kept = anonymised(packet, by=NOTHING)[20:]
    assert kept[:6] + bytes(2) + kept[8:] == generic + bytes(24 - header)


@pytest.mark.parametrize(("build", "before", "after"), CASES)
def test_options_that_are_cut_tell_nothing(build, before, after):
    """Where an option is cut, what is left of it is blanked, if it is not kept anyway."""
    frame = ethernet(build(before))
    whole = anonymised(frame, 1, NOTHING)
    for length in range(len(frame)):
        cut = anonymised(frame[:length], 1, NOTHING)
        # Each byte is what it is in the whole packet, or blank; or of a checksum.
        assert len(cut) <= length
        at = 14 + (frame[14] & 15) * 4 + 16
        checksums = {24, 25, at, at + 1} if frame[14] >> 4 == 4 else set()
        for i, (left, right) in enumerate(zip(cut, whole, strict=False)):
            assert left in (right, 0) or i in checksums
