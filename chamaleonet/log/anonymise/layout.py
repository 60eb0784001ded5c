"""Where in a captured packet the parts stand that anonymisation changes; the rest is cut off.

What cannot be read is not kept: it may hide an address. So a packet ends with the last header that
is understood, whatever was captured.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from chamaleonet.flows.decode import (
    ICMP_ERROR,
    ICMP_EXCLUDED,
    ICMP_KINDS,
    link_layer,
    network_layer,
    transport_cut,
)
from chamaleonet.flows.headers import Counted
from chamaleonet.flows.loads import be32, be64
from chamaleonet.kernels import inlined, kernel
from chamaleonet.log.text import write_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The headers of one IP packet, as indices into the buffer.
LAYER = np.dtype(
    [
        ("network", np.int64),  # IP header, whole with its options or extensions
        ("transport", np.int64),  # next header, as far as it is kept
        ("end", np.int64),  # end of what is kept of the IP packet
        ("version", np.uint8),  # 0: no IP header is kept
        ("protocol", np.uint8),  # of the next header
    ],
    align=True,
)

# One packet; "quoted" is what an ICMP error quotes, and lies within "outer".
LAYOUT = np.dtype([("outer", LAYER), ("quoted", LAYER)], align=True)
ADDRESSES = 7  # that tell of one packet

_FLOW_PACKETS = int(Counted.FLOW_PACKETS)
_ICMP, _ICMPV6 = 1, 58


@inlined
def _ip_layer(
    buffer: Any, at: int, end: int, version: int, quoted: bool, layer: Any
) -> tuple[int, int]:
    """Lay out one IP packet.

    Returns:
        (where its ICMP error quotes another, or -1; the packet's end inside the capture).
    """
    counted, protocol, after, end = network_layer(buffer, at, end, version, quoted)
    layer.network = layer.transport = layer.end = at
    layer.version = layer.protocol = 0
    if after == at:
        return -1, end
    layer.version, layer.protocol = version, protocol
    layer.transport = layer.end = after
    if counted != _FLOW_PACKETS:
        return -1, end
    if protocol != (_ICMP if version == 4 else _ICMPV6):
        layer.end = transport_cut(buffer, after, end, protocol)
    elif end - after >= 2:
        kind = ICMP_KINDS[version >> 1 & 1, buffer[after]]
        if kind < ICMP_EXCLUDED or kind == ICMP_ERROR:
            layer.end = min(end, after + 8)
            if kind == ICMP_ERROR and not quoted:
                return layer.end, end
    return -1, end


@inlined
def _layers(buffer: Any, at: int, end: int, link: int, layout: Any) -> int:
    """Lay out a packet and return where it is cut."""
    outer, quoted = layout.outer, layout.quoted
    outer.version = quoted.version = 0
    version, network, _ = link_layer(buffer, at, end, link)
    if version == 0:
        return at
    quote, end = _ip_layer(buffer, network, end, version, False, outer)
    if quote >= 0:
        _ip_layer(buffer, quote, end, version, True, quoted)
        outer.end = quoted.end
    return int(outer.end)


@inlined
def _read_addresses(buffer: Any, layer: Any, source: Any, target: Any) -> None:
    source.version = target.version = layer.version
    if layer.version == 4:
        source.hi = target.hi = np.uint64(0)
        source.lo = np.uint64(be32(buffer, layer.network + 12))
        target.lo = np.uint64(be32(buffer, layer.network + 16))
    elif layer.version == 6:
        source.hi, source.lo = be64(buffer, layer.network + 8), be64(buffer, layer.network + 16)
        target.hi, target.lo = be64(buffer, layer.network + 24), be64(buffer, layer.network + 32)


@inlined
def _read_ends(flow: Any, low: Any, high: Any, sender: Any) -> None:
    low.version = high.version = flow.kind & 15  # 0 in an orphan's empty record
    sender.version = low.version if flow.sender_hi | flow.sender_lo else 0
    low.hi, low.lo = flow.low_hi, flow.low_lo
    high.hi, high.lo = flow.high_hi, flow.high_lo
    sender.hi, sender.lo = flow.sender_hi, flow.sender_lo


@kernel
def measure(packets: NDArray[Any], size: int) -> int:
    """Return how many bytes packets (CAPTURED) have together, -1 if one is beyond ``size``."""
    total = 0
    for i in range(len(packets)):
        offset, length = packets[i].offset, int(packets[i].length)
        if offset < 0 or length > size - offset:
            return -1
        total += length
    return total


@kernel
def lay_out(
    packets: NDArray[Any],
    data: NDArray[np.uint8],
    out: NDArray[np.uint8],
    at: int,
    layouts: NDArray[Any],
    addresses: NDArray[Any],
) -> int:
    """Copy packets up to their last header and tell what stands where.

    Args:
        packets: CAPTURED, shape (n,), all within ``data``; made to point into ``out``.
        data: uint8: the packets' bytes.
        out: uint8, with room for the packets' lengths from index ``at``.
        at: where the first packet goes in ``out``.
        layouts: LAYOUT, shape (n,), filled: indices into ``out``.
        addresses: ADDRESS, shape (n, ADDRESSES), filled: outer source and target, quoted ones; of
            the packet's flow the low end, the high end and the ICMP error's sender.

    Returns:
        The index after the last packet.
    """
    for i in range(len(packets)):
        packet = packets[i]
        start, length = packet.offset, int(packet.length)
        write_bytes(data, start, length, out, at)
        cut = _layers(out, at, at + length, int(packet.link), layouts[i])
        _read_addresses(out, layouts[i].outer, addresses[i, 0], addresses[i, 1])
        _read_addresses(out, layouts[i].quoted, addresses[i, 2], addresses[i, 3])
        _read_ends(packet.flow, addresses[i, 4], addresses[i, 5], addresses[i, 6])
        packet.offset, packet.length = at, cut - at
        at = cut
    return at
