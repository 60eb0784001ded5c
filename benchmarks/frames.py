"""Ethernet frames as NumPy records: many packets of one shape at once, filled field by field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

ETHERNET = np.dtype([("destination", "u1", 6), ("source", "u1", 6), ("type", ">u2")])
IPV4 = np.dtype(
    [
        ("version_ihl", "u1"), ("tos", "u1"), ("length", ">u2"), ("id", ">u2"),
        ("fragment", ">u2"), ("ttl", "u1"), ("protocol", "u1"), ("checksum", ">u2"),
        ("source", ">u4"), ("destination", ">u4"),
    ]
)  # fmt: skip
IPV6 = np.dtype(
    [
        ("version", ">u4"), ("length", ">u2"), ("protocol", "u1"), ("ttl", "u1"),
        ("source", ">u8", 2), ("destination", ">u8", 2),
    ]
)  # fmt: skip
TCP = np.dtype(
    [
        ("source", ">u2"), ("destination", ">u2"), ("sequence", ">u4"), ("acknowledged", ">u4"),
        ("data_offset", "u1"), ("flags", "u1"), ("window", ">u2"), ("checksum", ">u2"),
        ("urgent", ">u2"), ("options", "u1", 20),
    ]
)  # fmt: skip
UDP = np.dtype(
    [
        ("source", ">u2"), ("destination", ">u2"), ("length", ">u2"), ("checksum", ">u2"),
        ("data", "u1", 36),
    ]
)  # fmt: skip
ICMP = np.dtype(
    [("type", "u1"), ("code", "u1"), ("checksum", ">u2"), ("id", ">u2"), ("sequence", ">u2")]
)
# The first eight bytes of TCP and UDP, as ICMP errors quote them.
QUOTED = np.dtype([("source", ">u2"), ("destination", ">u2"), ("rest", ">u4")])

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
TCP_PROTOCOL, UDP_PROTOCOL = 6, 17
IP_HEADER = {4: 20, 6: 40}  # bytes
ETHERNET_HEADER = 14  # bytes
MAX_FRAME = ETHERNET_HEADER + 40 + 8 + 40 + 8  # an ICMPv6 error

_ICMP_PROTOCOL = {4: 1, 6: 58}
_ECHO = {4: (8, 0), 6: (128, 129)}  # request, reply
# Type and code of ICMP errors: net, host and port unreachable, prohibited, time exceeded.
_ERRORS = {
    4: np.array([(3, 0), (3, 1), (3, 3), (3, 13), (11, 0)], np.uint8),
    6: np.array([(1, 0), (1, 3), (1, 4), (1, 1), (3, 0)], np.uint8),
}
_SYN_OPTIONS = bytes.fromhex("020405b40402080a000000010000000001030307")  # MSS, SACK, time, scale
_OPTIONS = bytes.fromhex("0101080a0000000100000001") + bytes(8)  # time
_DNS = bytes.fromhex("000001000001000000000000") + b"\3www\7example\3com\0\0\1\0\1" + bytes(3)

# A host is a number below the prefix of its role. Private clients, servers in the range for
# benchmarks (RFC 2544), one shared-address router (RFC 6598); all IPv6 is documentation (RFC 3849).
_PREFIXES: dict[int, dict[str, Any]] = {
    4: {
        "client": np.uint64(0x0A000000),
        "server": np.uint64(0xC6120000),
        "router": np.uint64(0x64400001),
    },
    6: {
        "client": np.array([0x20010DB800010000, 0], np.uint64),
        "server": np.array([0x20010DB800020000, 0], np.uint64),
        "router": np.array([0x20010DB800030000, 1], np.uint64),
    },
}


class Packets(NamedTuple):
    """N packets as columns; each column has length N."""

    version: NDArray[np.uint8]  # of IP: 4 or 6
    protocol: NDArray[np.uint8]  # TCP_PROTOCOL, UDP_PROTOCOL, or 1 for ICMP and ICMPv6
    error: NDArray[np.bool_]  # an ICMP error that quotes the client's packet
    from_server: NDArray[np.bool_]
    client: NDArray[np.int64]  # number of the host
    server: NDArray[np.int64]
    client_port: NDArray[np.int64]  # or the ICMP identifier
    server_port: NDArray[np.int64]
    flags: NDArray[np.uint8]  # of TCP
    wire_length: NDArray[np.int64]
    sequence: NDArray[np.int64]  # number of the packet in its flow

    def take(self, rows: NDArray[np.intp]) -> Packets:
        return Packets(*(column[rows] for column in self))


def fill(frames: NDArray[np.uint8], packets: Packets) -> None:
    """Write packets into the rows of a zeroed array of shape (N, at least MAX_FRAME)."""
    for version in (4, 6):
        kind = packets.version == version
        _place(frames, kind & packets.error, packets, version, _error)
        for protocol, make in ((TCP_PROTOCOL, _tcp), (UDP_PROTOCOL, _udp), (1, _icmp)):
            ordinary = (packets.protocol == protocol) & ~packets.error
            _place(frames, kind & ordinary, packets, version, make)


def _place(
    frames: NDArray[np.uint8],
    chosen: NDArray[np.bool_],
    packets: Packets,
    version: int,
    make: Callable[[Packets, int], NDArray[np.void]],
) -> None:
    rows = np.flatnonzero(chosen)
    made = make(packets.take(rows), version)
    frames[rows, : made.itemsize] = made.view(np.uint8).reshape(len(rows), made.itemsize)


def _tcp(packets: Packets, version: int) -> NDArray[np.void]:
    frames = _between_ends(packets, version, TCP, TCP_PROTOCOL)
    header = frames["body"]
    _ports(header, packets)
    opening, reset = packets.flags & SYN > 0, packets.flags & RST > 0
    header["sequence"] = packets.sequence * 1448
    header["flags"] = packets.flags
    header["window"] = 501
    header["data_offset"] = np.select([opening, reset], [0xA0, 0x50], 0x80)
    header["options"][opening] = np.frombuffer(_SYN_OPTIONS, np.uint8)
    header["options"][~opening & ~reset] = np.frombuffer(_OPTIONS, np.uint8)
    return frames


def _udp(packets: Packets, version: int) -> NDArray[np.void]:
    frames = _between_ends(packets, version, UDP, UDP_PROTOCOL)
    header = frames["body"]
    _ports(header, packets)
    header["length"] = packets.wire_length - ETHERNET_HEADER - IP_HEADER[version]
    dns = packets.server_port == 53
    header["data"][dns] = np.frombuffer(_DNS, np.uint8)
    header["data"][dns & packets.from_server, 2] |= 0x80  # QR: a response
    return frames


def _icmp(packets: Packets, version: int) -> NDArray[np.void]:
    frames = _between_ends(packets, version, ICMP, _ICMP_PROTOCOL[version])
    request, reply = _ECHO[version]
    frames["body"]["type"] = np.where(packets.from_server, reply, request)
    frames["body"]["id"] = packets.client_port
    frames["body"]["sequence"] = packets.sequence // 2
    return frames


def _error(packets: Packets, version: int) -> NDArray[np.void]:
    """A router tells the client that its packet did not get there."""
    frames = _frames(len(packets.client), version, ICMP, quoting=True)
    client, server = _addresses(packets, version)
    router = np.zeros_like(client) + _PREFIXES[version]["router"]
    length = packets.wire_length - ETHERNET_HEADER
    _ip(frames["ip"], router, client, _ICMP_PROTOCOL[version], length)
    kinds = _ERRORS[version][packets.client % len(_ERRORS[version])]
    frames["body"]["type"], frames["body"]["code"] = kinds.T
    tcp = packets.protocol == TCP_PROTOCOL
    length = np.where(tcp, 40, 48)  # of the SYN or datagram that did not get there
    _ip(frames["quoted_ip"], client, server, packets.protocol, length + IP_HEADER[version])
    frames["quoted"]["rest"] = np.where(tcp, 0, length << 16)  # sequence number; length, checksum
    frames["quoted"]["source"] = packets.client_port
    frames["quoted"]["destination"] = packets.server_port
    return frames


def _between_ends(
    packets: Packets, version: int, body: np.dtype[np.void], protocol: int
) -> NDArray[np.void]:
    frames = _frames(len(packets.client), version, body)
    client, server = _addresses(packets, version)
    back = packets.from_server if version == 4 else packets.from_server[:, None]
    source, destination = np.where(back, server, client), np.where(back, client, server)
    _ip(frames["ip"], source, destination, protocol, packets.wire_length - ETHERNET_HEADER)
    return frames


def _frames(
    count: int, version: int, body: np.dtype[np.void], quoting: bool = False
) -> NDArray[np.void]:
    ip = IPV4 if version == 4 else IPV6
    quote = [("quoted_ip", ip), ("quoted", QUOTED)] if quoting else []
    frames = np.zeros(count, [("ethernet", ETHERNET), ("ip", ip), ("body", body), *quote])
    frames["ethernet"]["destination"][:, 5] = 1
    frames["ethernet"]["source"][:, 5] = 2
    frames["ethernet"]["type"] = 0x0800 if version == 4 else 0x86DD
    return frames


def _addresses(packets: Packets, version: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return client and server: IPv4 shape (N,), IPv6 shape (N, 2), most significant first."""
    prefixes = _PREFIXES[version]
    client, server = packets.client.astype(np.uint64), packets.server.astype(np.uint64)
    if version == 6:
        client, server = (np.stack([np.zeros_like(low), low], axis=1) for low in (client, server))
    return client + prefixes["client"], server + prefixes["server"]


def _ip(
    header: NDArray[np.void],
    source: NDArray[np.uint64],
    destination: NDArray[np.uint64],
    protocol: int | NDArray[np.uint8],
    length: NDArray[np.int64],
) -> None:
    """Fill an IP header; ``length`` is that of the whole IP packet."""
    header["ttl"] = 60
    header["protocol"] = protocol
    header["source"], header["destination"] = source, destination
    if header.dtype == IPV6:
        header["version"] = 6 << 28
        header["length"] = length - IP_HEADER[6]
        return
    header["version_ihl"] = 0x45
    header["length"] = length
    words = np.ascontiguousarray(header).view(">u2").reshape(len(header), 10)
    total = words.sum(axis=1, dtype=np.uint32)
    total = (total & 0xFFFF) + (total >> 16)
    header["checksum"] = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF


def _ports(header: NDArray[np.void], packets: Packets) -> None:
    back = packets.from_server
    header["source"] = np.where(back, packets.server_port, packets.client_port)
    header["destination"] = np.where(back, packets.client_port, packets.server_port)
