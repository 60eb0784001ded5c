"""A packet of a capture becomes one that another network carries, with other addresses.

What a verdict depends on stays: protocol, ports, flags, ICMP type, identifier, quoted header. The
rest is made so that routers forward the packet, and a switch's tracker takes it for valid:

* Options and extension headers of the IP header are taken out, for routers act on them; a first
  fragment becomes a whole packet; the TTL or hop limit is 64 at least.
* What the capture has cut off becomes zeros, up to the packet's own length or the MTU, whichever
  is less. ICMP errors stay as short as they are, for a longer quote would say more.
* Lengths in the headers are those of the packet, and checksums are summed over it, which mends also
  those that were left to a network card. Where not all that a checksum covers is here (quoted
  headers; UDP-Lite and DCCP, which need not cover all), it is adjusted (RFC 1624).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from chamaleonet.flows.decode import ICMP_ERROR, ICMP_INFORMS, ICMP_KINDS

if TYPE_CHECKING:
    from collections.abc import Mapping

MTU = 1500  # bytes of the largest IP packet that is sent
_TTL = 64
_DONT_FRAGMENT = 0x4000

# IP protocols (IANA)
_ICMP, _TCP, _UDP, _DCCP, _ICMPV6, _SCTP, _UDPLITE = 1, 6, 17, 33, 58, 132, 136
# IPv6 extension headers that are walked, as docs/verdicts.md has it
_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _DESTINATION = 0, 43, 44, 51, 60
_EXTENSIONS = (_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _DESTINATION)

# The shortest transport headers; an ICMP message has one of 8 bytes.
_LEAST = {_TCP: 20, _UDP: 8, _ICMP: 8, _ICMPV6: 8, _SCTP: 12, _DCCP: 12, _UDPLITE: 8}
# Where in the transport header the checksum stands.
_CHECKSUM = {_TCP: 16, _UDP: 6, _ICMP: 2, _ICMPV6: 2, _DCCP: 6, _UDPLITE: 6}


class _Layer(NamedTuple):
    """Where in a packet the parts of an IP packet stand."""

    version: int
    at: int  # of the IP header
    transport: int  # of what follows its options or extensions
    protocol: int
    later_fragment: bool

    @property
    def ends(self) -> tuple[slice, slice]:
        """Where source and destination stand."""
        first, size = (self.at + 12, 4) if self.version == 4 else (self.at + 8, 16)
        return slice(first, first + size), slice(first + size, first + 2 * size)

    @property
    def is_icmp(self) -> bool:
        return self.protocol == (_ICMP if self.version == 4 else _ICMPV6)


def _layer(data: bytes | bytearray, at: int, version: int) -> _Layer | None:
    """Find the parts of the IP packet at ``at``; None if its headers are not whole."""
    room = len(data) - at
    if room < (20 if version == 4 else 40) or data[at] >> 4 != version:
        return None
    if version == 4:
        header = (data[at] & 15) * 4
        if not 20 <= header <= room:
            return None
        later = bool(_be16(data, at + 6) & 0x1FFF)
        return _Layer(4, at, at + header, data[at + 9], later)
    protocol, after, later = data[at + 6], at + 40, False
    while protocol in _EXTENSIONS and not later:
        if len(data) - after < 8:
            return None
        size = (data[after + 1] + 1) * 8
        if protocol == _AUTHENTICATION:
            size = (data[after + 1] + 2) * 4
        elif protocol == _FRAGMENT:
            size, later = 8, bool(_be16(data, after + 2) & 0xFFF8)
        if len(data) - after < size:
            return None
        protocol, after = data[after], after + size
    return _Layer(6, at, after, protocol, later)


def addresses(packet: bytes) -> tuple[bytes, ...]:
    """Return the addresses of a packet, in network byte order: source, destination, quoted ones.

    Args:
        packet: IP header and what follows; the decoder counts it as a packet of a flow, an ICMP
            error or ICMP that informs.
    """
    outer = _outer(packet)
    quoted = _quoted(packet, outer)
    layers = (outer,) if quoted is None else (outer, quoted)
    return tuple(packet[end] for layer in layers for end in layer.ends)


def rewritten(packet: bytes, wire_length: int, new: Mapping[bytes, bytes]) -> bytes:
    """Return the IP packet that is sent for one of a capture.

    Args:
        packet: as in ``addresses``: what was captured.
        wire_length: bytes that it had on the wire, from its IP header on.
        new: for each of its addresses the new one, of the same IP version.
    """
    data = bytearray(_whole(packet, wire_length))
    outer = _outer(data)
    quoted = _quoted(data, outer)
    if quoted is not None:
        _readdress_quoted(data, quoted, new)
    before = _sum(data, outer)
    for end in outer.ends:
        data[end] = new[bytes(data[end])]
    _finish_network(data, outer)
    _finish_transport(data, outer, before)
    return bytes(data)


def _outer(packet: bytes | bytearray) -> _Layer:
    layer = _layer(packet, 0, packet[0] >> 4)
    if layer is None or layer.later_fragment:
        raise ValueError("its IP header is not whole, or it is a later fragment")
    return layer


def _quoted(packet: bytes | bytearray, outer: _Layer) -> _Layer | None:
    """Find what an ICMP message quotes; None if it quotes nothing that can be read."""
    return _layer(packet, outer.transport + 8, outer.version) if _quotes(packet, outer) else None


def _quotes(packet: bytes | bytearray, outer: _Layer) -> bool:
    """Tell whether it is an ICMP message that quotes a packet."""
    if not outer.is_icmp or len(packet) <= outer.transport:
        return False
    kind = ICMP_KINDS[outer.version >> 1 & 1, packet[outer.transport]]
    return bool(kind in (ICMP_ERROR, ICMP_INFORMS))


def _whole(packet: bytes, wire_length: int) -> bytes:
    """Return a packet without options, as long as its headers and the MTU allow."""
    outer = _outer(packet)
    own = _be16(packet, 2) if outer.version == 4 else _be16(packet, 4) and 40 + _be16(packet, 4)
    total = own or wire_length  # 0: segmentation offload, or a jumbogram
    packet = packet[:total]
    header = 20 if outer.version == 4 else 40
    content = packet[outer.transport :]
    size = total - outer.transport
    if _quotes(packet, outer):
        quoted = _layer(packet, outer.transport + 8, outer.version)
        size = len(content) if quoted else 8  # what cannot be read is not kept
        if quoted and not quoted.later_fragment:
            there = len(packet) - quoted.transport
            # Ports or an identifier are all that the flow's key needs; a connection tracker
            # wants 64 bits of the datagram (RFC 792).
            if 8 > there >= (6 if quoted.is_icmp else 4):
                size = quoted.transport + 8 - outer.transport
    size = min(max(size, _LEAST.get(outer.protocol, 0)), MTU - header)
    start = bytearray(packet[:header])
    if outer.version == 4:
        start[0] = 4 << 4 | header // 4
    else:
        start[6] = outer.protocol
    return bytes(start) + content[:size].ljust(size, b"\0")


def _readdress_quoted(data: bytearray, quoted: _Layer, new: Mapping[bytes, bytes]) -> None:
    before = _sum(data, quoted)
    for end in quoted.ends:
        data[end] = new[bytes(data[end])]
    after = _sum(data, quoted)
    if quoted.version == 4:
        _adjust(data, quoted.at + 10, before, after)
    covers_addresses = quoted.protocol in (_TCP, _UDP, _DCCP, _UDPLITE) or (
        quoted.version == 6 and quoted.is_icmp
    )
    if covers_addresses and not quoted.later_fragment:
        at = quoted.transport + _CHECKSUM[quoted.protocol]
        if at + 2 <= len(data) and not (quoted.protocol == _UDP and _be16(data, at) == 0):
            _adjust(data, at, before, after, never_zero=quoted.protocol in (_UDP, _UDPLITE))


def _finish_network(data: bytearray, outer: _Layer) -> None:
    """Fill in an IP header without options; a first fragment becomes a whole packet."""
    if outer.version == 6:
        struct.pack_into("!H", data, 4, len(data) - 40)
        data[7] = max(data[7], _TTL)
        return
    struct.pack_into("!H", data, 2, len(data))
    struct.pack_into("!H", data, 6, _be16(data, 6) & _DONT_FRAGMENT)
    data[8] = max(data[8], _TTL)
    data[10:12] = bytes(2)
    struct.pack_into("!H", data, 10, -_modulo(data[:20]) % 0xFFFF)


def _finish_transport(data: bytearray, outer: _Layer, before: int) -> None:
    """Fill in lengths and the checksum of the transport header."""
    at, protocol = outer.transport, outer.protocol
    size = len(data) - at
    if protocol == _UDP:
        struct.pack_into("!H", data, at + 4, size)
    elif protocol == _TCP and not 20 <= (data[at + 12] >> 4) * 4 <= size:
        data[at + 12] = 5 << 4 | data[at + 12] & 15
    if protocol in (_DCCP, _UDPLITE):
        where = at + _CHECKSUM[protocol]
        _adjust(data, where, before, _sum(data, outer), never_zero=protocol == _UDPLITE)
    elif protocol in (_TCP, _UDP) or outer.is_icmp:
        where = at + _CHECKSUM[protocol]
        data[where : where + 2] = bytes(2)
        total = _modulo(data[at:])
        if protocol != _ICMP:
            total += _sum(data, outer) + protocol + size
        checksum = -total % 0xFFFF
        struct.pack_into("!H", data, where, checksum or (0xFFFF if protocol == _UDP else 0))


def _adjust(data: bytearray, at: int, before: int, after: int, *, never_zero: bool = False) -> None:
    """Adjust a checksum at ``at`` to a change of what it covers (RFC 1624)."""
    if before != after:
        checksum = (_be16(data, at) + before - after) % 0xFFFF
        struct.pack_into("!H", data, at, checksum or (0xFFFF if never_zero else 0))


def _sum(data: bytearray, layer: _Layer) -> int:
    """Return the one's complement sum of a packet's addresses."""
    return sum(_modulo(data[end]) for end in layer.ends) % 0xFFFF


def _modulo(data: bytes | bytearray) -> int:
    """Return the one's complement sum of 16-bit words (RFC 1071), 0 for 0xFFFF.

    2**16 is 1 modulo 2**16 - 1, so the words' sum is the number that they write, modulo that.
    """
    return int.from_bytes(data + bytes(len(data) % 2)) % 0xFFFF


def _be16(data: bytes | bytearray, at: int) -> int:
    return data[at] << 8 | data[at + 1]
