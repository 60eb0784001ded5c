"""Community ID version 1, seed 0: the flow's name that Zeek, Suricata and Wireshark give too.

https://github.com/corelight/community-id-spec: "1:" and the base64 of a SHA-1 over both ends in
order, the protocol, and the ports of TCP, UDP, SCTP and ICMP. An ICMP query has two "ports": the
message types of request and reply. Every other protocol, UDP-Lite and DCCP among them, has none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from chamaleonet.flows.records import MARK_CLIENT_HIGH, Query
from chamaleonet.flows.transitions import State
from chamaleonet.kernels import inlined

if TYPE_CHECKING:
    from numpy.typing import NDArray

COMMUNITY_ID_BYTES = 30
SHA1_WORDS = 80  # uint32 that write_community_id needs to work in

_ICMP, _TCP, _UDP, _ICMPV6, _SCTP = 1, 6, 17, 58, 132
_UNSOLICITED = int(State.UNSOLICITED)
_ONE = np.uint64(1)
_BASE64 = np.frombuffer(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", np.uint8
)

# Request and reply type by query kind (RFC 792, RFC 950); ICMPv6 has echo only (RFC 4443).
_TYPES = np.zeros((len(Query), 2), np.uint32)
_TYPES[Query.ECHO] = 8, 0
_TYPES[Query.TIMESTAMP] = 13, 14
_TYPES[Query.INFORMATION] = 15, 16
_TYPES[Query.ADDRESS_MASK] = 17, 18


@inlined
def _rotate(word: Any, bits: int) -> Any:
    return np.uint32((word << bits) | (word >> (32 - bits)))


@inlined
def _sha1(words: NDArray[np.uint32]) -> Any:
    """Hash one padded 64-byte block, big-endian in the first 16 words (FIPS 180-4, 6.1.2)."""
    for i in range(16, 80):
        words[i] = _rotate(words[i - 3] ^ words[i - 8] ^ words[i - 14] ^ words[i - 16], 1)
    h0, h1, h2 = np.uint32(0x67452301), np.uint32(0xEFCDAB89), np.uint32(0x98BADCFE)
    h3, h4 = np.uint32(0x10325476), np.uint32(0xC3D2E1F0)
    a, b, c, d, e = h0, h1, h2, h3, h4
    for i in range(80):
        if i < 20:
            mixed = np.uint32(((b & c) | (~b & d)) + np.uint32(0x5A827999))
        elif i < 40:
            mixed = np.uint32((b ^ c ^ d) + np.uint32(0x6ED9EBA1))
        elif i < 60:
            mixed = np.uint32(((b & c) | (b & d) | (c & d)) + np.uint32(0x8F1BBCDC))
        else:
            mixed = np.uint32((b ^ c ^ d) + np.uint32(0xCA62C1D6))
        mixed = np.uint32(mixed + _rotate(a, 5) + e + words[i])
        e, d, c, b, a = d, c, _rotate(b, 30), a, mixed
    return (
        np.uint32(h0 + a),
        np.uint32(h1 + b),
        np.uint32(h2 + c),
        np.uint32(h3 + d),
        np.uint32(h4 + e),
    )


@inlined
def _ports(flow: Any) -> tuple[bool, Any, Any]:
    """Return whether the flow has ports, and those of its low and its high end."""
    protocol, query = flow.kind >> 8, (flow.kind >> 4) & 15
    if protocol in (_TCP, _UDP, _SCTP):
        return True, np.uint32(flow.ports >> 16), np.uint32(flow.ports & 0xFFFF)
    if protocol == _ICMP:
        request, reply = _TYPES[query]
    elif protocol == _ICMPV6:
        request, reply = np.uint32(128), np.uint32(129)
    else:
        return False, np.uint32(0), np.uint32(0)
    # The client of an unsolicited flow is the one that replied.
    if ((flow.marks & MARK_CLIENT_HIGH) != 0) != (flow.state == _UNSOLICITED):
        return True, reply, request
    return True, request, reply


@inlined
def write_community_id(
    flow: Any, words: NDArray[np.uint32], out: NDArray[np.uint8], at: int
) -> int:
    """Write the flow's Community ID and return the index after it.

    Args:
        flow: one FLOW record.
        words: uint32, shape (SHA1_WORDS,): working memory.
        out: uint8: COMMUNITY_ID_BYTES are written from index ``at``.
        at: where to write.
    """
    has_ports, low_port, high_port = _ports(flow)
    swap = flow.low_hi > flow.high_hi or (
        flow.low_hi == flow.high_hi
        and (flow.low_lo > flow.high_lo or (flow.low_lo == flow.high_lo and low_port > high_port))
    )
    # The hashed message: seed (16 bits), address, address, protocol, 0, port, port.
    n, carry = 0, np.uint64(0)
    for end in range(2):
        if (end == 0) != swap:
            address_hi, address_lo = flow.low_hi, flow.low_lo
        else:
            address_hi, address_lo = flow.high_hi, flow.high_lo
        for i in range(3 if flow.kind & 15 == 4 else 0, 4):
            half = address_hi if i < 2 else address_lo
            word = (half >> np.uint64(32 * (~i & 1))) & np.uint64(0xFFFFFFFF)
            words[n] = np.uint32((carry << np.uint64(16)) | (word >> np.uint64(16)))
            carry = word & np.uint64(0xFFFF)
            n += 1
    words[n] = np.uint32((carry << np.uint64(16)) | np.uint64(flow.kind & 0xFF00))
    n += 1
    if has_ports:
        words[n] = (high_port << 16) | low_port if swap else (low_port << 16) | high_port
        n += 1
    words[n] = np.uint32(0x80000000)
    words[n + 1 : 15] = 0
    words[15] = 32 * n
    digest = _sha1(words)

    out[at] = ord("1")
    out[at + 1] = ord(":")
    at += 2
    bits, held, i = np.uint64(0), 0, 0
    for word in digest:
        bits = (bits << np.uint64(32)) | np.uint64(word)
        held += 32
        while held >= 6:
            held -= 6
            out[at] = _BASE64[(bits >> np.uint64(held)) & np.uint64(63)]
            at += 1
        bits &= (_ONE << np.uint64(held)) - _ONE
    # 160 bits are 26 digits and 4 bits: one more digit and one "=" of padding.
    out[at] = _BASE64[(bits << np.uint64(2)) & np.uint64(63)]
    out[at + 1] = ord("=")
    return at + 2
