"""Internet checksums of headers that were changed (RFC 1071, RFC 1624).

What lies whole before us is summed anew, which also mends what a network card was to fill in after
the capture. Where payload was cut away, the sum is adjusted by the difference between what is left
of it before and after.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chamaleonet.flows.loads import be16, be32
from chamaleonet.kernels import inlined
from chamaleonet.log.anonymise.blank import covered_ends

_ICMP, _TCP, _UDP, _DCCP, _ICMPV6, _UDPLITE = 1, 6, 17, 33, 58, 136

U64 = np.uint64


@inlined
def _sum(buffer: Any, at: int, end: int) -> Any:
    """Return the sum of 16-bit words, to be folded."""
    total = U64(0)
    while end - at >= 4:
        total += U64(be32(buffer, at))
        at += 4
    if end - at >= 2:
        total += U64(be16(buffer, at))
        at += 2
    if end > at:
        total += U64(buffer[at]) << U64(8)
    return total


@inlined
def _fold(total: Any) -> Any:
    """Return the one's complement sum in 16 bits."""
    while total >> U64(16):
        total = (total & U64(0xFFFF)) + (total >> U64(16))
    return total


@inlined
def _store(buffer: Any, at: int, value: Any) -> None:
    buffer[at] = value >> U64(8)
    buffer[at + 1] = value & U64(0xFF)


@inlined
def _field(layer: Any) -> int:
    """Return where the transport checksum stands, -1 where there is none."""
    protocol = layer.protocol
    if protocol == _TCP:
        at = layer.transport + 16
    elif protocol in (_UDP, _UDPLITE, _DCCP):
        at = layer.transport + 6
    elif protocol in (_ICMP, _ICMPV6):
        at = layer.transport + 2
    else:
        return -1
    return int(at) if layer.end - at >= 2 else -1


@inlined
def covered(buffer: Any, layer: Any) -> Any:
    """Return the sum of what the transport checksum covers and is kept, addresses included.

    Args:
        buffer: uint8.
        layer: one layout.LAYER record, version not 0.
    """
    total = _sum(buffer, layer.transport, layer.end)
    if layer.version == 4 and layer.protocol == _ICMP:
        return total
    size = 4 if layer.version == 4 else 16
    for at in covered_ends(buffer, layer):
        total += _sum(buffer, at, at + size)
    return total


@inlined
def is_whole(buffer: Any, layer: Any) -> bool:
    """Tell whether the IP packet is kept to its end, by its own length."""
    at = layer.network
    if layer.version == 4:
        return bool(at + int(be16(buffer, at + 2)) == layer.end)
    return bool(at + 40 + int(be16(buffer, at + 4)) == layer.end)


@inlined
def update_transport(buffer: Any, layer: Any, before: Any, whole: bool) -> None:
    """Mend a transport checksum.

    Args:
        buffer: uint8, changed but for this checksum.
        layer: one layout.LAYER record, version not 0.
        before: what ``covered`` was before the change.
        whole: all that the checksum covers is kept.
    """
    at = _field(layer)
    if at < 0:
        return
    protocol = layer.protocol
    old = U64(be16(buffer, at))
    if protocol == _UDP:
        whole = whole and layer.end - layer.transport == int(be16(buffer, layer.transport + 4))
        if old == 0 and not (whole and layer.version == 6):
            return  # the sender computed none
    # UDP-Lite and DCCP may cover less than all, and no network card computes theirs.
    if whole and protocol not in (_UDPLITE, _DCCP):
        _store(buffer, at, U64(0))
        total = covered(buffer, layer)
        if not (layer.version == 4 and protocol == _ICMP):
            total += U64(protocol) + U64(layer.end - layer.transport)
    else:
        after, before = _fold(covered(buffer, layer)), _fold(before)
        if after == before:
            return
        total = (old ^ U64(0xFFFF)) + (before ^ U64(0xFFFF)) + after
    checksum = _fold(total) ^ U64(0xFFFF)
    if checksum == 0 and protocol in (_UDP, _UDPLITE):
        checksum = U64(0xFFFF)
    _store(buffer, at, checksum)


@inlined
def update_network(buffer: Any, layer: Any) -> None:
    """Compute an IPv4 header's checksum; an IPv6 header has none."""
    if layer.version == 4:
        at = layer.network
        _store(buffer, at + 10, U64(0))
        _store(buffer, at + 10, _fold(_sum(buffer, at, layer.transport)) ^ U64(0xFFFF))
