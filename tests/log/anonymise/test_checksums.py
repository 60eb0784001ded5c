"""Checksums after a change: right where the packet is whole, and right again with the payload."""

from __future__ import annotations

import logging
import shutil
import struct
import subprocess

import pytest

logging.getLogger("scapy").setLevel(logging.ERROR)

from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_LSRR, IPOption_SSRR  # noqa: E402
from scapy.layers.inet6 import (  # noqa: E402
    HAO,
    ICMPv6DestUnreach,
    ICMPv6EchoRequest,
    ICMPv6TimeExceeded,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrRouting,
    IPv6ExtHdrSegmentRouting,
)
from scapy.packet import Raw  # noqa: E402

from tests.log.anonymise.anonymous import ALL, SOME, anonymised, internet_sum, mapped, transport_sum  # noqa: E402
from tests.traffic import ip  # noqa: E402

A, B, C = "10.1.2.3", "192.0.2.9", "10.77.66.55"
A6, B6, C6 = "2001:db8::1", "2001:db9::2", "2001:db8:7::3"
MPTCP = (30, b"\x30\1\x0a\x4d\x42\x37")  # ADD_ADDR
OPTIONS = [("MSS", 1460), ("SAckOK", b""), ("Timestamp", (7, 0)), ("NOP", None), ("WScale", 7)]
PAYLOAD = b"payload of an odd length."


def echo(version):
    return ICMP(id=5) if version == 4 else ICMPv6EchoRequest(id=5)


NETWORKS = {
    "IPv4": IP(src=A, dst=B),
    "IPv4 backwards": IP(src=B, dst=A),
    "source route": IP(src=A, dst=B, options=[IPOption_LSRR(routers=[C, C])]),
    "used source route": IP(src=A, dst=B, options=[IPOption_SSRR(routers=[B], pointer=8)]),
    "IPv6": IPv6(src=A6, dst=B6),
    "IPv6 backwards": IPv6(src=B6, dst=A6),
    "type 0": IPv6(src=A6, dst=B6)
    / IPv6ExtHdrRouting(type=0, addresses=[B6, C6], segleft=1),
    "used type 0": IPv6(src=A6, dst=B6)
    / IPv6ExtHdrRouting(type=0, addresses=[B6, C6], segleft=0),
    "type 2": IPv6(src=A6, dst=B6) / IPv6ExtHdrRouting(type=2, addresses=[C6], segleft=1),
    "segments": IPv6(src=A6, dst=B6)
    / IPv6ExtHdrSegmentRouting(addresses=[C6, B6], segleft=1, lastentry=1),
    "mobile": IPv6(src=A6, dst=B6) / IPv6ExtHdrDestOpt(options=[HAO(hoa=C6)]),
}  # fmt: skip
TRANSPORTS = {
    "TCP": (6, TCP(flags="S", options=[*OPTIONS, MPTCP])),
    "UDP": (17, UDP(sport=1, dport=2)),
    "echo": (1, None),
}


def numbered(transport, version):
    protocol, layer = TRANSPORTS[transport]
    return (58 if version == 6 else protocol, echo(version)) if layer is None else (protocol, layer)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("by", [SOME, ALL], ids=["some", "all"])
def test_headers_fit_their_payload_again(network, transport, by):
    version = NETWORKS[network].version
    protocol, layer = numbered(transport, version)
    for payload in (b"", PAYLOAD):
        packet = bytes(NETWORKS[network] / layer / Raw(payload))
        kept = anonymised(packet, by=by)
        assert len(kept) == len(packet) - len(payload)
        assert kept != packet[: len(kept)]
        start = len(packet) - len(bytes(layer)) - len(payload)
        assert transport_sum(kept + payload, protocol, start) == 0xFFFF
        if version == 4:
            assert internet_sum(kept[:start]) == 0xFFFF


ERRORS = {
    4: (IP(src="192.0.2.77", dst=A) / ICMP(type=3, code=3), 1, 28),
    6: (IPv6(src="2001:db9::77", dst=A6) / ICMPv6DestUnreach(code=4), 58, 48),
}


@pytest.mark.parametrize("network", [name for name in NETWORKS if "backwards" not in name])
@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("by", [SOME, ALL], ids=["some", "all"])
def test_errors_and_what_they_quote(network, transport, by):
    version = NETWORKS[network].version
    protocol, layer = numbered(transport, version)
    error, error_protocol, header = ERRORS[version]
    for payload in (b"", PAYLOAD):
        packet = bytes(error / Raw(bytes(NETWORKS[network] / layer / Raw(payload))))
        kept = anonymised(packet, by=by)
        assert len(kept) == len(packet) - len(payload)
        assert transport_sum(kept + payload, error_protocol, header - 8) == 0xFFFF
        start = len(packet) - len(bytes(layer)) - len(payload)
        assert transport_sum(kept[header:] + payload, protocol, start - header) == 0xFFFF
        if version == 4:
            assert internet_sum(kept[:20]) == internet_sum(kept[header:start]) == 0xFFFF


@pytest.mark.parametrize("protocol", [33, 136], ids=["DCCP", "UDP-Lite"])
@pytest.mark.parametrize("ends", [(A, B), (A6, B6)], ids=["IPv4", "IPv6"])
def test_partial_coverage(ends, protocol):
    """The checksum covers the header alone, whatever the payload is."""
    if protocol == 33:  # coverage 1; data offset 6 words, the last three options
        segment = struct.pack(">HHBBHB", 1, 2, 6, 1, 0, 0) + bytes(3) + b"\2" * 12
    else:
        segment = struct.pack(">HHHH", 1, 2, 8, 0)

    def covered(packet):
        """Return the sum over the pseudo-header, with the length of all, and the header."""
        header = len(packet) - len(segment)
        addresses = packet[12:20] if header == 20 else packet[8:40]
        length = len(segment) + len(PAYLOAD)
        pseudo = addresses + struct.pack(">IHBB", length, 0, 0, protocol)
        return internet_sum(pseudo + packet[header:])

    checksum = covered(ip(*ends, protocol, segment)) ^ 0xFFFF
    segment = segment[:6] + struct.pack(">H", checksum) + segment[8:]
    packet = ip(*ends, protocol, segment + PAYLOAD)
    assert covered(packet[: -len(PAYLOAD)]) == 0xFFFF
    kept = anonymised(packet)
    assert len(kept) == len(packet) - len(PAYLOAD)
    assert covered(kept) == 0xFFFF


def test_what_a_network_card_was_to_fill_in_is_filled_in():
    for network, start in ((IP(src=A, dst=B, chksum=0), 20), (IPv6(src=A6, dst=B6), 40)):
        for protocol, layer in ((6, TCP(chksum=0x1234)), (17, UDP(chksum=0x1234))):
            kept = anonymised(bytes(network / layer))
            assert transport_sum(kept, protocol, start) == 0xFFFF
            assert start == 40 or internet_sum(kept[:20]) == 0xFFFF


def test_no_udp_checksum_stays_none():
    for payload in (b"", PAYLOAD):
        kept = anonymised(bytes(IP(src=A, dst=B) / UDP(chksum=0) / Raw(payload)))
        assert kept[26:28] == bytes(2)
    quoted = IP(src=A, dst=B) / UDP(chksum=0)
    assert anonymised(bytes(ERRORS[4][0] / quoted))[-2:] == bytes(2)
    # Over IPv6 there must be one, and it can be computed only where nothing was cut away.
    assert anonymised(bytes(IPv6(src=A6, dst=B6) / UDP(chksum=0) / Raw(PAYLOAD)))[46:] == bytes(2)
    kept = anonymised(bytes(IPv6(src=A6, dst=B6) / UDP(chksum=0)))
    assert transport_sum(kept, 17, 40) == 0xFFFF


@pytest.mark.parametrize("payload", [b"", b"\x12\x34"])
def test_a_udp_checksum_that_comes_out_as_zero_is_written_as_ffff(payload):
    """The source port is chosen so that the sum over all after the change is 0xFFFF."""
    other = bytes(IP(src=mapped(A), dst=B) / UDP(sport=0, dport=9, chksum=0) / Raw(payload))
    sport = 0xFFFF - transport_sum(other, 17, 20)
    kept = anonymised(bytes(IP(src=A, dst=B) / UDP(sport=sport, dport=9) / Raw(payload)))
    assert kept[26:28] == b"\xff\xff"
    assert transport_sum(kept + payload, 17, 20) == 0xFFFF


def test_a_checksum_stays_where_nothing_under_it_changes():
    packet = bytes(IP(src=B, dst=B) / UDP(chksum=0xBAD) / Raw(PAYLOAD))
    assert anonymised(packet) == packet[:28]


def write_pcap(path, packets):
    """Write IP packets: (kept bytes, length on the wire)."""
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 101))
        for data, length in packets:
            file.write(struct.pack("<IIII", 1, 0, len(data), length) + data)


_STATUS = [f"{protocol}.checksum.status" for protocol in ("ip", "tcp", "udp", "icmp", "icmpv6")]
_BAD, _GOOD, _UNVERIFIED, _NOT_PRESENT = "0", "1", "2", "3"


def wireshark(path):
    """Return what Wireshark finds of all checksums of each packet: a list of sets."""
    fields = [argument for field in _STATUS for argument in ("-e", field)]
    checks = [
        argument
        for protocol in ("ip", "tcp", "udp")
        for argument in ("-o", f"{protocol}.check_checksum:TRUE")
    ]
    done = subprocess.run(
        ["tshark", "-n", "-r", str(path), *checks, "-T", "fields", *fields],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return [set(line.replace("\t", ",").split(",")) - {""} for line in done.stdout.splitlines()]


@pytest.mark.skipif(shutil.which("tshark") is None, reason="no tshark")
@pytest.mark.parametrize("by", [SOME, ALL], ids=["some", "all"])
def test_wireshark_finds_no_bad_checksum(tmp_path, by):
    whole = [
        network / numbered(transport, network.version)[1]
        for network in NETWORKS.values()
        for transport in TRANSPORTS
    ]
    whole.append(IP(src=A, dst=B) / UDP(chksum=0))
    errors = [ERRORS[each.version][0] / each for each in whole]
    errors.append(IPv6(src="fe80::1", dst=A6) / ICMPv6TimeExceeded() / whole[-2])
    whole += errors
    cut = [each / Raw(PAYLOAD) for each in whole]
    cut += [
        IP(src=A, dst=B, flags="MF") / UDP() / Raw(PAYLOAD),
        IPv6(src=A6, dst=B6) / IPv6ExtHdrFragment(m=1, id=7) / UDP() / Raw(PAYLOAD),
    ]
    packets = [(anonymised(bytes(each), by=by), len(bytes(each))) for each in whole + cut]
    write_pcap(tmp_path / "anonymised.pcap", packets)
    found = wireshark(tmp_path / "anonymised.pcap")
    assert len(found) == len(packets)
    for packet, status in zip(whole, found, strict=False):
        # "Unverified" is what it says of a quoted ICMP message, whatever that holds.
        assert status <= {_GOOD, _NOT_PRESENT} | ({_UNVERIFIED} if packet in errors else set())
        assert _GOOD in status, packet.summary()
    for packet, status in zip(cut, found[len(whole) :], strict=True):
        assert _BAD not in status, packet.summary()
    # And it would find one.
    broken = bytearray(packets[0][0])
    broken[-1] ^= 1
    write_pcap(tmp_path / "broken.pcap", [(bytes(broken), len(broken))])
    assert _BAD in wireshark(tmp_path / "broken.pcap")[0]
