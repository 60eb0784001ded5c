"""Captured headers get other addresses, and checksums that fit them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from chamaleonet.capture.link import LinkType
from chamaleonet.kernels import inlined, kernel
from chamaleonet.log.anonymise.blank import blank_network, blank_transport, fill
from chamaleonet.log.anonymise.checksums import covered, is_whole, update_network, update_transport

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ETHERNET = int(LinkType.ETHERNET)
_SLL, _SLL2 = int(LinkType.LINUX_SLL), int(LinkType.LINUX_SLL2)

U64 = np.uint64


@inlined
def _zero_macs(buffer: Any, at: int, link: int) -> None:
    """Zero the link-layer addresses of a packet whose link-layer header is whole."""
    if link == _ETHERNET:
        fill(buffer, at, at + 12, 0)
    elif link == _SLL:
        fill(buffer, at + 6, at + 14, 0)
    elif link == _SLL2:
        fill(buffer, at + 12, at + 20, 0)


@inlined
def _store_word(buffer: Any, at: int, size: int, word: Any) -> None:
    for i in range(size):
        buffer[at + i] = (word >> U64(8 * (size - 1 - i))) & U64(0xFF)


@inlined
def _store_address(buffer: Any, at: int, address: Any) -> None:
    if address.version == 4:
        _store_word(buffer, at, 4, address.lo)
    else:
        _store_word(buffer, at, 8, address.hi)
        _store_word(buffer, at + 8, 8, address.lo)


@inlined
def _store_ends(flow: Any, low: Any, high: Any, sender: Any) -> None:
    flow.low_hi, flow.low_lo = low.hi, low.lo
    flow.high_hi, flow.high_lo = high.hi, high.lo
    flow.sender_hi, flow.sender_lo = sender.hi, sender.lo


@inlined
def _change(buffer: Any, layer: Any, source: Any, target: Any) -> bool:
    """Change all but checksums; tell whether the packet is a fragment."""
    if layer.version == 4:
        _store_address(buffer, layer.network + 12, source)
        _store_address(buffer, layer.network + 16, target)
    else:
        _store_address(buffer, layer.network + 8, source)
        _store_address(buffer, layer.network + 24, target)
    blank_transport(buffer, layer)
    return blank_network(buffer, layer)


@kernel
def rewrite(
    packets: NDArray[Any],
    buffer: NDArray[np.uint8],
    layouts: NDArray[Any],
    addresses: NDArray[Any],
    zero_macs: bool,
) -> None:
    """Change packets in place.

    Args:
        packets: CAPTURED, shape (n,).
        buffer: uint8: the packets' bytes.
        layouts: layout.LAYOUT, shape (n,).
        addresses: ADDRESS, shape (n, layout.ADDRESSES): the new ones.
        zero_macs: zero the link-layer addresses.
    """
    for i in range(len(packets)):
        packet = packets[i]
        if zero_macs and packet.length > 0:
            _zero_macs(buffer, packet.offset, int(packet.link))
        _store_ends(packet.flow, addresses[i, 4], addresses[i, 5], addresses[i, 6])
        outer, quoted = layouts[i].outer, layouts[i].quoted
        if outer.version == 0:
            continue
        before = covered(buffer, outer)
        fragment = _change(buffer, outer, addresses[i, 0], addresses[i, 1])
        if quoted.version != 0:
            quoted_before = covered(buffer, quoted)
            _change(buffer, quoted, addresses[i, 2], addresses[i, 3])
            update_network(buffer, quoted)
            # What it covers was cut by who quoted it, or by us.
            update_transport(buffer, quoted, quoted_before, False)
        update_network(buffer, outer)
        whole = not fragment and is_whole(buffer, outer)
        update_transport(buffer, outer, before, whole)
