"""Packets for tests, built byte by byte; checksums are left out, for nobody here looks at them."""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass

import numpy as np

from chamaleonet.capture.batch import PacketBatch

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
ICMP, TCP, UDP, ICMPV6, SCTP = 1, 6, 17, 58, 132
SECOND = 10**9


@dataclass(frozen=True)
class Record:
    """One record of a capture."""

    data: bytes
    time: int = 0
    link: int = 1
    wire_length: int | None = None

    @property
    def on_wire(self):
        return len(self.data) if self.wire_length is None else self.wire_length


def batch(records):
    """Return the records as a PacketBatch."""
    length = np.array([len(record.data) for record in records], np.int32)
    return PacketBatch(
        buffer=np.frombuffer(b"".join(record.data for record in records), np.uint8).copy(),
        offset=(np.cumsum(length) - length).astype(np.int64),
        length=length,
        wire_length=np.array([record.on_wire for record in records], np.int32),
        time=np.array([record.time for record in records], np.int64),
        link=np.array([record.link for record in records], np.uint16),
    )


def ethernet(network, *, tags=()):
    """Put an Ethernet header before an IP packet; tags are (TPID, VLAN)."""
    kind = b"\x86\xdd" if network[:1] and network[0] >> 4 == 6 else b"\x08\x00"
    stack = b"".join(struct.pack(">HH", *tag) for tag in tags)
    return b"\x02\0\0\0\0\x02" + b"\x02\0\0\0\0\x01" + stack + kind + network


def ip(source, target, protocol, payload=b"", *, length=None, fragment=0, options=b""):
    """Return an IPv4 or IPv6 packet, by the kind of the addresses."""
    source, target = ipaddress.ip_address(source), ipaddress.ip_address(target)
    if source.version == 4:
        header = 20 + len(options)
        total = header + len(payload) if length is None else length
        return (
            struct.pack(">BBHHHBBH", 0x40 | header // 4, 0, total, 0, fragment, 64, protocol, 0)
            + source.packed + target.packed + options + payload
        )  # fmt: skip
    size = len(payload) if length is None else length
    return (
        struct.pack(">IHBB", 6 << 28, size, protocol, 64) + source.packed + target.packed + payload
    )


def tcp(source, target, flags, *, sport=40000, dport=80, options=b"", payload=b""):
    """Return an IP packet with a TCP segment."""
    offset = (20 + len(options)) // 4 << 4
    segment = struct.pack(">HHIIBBHHH", sport, dport, 1, 1, offset, flags, 1024, 0, 0)
    return ip(source, target, TCP, segment + options + payload)


def udp(source, target, *, sport=40000, dport=53, payload=b"data"):
    """Return an IP packet with a UDP datagram."""
    datagram = struct.pack(">HHHH", sport, dport, 8 + len(payload), 0) + payload
    return ip(source, target, UDP, datagram)


def sctp(source, target, *, sport=40000, dport=80, payload=b"chunk"):
    """Return an IP packet with an SCTP common header."""
    return ip(source, target, SCTP, struct.pack(">HHII", sport, dport, 0, 0) + payload)


def icmp(source, target, type_, code=0, rest=b"\0\1\0\1", payload=b""):
    """Return an ICMP or ICMPv6 message, by the kind of the addresses; ``rest`` is 4 bytes."""
    protocol = ICMP if ipaddress.ip_address(source).version == 4 else ICMPV6
    return ip(source, target, protocol, struct.pack(">BBH", type_, code, 0) + rest + payload)


def ping(source, target, identifier=7, sequence=1):
    """Return an echo request."""
    kind = 8 if ipaddress.ip_address(source).version == 4 else 128
    return icmp(source, target, kind, rest=struct.pack(">HH", identifier, sequence))


def pong(source, target, identifier=7, sequence=1):
    """Return an echo reply."""
    kind = 0 if ipaddress.ip_address(source).version == 4 else 129
    return icmp(source, target, kind, rest=struct.pack(">HH", identifier, sequence))


def icmp_error(sender, quoted, *, type_=None, code=None, quote=None, to=None):
    """Return an ICMP error (by default port unreachable) that quotes an IP packet.

    Args:
        sender: who sends it.
        quoted: the packet that was lost.
        type_: ICMP type.
        code: ICMP code.
        quote: how many bytes of it are quoted (default: header and 8 bytes, RFC 792).
        to: whom it is sent to (default: the quoted packet's sender).
    """
    if quoted[0] >> 4 == 4:
        to = to or str(ipaddress.IPv4Address(quoted[12:16]))
        header, usual = (quoted[0] & 15) * 4, (3, 3)
    else:
        to = to or str(ipaddress.IPv6Address(quoted[8:24]))
        header, usual = 40, (1, 4)
    quote = header + 8 if quote is None else quote
    type_ = usual[0] if type_ is None else type_
    code = usual[1] if code is None else code
    return icmp(sender, to, type_, code, rest=b"\0\0\0\0", payload=quoted[:quote])
