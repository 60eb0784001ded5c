"""Packets with other addresses: the same verdicts, right checksums, and whole."""

from __future__ import annotations

import ipaddress
import logging
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

logging.getLogger("scapy").setLevel(logging.ERROR)

from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_LSRR  # noqa: E402
from scapy.layers.inet6 import (  # noqa: E402
    ICMPv6EchoRequest,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
)
from scapy.packet import Raw  # noqa: E402

from chamaleonet.flows.headers import Counted  # noqa: E402
from chamaleonet.flows.transitions import State  # noqa: E402
from chamaleonet.lab.frames import MTU, addresses, rewritten  # noqa: E402
from tests.captures import CAPTURES, needs_captures  # noqa: E402
from tests.flows.playbook import Played  # noqa: E402
from tests.flows.playbook import ends as ends_of  # noqa: E402
from tests.flows.test_decode import _damaged, decode  # noqa: E402
from tests.flows.test_engine import _records, _sequences  # noqa: E402
from tests.log.anonymise.anonymous import internet_sum, transport_sum  # noqa: E402
from tests.traffic import SYN, Record, icmp_error, ip, sctp, tcp, udp  # noqa: E402

V4, V6 = ("10.0.0.1", "192.0.2.1"), ("fd00::1", "2001:db8::1")
RAW = 101
SAME = (
    "first", "last", "judged", "client_packets", "server_packets", "attempts", "reply_delay",
    "icmp_type", "icmp_code",
)  # fmt: skip
KEPT = (Counted.FLOW_PACKETS, Counted.ICMP_ERRORS, Counted.ICMP_INFO)


class Moved(dict):
    """Gives each address another one, of a network that no test uses."""

    def __missing__(self, address):
        self[address] = (
            (ipaddress.ip_address("100.64.0.1") + len(self)).packed
            if len(address) == 4
            else (ipaddress.ip_address("2001:db8:100::1") + len(self)).packed
        )
        return self[address]


def moved(record, new):
    """Return a record with other addresses; one that is counted as no packet of a host stays."""
    header = decode(record.data, record.link)
    if header["counted"] not in KEPT:
        return None
    at = int(header["network"])
    packet = rewritten(record.data[at:], record.on_wire - at, new)
    return Record(packet, record.time, RAW, len(packet))


def told(played, new):
    """Return what became of each flow, but for its bytes and VLAN, by its ends in ``new``."""
    return sorted(
        (
            State(flow["state"]).label,
            *((new(address.packed), port) for address, port in ends_of(flow)),
            *(int(flow[name]) for name in SAME),
        )
        for _, _, flow in played.ended
    )


def same_verdicts(records):
    new = Moved()
    kept = [(record, moved(record, new)) for record in records]
    before = Played([record for record, other in kept if other])
    after = Played([other for _, other in kept if other])
    for name in ("flows", "verdicts", "icmp_errors", "icmp_info", "orphans", "flow_packets"):
        assert after.summary[name] == before.summary[name], name
    assert told(after, lambda address: address) == told(before, new.__getitem__)


@settings(max_examples=150, deadline=None)
@given(_sequences(), st.integers(14, 90))
def test_the_verdicts_stay(records, snaplen):
    same_verdicts(records)
    same_verdicts(
        [Record(each.data[:snaplen], each.time, each.link, each.on_wire) for each in records]
    )


@needs_captures
@pytest.mark.parametrize("name", CAPTURES)
def test_the_verdicts_of_captures_stay(name):
    same_verdicts(_records(CAPTURES[name]))


@settings(max_examples=500, deadline=None)
@given(_damaged(), st.integers(0, 2000))
def test_any_packet_that_counts_becomes_a_whole_one(data, more):
    header = decode(data, RAW)
    if header["counted"] not in KEPT:
        return
    packet = rewritten(data, len(data) + more, Moved())
    after = decode(packet, RAW)
    assert after["counted"] == header["counted"]
    assert len(packet) <= MTU
    check(packet)


def check(packet):
    """Check lengths and checksums of an IP packet without options."""
    if packet[0] >> 4 == 4:
        assert packet[0] == 0x45
        assert struct.unpack_from("!H", packet, 2) == (len(packet),)
        assert internet_sum(packet[:20]) == 0xFFFF
        assert packet[6] & 0x3F == packet[7] == 0  # no fragment
        at, protocol, ttl = 20, packet[9], packet[8]
    else:
        assert struct.unpack_from("!H", packet, 4) == (len(packet) - 40,)
        at, protocol, ttl = 40, packet[6], packet[7]
    assert ttl >= 64
    if protocol in (6, 17, 58 if at == 40 else 1):
        assert transport_sum(packet, protocol, at) == 0xFFFF
    if protocol == 17:
        assert struct.unpack_from("!H", packet, at + 4) == (len(packet) - at,)
    if protocol == 6:
        assert 20 <= (packet[at + 12] >> 4) * 4 <= len(packet) - at


NETWORKS = {
    "IPv4": IP(src=V4[0], dst=V4[1], ttl=3),
    "source route": IP(src=V4[0], dst=V4[1], options=[IPOption_LSRR(routers=["10.9.9.9"])]),
    "first fragment": IP(src=V4[0], dst=V4[1], flags="MF"),
    "IPv6": IPv6(src=V6[0], dst=V6[1], hlim=3),
    "options": IPv6(src=V6[0], dst=V6[1]) / IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt(),
    "routing": IPv6(src=V6[0], dst=V6[1]) / IPv6ExtHdrRouting(addresses=["fd00::9"], segleft=0),
    "first fragment, IPv6": IPv6(src=V6[0], dst=V6[1]) / IPv6ExtHdrFragment(m=1),
}  # fmt: skip
TRANSPORTS = {
    "tcp": TCP(sport=1, dport=2, flags="S", options=[("MSS", 1460)]),
    "udp": UDP(sport=1, dport=2),
    "echo": None,
}


def built(network, transport, payload):
    layer = TRANSPORTS[transport]
    if layer is None:
        layer = ICMPv6EchoRequest(id=5) if NETWORKS[network].version == 6 else ICMP(id=5)
    return bytes(NETWORKS[network] / layer / Raw(payload))


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("payload", [b"", b"odd", bytes(range(256)) * 4])
def test_a_packet_is_what_scapy_would_send(network, transport, payload):
    packet = built(network, transport, payload)
    new = Moved()
    sent = rewritten(packet, len(packet), new)
    check(sent)
    read = (IP if sent[0] >> 4 == 4 else IPv6)(sent)
    assert sent.endswith(payload)
    # Scapy sums anew what it is asked to forget.
    again = read.copy()
    for layer in (IP, TCP, UDP, ICMP, ICMPv6EchoRequest):
        if layer in again:
            for field in ("chksum", "cksum", "len"):
                if field in again[layer].fields:
                    delattr(again[layer], field)
    assert bytes(again) == sent
    source, target = (read.src, read.dst)
    assert [ipaddress.ip_address(each).packed for each in (source, target)] == [
        new[ipaddress.ip_address(each).packed] for each in (V4 if read.version == 4 else V6)
    ]


@pytest.mark.parametrize("ends", [V4, V6], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("transport", [tcp, udp])
def test_a_cut_packet_is_filled_with_zeros(ends, transport):
    arguments = (SYN,) if transport is tcp else ()
    packet = transport(*ends, *arguments, payload=b"x" * 700)
    header = 20 if ends is V4 else 40
    cut = packet[: header + 24]
    sent = rewritten(cut, len(packet), Moved())
    assert len(sent) == len(packet)
    check(sent)
    assert sent[-600:] == bytes(600)


@pytest.mark.parametrize("ends", [V4, V6], ids=["IPv4", "IPv6"])
def test_what_was_not_segmented_yet_is_shortened(ends):
    for length in (None, 0):
        packet = ip(*ends, 17, struct.pack(">HHHH", 1, 2, 0, 0) + bytes(9000), length=length)
        sent = rewritten(packet[:200], len(packet), Moved())
        assert len(sent) == MTU
        check(sent)


@pytest.mark.parametrize("ends", [V4, V6], ids=["IPv4", "IPv6"])
def test_checksums_of_quoted_headers_are_adjusted(ends):
    router = "203.0.113.9" if ends is V4 else "2001:db8:f::1"
    header = 20 if ends is V4 else 40
    network = (IP if ends is V4 else IPv6)(src=ends[0], dst=ends[1])
    for transport in (UDP(), TCP()):
        whole = bytes(network / transport / b"data!")
        sent = rewritten(error := icmp_error(router, whole, quote=len(whole)), len(error), Moved())
        check(sent)
        quoted = sent[header + 8 :]
        assert quoted[header:][:4] == whole[header:][:4]
        if ends is V4:
            assert internet_sum(quoted[:20]) == 0xFFFF
        assert transport_sum(quoted, whole[9 if ends is V4 else 6], header) == 0xFFFF
        assert len(set(addresses(sent))) == 3


def test_a_quote_that_cannot_be_read_is_not_kept():
    packet = icmp_error(V4[1], udp(*V4), quote=19, to=V4[0])
    assert addresses(packet) == tuple(ipaddress.ip_address(each).packed for each in V4[::-1])
    sent = rewritten(packet, len(packet), Moved())
    check(sent)
    assert len(sent) == 28


def test_other_protocols_keep_their_content():
    for packet in (sctp(*V4), ip(*V6, 47, b"tunnel"), ip(*V4, 50, b"secret")):
        sent = rewritten(packet, len(packet), Moved())
        check(sent)
        assert sent[-5:] == packet[-5:]
