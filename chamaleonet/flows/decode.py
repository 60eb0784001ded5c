"""Headers become columns: section 1 and 2 of docs/verdicts.md, one packet at a time.

Every read is preceded by a comparison with the packet's captured end or its end by the IP length,
whichever comes first; compiled code has no bounds checks of its own.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from chamaleonet.capture.link import LinkType
from chamaleonet.flows.headers import (
    BIT_CLOSING,
    BIT_EQUAL_ENDS,
    BIT_FROM_HIGH,
    BIT_QUOTED,
    BIT_REQUEST,
    BIT_RESET,
    BIT_RESPONSE,
    BIT_SYN,
    HEADERS,
    Counted,
)
from chamaleonet.flows.loads import be16, be32, be64
from chamaleonet.flows.records import Query
from chamaleonet.kernels import inlined, kernel
from chamaleonet.units import directed_broadcasts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from chamaleonet.capture.batch import PacketBatch
    from chamaleonet.units import Network

_LIMITED_BROADCAST = 0xFFFFFFFF

U16, U32, U64 = np.uint16, np.uint32, np.uint64

# Kernels see plain integers: an enumeration's members would each be typed as their own.
_NULL, _ETHERNET, _LOOP = int(LinkType.NULL), int(LinkType.ETHERNET), int(LinkType.LOOP)
_RAW, _IPV4, _IPV6 = int(LinkType.RAW), int(LinkType.IPV4), int(LinkType.IPV6)
_SLL, _SLL2 = int(LinkType.LINUX_SLL), int(LinkType.LINUX_SLL2)
_NON_IP, _MALFORMED = int(Counted.NON_IP), int(Counted.MALFORMED)
_FRAGMENTS, _EXCLUDED = int(Counted.FRAGMENTS), int(Counted.EXCLUDED)
_ICMP_ERRORS, _ICMP_INFO = int(Counted.ICMP_ERRORS), int(Counted.ICMP_INFO)
_FLOW_PACKETS = int(Counted.FLOW_PACKETS)

# EtherTypes: IEEE 802.1Q and 802.1ad tags, IPv4, IPv6
_TAG, _SERVICE_TAG, _ETHERTYPE_IPV4, _ETHERTYPE_IPV6 = 0x8100, 0x88A8, 0x0800, 0x86DD

# IP protocols (IANA)
_ICMP, _TCP, _UDP, _DCCP, _ICMPV6, _SCTP, _UDPLITE = 1, 6, 17, 33, 58, 132, 136
# IPv6 extension headers that are walked (RFC 8200, RFC 4302)
_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _DESTINATION = 0, 43, 44, 51, 60

_FIN, _SYN, _RST, _ACK = 1, 2, 4, 16


def _icmp_kinds() -> NDArray[np.uint8]:
    """Return, per (version 4 or 6, ICMP type), query kind << 1 | is reply, or a class below."""
    kinds = np.full((2, 256), ICMP_EXCLUDED, np.uint8)
    for kind, request, reply in (
        (Query.ECHO, 8, 0), (Query.TIMESTAMP, 13, 14),
        (Query.INFORMATION, 15, 16), (Query.ADDRESS_MASK, 17, 18),
    ):  # fmt: skip
        kinds[0, request], kinds[0, reply] = kind << 1, kind << 1 | 1
    kinds[1, 128], kinds[1, 129] = Query.ECHO << 1, Query.ECHO << 1 | 1
    kinds[0, [3, 11, 12]] = kinds[1, [1, 3, 4]] = ICMP_ERROR
    kinds[0, [4, 5]] = kinds[1, 2] = ICMP_INFORMS
    return kinds


ICMP_EXCLUDED, ICMP_ERROR, ICMP_INFORMS = 128, 129, 130
ICMP_KINDS = _icmp_kinds()


@inlined
def link_layer(buffer: Any, at: int, end: int, link: int) -> Any:
    """Return (IP version or 0, offset of the network header, outermost VLAN)."""
    if link == _ETHERNET:
        kind_at, after = at + 12, at + 14
    elif link == _SLL:
        kind_at, after = at + 14, at + 16
    elif link == _SLL2:
        kind_at, after = at, at + 20
    elif link == _RAW:
        version = buffer[at] >> 4 if at < end else 0
        return (int(version) if version in (4, 6) else 0), at, 0
    elif link in (_IPV4, _IPV6):
        return (4 if link == _IPV4 else 6), at, 0
    elif link in (_NULL, _LOOP) and end - at >= 4:
        # The address family, in the byte order of the machine that captured.
        family = int(be32(buffer, at))
        if family > 0xFFFF:
            family = int(buffer[at]) if buffer[at + 1] | buffer[at + 2] | buffer[at + 3] == 0 else 0
        if family == 2:
            return 4, at + 4, 0
        # Linux, NetBSD and OpenBSD, FreeBSD, Darwin
        return (6 if family in (10, 24, 28, 30) else 0), at + 4, 0
    else:
        return 0, at, 0
    if end < after:
        return 0, at, 0
    kind = int(be16(buffer, kind_at))
    vlan = 0
    while kind in (_TAG, _SERVICE_TAG):
        if end - after < 4:
            return 0, at, 0
        if vlan == 0:
            vlan = int(be16(buffer, after)) & 0xFFF
        kind = int(be16(buffer, after + 2))
        after += 4
    if kind == _ETHERTYPE_IPV4:
        return 4, after, vlan
    return (6 if kind == _ETHERTYPE_IPV6 else 0), after, vlan


@inlined
def network_layer(buffer: Any, at: int, end: int, version: int, quoted: bool) -> Any:
    """Walk the IP header and its extensions.

    A quoted header's own length field speaks of the packet that was lost, so it is not believed.

    Returns:
        (Counted.MALFORMED, FRAGMENTS or FLOW_PACKETS, protocol, offset of the next header,
        end of the packet inside both the capture and the IP length).
    """
    room = end - at
    if version == 4:
        if room < 20 or buffer[at] >> 4 != 4:
            return _MALFORMED, 0, at, end
        header = (int(buffer[at]) & 15) * 4
        total = int(be16(buffer, at + 2))
        if header < 20 or header > room or (0 < total < header and not quoted):
            return _MALFORMED, 0, at, end
        protocol = int(buffer[at + 9])
        if int(be16(buffer, at + 6)) & 0x1FFF:
            return _FRAGMENTS, protocol, at + header, end
        if total != 0 and not quoted:  # 0: segmentation offload
            end = min(end, at + total)
        return _FLOW_PACKETS, protocol, at + header, end
    if room < 40 or buffer[at] >> 4 != 6:
        return _MALFORMED, 0, at, end
    payload = int(be16(buffer, at + 4))
    protocol = int(buffer[at + 6])
    at += 40
    if payload != 0 and not quoted:  # 0: a jumbogram, or segmentation offload
        end = min(end, at + payload)
    while protocol in (_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _DESTINATION):
        if end - at < 8:
            return _MALFORMED, protocol, at, end
        if protocol == _FRAGMENT:
            size = 8
            if int(be16(buffer, at + 2)) & 0xFFF8:
                return _FRAGMENTS, protocol, at + 8, end
        elif protocol == _AUTHENTICATION:
            size = (int(buffer[at + 1]) + 2) * 4
        else:
            size = (int(buffer[at + 1]) + 1) * 8
        if end - at < size:
            return _MALFORMED, protocol, at, end
        protocol = int(buffer[at])
        at += size
    return _FLOW_PACKETS, protocol, at, end


@inlined
def _excluded(version: int, hi: Any, lo: Any, broadcast: Any) -> bool:
    """Tell whether no single host has this address: multicast, unspecified or broadcast."""
    if version == 6:
        return bool(hi >> U64(56) == U64(0xFF)) or bool(hi | lo == U64(0))
    if lo >> U64(28) == U64(0xE) or lo == U64(0):
        return True
    # Few and sorted: the limited broadcast, and one directed broadcast per internal prefix.
    below, above = 0, len(broadcast)
    while below < above:
        middle = (below + above) >> 1
        if U64(broadcast[middle]) < lo:
            below = middle + 1
        else:
            above = middle
    return below < len(broadcast) and bool(U64(broadcast[below]) == lo)


@inlined
def disordered(value: Any) -> Any:
    """Return the upper 32 bits of a multilinear hash's sum, out of their order.

    The sum is linear: ports in a row make an arithmetic progression, which under some keys crowds
    together where a table is probed linearly (Patrascu and Thorup, "On the k-independence required
    by linear probing and minwise independence", ACM Transactions on Algorithms 12(1), 2016). A
    bijection, MurmurHash3's finalizer, breaks the order and adds no collision.
    """
    low32 = U64(0xFFFFFFFF)
    mixed = value >> U64(32)
    mixed = (mixed ^ mixed >> U64(16)) * U64(0x85EBCA6B) & low32
    mixed = (mixed ^ mixed >> U64(13)) * U64(0xC2B2AE35) & low32
    return U32(mixed ^ mixed >> U64(16))


@inlined
def hash_key(record: Any, keys: Any) -> Any:
    """Return a keyed 32-bit hash of the key in a HEADERS or FLOW record.

    Multilinear hashing, strongly universal: whoever does not know the keys can do no better than
    chance at choosing flows that collide (Lemire and Kaser, "Strongly universal string hashing is
    fast", The Computer Journal 57(11), 2014).
    """
    low32 = U64(0xFFFFFFFF)
    value = (
        keys[0]
        + keys[1] * (record.low_lo & low32)
        + keys[2] * (record.high_lo & low32)
        + keys[3] * U64(record.ports)
        + keys[4] * U64(record.kind)
    )
    if record.kind & U16(15) == U16(6):  # the words that are zero in IPv4
        value += (
            keys[5] * (record.low_lo >> U64(32))
            + keys[6] * (record.low_hi & low32)
            + keys[7] * (record.low_hi >> U64(32))
            + keys[8] * (record.high_lo >> U64(32))
            + keys[9] * (record.high_hi & low32)
            + keys[10] * (record.high_hi >> U64(32))
        )
    return disordered(value)


@inlined
def _set_key(record: Any, kind: int, source: Any, target: Any, ports: Any, keys: Any) -> int:
    """Write the key and its hash; return the BIT_ flags that tell the ends apart."""
    source_hi, source_lo = source
    target_hi, target_lo = target
    source_port, target_port = ports
    bits = 0
    from_high = source_hi > target_hi or (source_hi == target_hi and source_lo > target_lo)
    if source_hi == target_hi and source_lo == target_lo:
        from_high = source_port > target_port
        if source_port == target_port:
            bits = BIT_EQUAL_ENDS
    if from_high:
        bits |= BIT_FROM_HIGH
        record.low_hi, record.low_lo = target_hi, target_lo
        record.high_hi, record.high_lo = source_hi, source_lo
        record.ports = U32((target_port << 16) | source_port)
    else:
        record.low_hi, record.low_lo = source_hi, source_lo
        record.high_hi, record.high_lo = target_hi, target_lo
        record.ports = U32((source_port << 16) | target_port)
    record.kind = U16(kind)
    record.hash = hash_key(record, keys)
    return bits


@inlined
def _addresses(buffer: Any, at: int, version: int) -> Any:
    """Return the source and target of the IP header at ``at``."""
    if version == 4:
        return (
            (U64(0), U64(be32(buffer, at + 12))),
            (U64(0), U64(be32(buffer, at + 16))),
        )
    return (
        (be64(buffer, at + 8), be64(buffer, at + 16)),
        (be64(buffer, at + 24), be64(buffer, at + 32)),
    )


@inlined
def transport_cut(buffer: Any, at: int, end: int, protocol: int) -> int:
    """Return where the transport header ends, inside ``end``; ``at`` where there is none."""
    size = 0
    if protocol == _TCP:
        size = 20
        if end - at > 12:
            size = max(20, (int(buffer[at + 12]) >> 4) * 4)
    elif protocol in (_UDP, _UDPLITE):
        size = 8
    elif protocol == _SCTP:
        size = 12
    elif protocol == _DCCP:
        size = 12
        if end - at > 4:
            size = max(12, int(buffer[at + 4]) * 4)
    return min(end, at + size)


@inlined
def _transport_layer(
    buffer: Any, at: int, end: int, version: int, protocol: int, ends: Any, quoted: bool,
    record: Any, keys: Any,
) -> Any:  # fmt: skip
    """Read what section 2 needs and set the key.

    Returns:
        (Counted.FLOW_PACKETS, MALFORMED or, for ICMP that is no query, ICMP_ERRORS, ICMP_INFO or
        EXCLUDED; the BIT_ flags; where the last header ends).
    """
    source, target = ends
    room = end - at
    kind = (protocol << 8) | version
    if protocol in (_TCP, _UDP, _SCTP, _DCCP, _UDPLITE):
        if room < (14 if protocol == _TCP and not quoted else 4):
            return _MALFORMED, 0, at
        ports = (int(be16(buffer, at)), int(be16(buffer, at + 2)))
        bits = _set_key(record, kind, source, target, ports, keys)
        if protocol == _TCP and not quoted:
            bits |= _tcp_bits(int(buffer[at + 13]))
        else:
            bits |= BIT_REQUEST
        return _FLOW_PACKETS, bits, transport_cut(buffer, at, end, protocol)
    if protocol == (_ICMP if version == 4 else _ICMPV6):
        if room < 2:
            return _MALFORMED, 0, at
        icmp_type = int(buffer[at])
        icmp = int(ICMP_KINDS[version >> 1 & 1, icmp_type])
        if icmp == ICMP_ERROR:
            if version == 4 and icmp_type == 3 and buffer[at + 1] == 4:  # path MTU: no failure
                return _ICMP_INFO, 0, at
            return _ICMP_ERRORS, 0, at
        if icmp == ICMP_INFORMS:
            return _ICMP_INFO, 0, at
        if icmp == ICMP_EXCLUDED:
            return _EXCLUDED, 0, at
        if room < 6:
            return _MALFORMED, 0, at
        # The identifier stands where both ports would, so that it does not order the ends.
        identifier = int(be16(buffer, at + 4))
        kind |= icmp >> 1 << 4
        bits = _set_key(record, kind, source, target, (identifier, identifier), keys)
        bits |= BIT_RESPONSE if icmp & 1 else BIT_REQUEST
        return _FLOW_PACKETS, bits, min(end, at + 8)
    bits = _set_key(record, kind, source, target, (0, 0), keys) | BIT_REQUEST
    return _FLOW_PACKETS, bits, at


@inlined
def _tcp_bits(flags: int) -> int:
    bits = 0
    opening = flags & (_SYN | _ACK | _RST)
    if opening in (_SYN, 0):
        bits |= BIT_REQUEST
    elif opening == _SYN | _ACK:
        bits |= BIT_RESPONSE
    if flags & (_SYN | _ACK) == _SYN:
        bits |= BIT_SYN
    if flags & _RST:
        bits |= BIT_RESET
    if flags & (_FIN | _RST):
        bits |= BIT_CLOSING
    return bits


@inlined
def _icmp_error(
    buffer: Any, at: int, end: int, version: int, target: Any, record: Any, keys: Any
) -> Any:
    """Read the header that an ICMP error quotes.

    The error is tied to a flow only where the quoted packet's sender is whom the error is sent to.

    Returns:
        (the BIT_ flags, where the quoted headers end).
    """
    record.icmp_type, record.icmp_code = buffer[at], buffer[at + 1]
    at = min(end, at + 8)
    counted, protocol, after, _ = network_layer(buffer, at, end, version, True)
    if counted == _MALFORMED:
        return 0, at
    if counted == _FRAGMENTS:
        return 0, after
    ends = _addresses(buffer, at, version)
    counted, bits, cut = _transport_layer(
        buffer, after, end, version, protocol, ends, True, record, keys
    )
    if counted == _FLOW_PACKETS and ends[0] == target:
        bits |= BIT_QUOTED
    else:
        bits = 0
    return bits, cut


@inlined
def _decode_packet(
    buffer: Any, at: int, length: int, link: int, broadcast: Any, keys: Any, record: Any
) -> int:
    """Fill a HEADERS record, all but time and wire length; return under what it is counted."""
    end = at + length
    version, network, vlan = link_layer(buffer, at, end, link)
    record.network = U16(min(network - at, 0xFFFF))
    record.vlan = U16(vlan)
    if version == 0:
        return _NON_IP
    counted, protocol, after, end = network_layer(buffer, network, end, version, False)
    if counted != _FLOW_PACKETS:
        return counted
    source, target = _addresses(buffer, network, version)
    if _excluded(version, source[0], source[1], broadcast) or _excluded(
        version, target[0], target[1], broadcast
    ):
        return _EXCLUDED
    counted, bits, cut = _transport_layer(
        buffer, after, end, version, protocol, (source, target), False, record, keys
    )
    if counted == _ICMP_ERRORS:
        bits, cut = _icmp_error(buffer, after, end, version, target, record, keys)
    record.bits = bits
    record.cut = U16(min(cut - at, 0xFFFF))
    return counted


@kernel
def decode_packets(
    buffer: Any, offset: Any, length: Any, wire_length: Any, time: Any, link: Any,
    broadcast: Any, keys: Any, headers: Any,
) -> None:  # fmt: skip
    """Fill one HEADERS record per packet; the arguments are a PacketBatch's columns."""
    for i in range(len(offset)):
        record = headers[i]
        record.time = time[i]
        record.wire_length = wire_length[i]
        record.counted = _decode_packet(
            buffer, offset[i], int(length[i]), int(link[i]), broadcast, keys, record
        )


class Decoder:
    """Turns batches of packets into HEADERS records.

    Args:
        internal: prefixes whose directed broadcasts reach no single host.

    Attributes:
        keys: uint64, shape (11,): the hash's secret, another one each time, so that nobody can
            aim for one slot of a table.
    """

    def __init__(self, internal: Iterable[Network]) -> None:
        excluded = {_LIMITED_BROADCAST, *map(int, directed_broadcasts(internal))}
        self._broadcast = np.array(sorted(excluded), np.uint32)
        self.keys = np.frombuffer(os.urandom(11 * 8), np.uint64)

    def decode(self, batch: PacketBatch, room: NDArray[Any] | None = None) -> NDArray[Any]:
        """Return the HEADERS records of a batch, shape (N,), in ``room`` if it is large enough."""
        if room is None or len(room) < len(batch):
            room = np.empty(len(batch), HEADERS)
        headers = room[: len(batch)]
        decode_packets(
            batch.buffer, batch.offset, batch.length, batch.wire_length, batch.time, batch.link,
            self._broadcast, self.keys, headers,
        )  # fmt: skip
        return headers
