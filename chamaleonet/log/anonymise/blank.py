"""Blanks what in headers may hold an address, or what nobody knows to hold none.

Options are kept by a list of those that are known to hold no address; all others are overwritten
by padding of the same length, so that headers keep their lengths:

* IPv4 options but Router Alert become No Operation. Gone are record route, source routes,
  timestamps (RFC 791), traceroute (RFC 1393) and others.
* IPv6 hop-by-hop and destination options but Router Alert, Jumbo Payload and Tunnel Encapsulation
  Limit become PadN of zeros. Gone is Home Address (RFC 6275), for one.
* IPv6 routing headers (RFC 8200, RFC 6275, RFC 8754) keep their type and length: their addresses
  and Segments Left become zero.
* TCP options but those of a plain connection (maximum segment size, window scale, SACK, timestamps)
  become No Operation. Gone are Multipath TCP (RFC 8684: addresses and tokens), Fast Open cookies
  (RFC 7413), and others.
* What follows DCCP's generic header becomes zero: padding, where there are options (RFC 4340).

What follows the end of an option list, or an option that is broken, becomes zero too.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chamaleonet.flows.loads import be16
from chamaleonet.kernels import inlined

_TCP, _DCCP = 6, 33
_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _DESTINATION = 0, 43, 44, 51, 60
_END, _NO_OPERATION = 0, 1  # IPv4 and TCP options
_PAD1, _PADN = 0, 1  # IPv6 options
_LOOSE_ROUTE, _STRICT_ROUTE = 131, 137
_HOME_ADDRESS = 0xC9
_ROUTING_TYPE_0, _ROUTING_TYPE_2, _SEGMENT_ROUTING = 0, 2, 4


def _kept(*kinds: int) -> Any:
    kept = np.zeros(256, np.bool_)
    kept[list(kinds)] = True
    return kept


_KEPT_IPV4 = _kept(148)
_KEPT_IPV6 = _kept(0x04, 0x05, 0xC2)
_KEPT_TCP = _kept(2, 3, 4, 5, 8)


@inlined
def fill(buffer: Any, at: int, end: int, value: int) -> None:
    """Overwrite bytes."""
    for i in range(at, end):
        buffer[i] = value


@inlined
def _blank_options(buffer: Any, at: int, end: int, kept: Any) -> None:
    """Blank options as IPv4 and TCP have them."""
    while at < end:
        kind = buffer[at]
        if kind == _NO_OPERATION:
            at += 1
            continue
        size = int(buffer[at + 1]) if end - at >= 2 else 0
        if kind == _END or size < 2 or size > end - at:
            fill(buffer, at, end, _END)
            return
        if not kept[kind]:
            fill(buffer, at, at + size, _NO_OPERATION)
        at += size


@inlined
def _blank_ipv6_options(buffer: Any, at: int, end: int) -> None:
    while at < end:
        kind = buffer[at]
        if kind == _PAD1:
            at += 1
            continue
        size = 2 + int(buffer[at + 1]) if end - at >= 2 else 2
        if size > end - at:
            fill(buffer, at, end, _PAD1)
            return
        if not _KEPT_IPV6[kind]:
            buffer[at] = _PADN
            fill(buffer, at + 2, at + size, 0)
        at += size


@inlined
def _extension_size(buffer: Any, at: int, protocol: int) -> int:
    if protocol == _FRAGMENT:
        return 8
    if protocol == _AUTHENTICATION:
        return (int(buffer[at + 1]) + 2) * 4
    return (int(buffer[at + 1]) + 1) * 8


@inlined
def blank_network(buffer: Any, layer: Any) -> bool:
    """Blank an IP header's options or extensions, and tell whether the packet is a fragment.

    Args:
        buffer: uint8.
        layer: one layout.LAYER record, version not 0.
    """
    at, end = layer.network, layer.transport
    if layer.version == 4:
        _blank_options(buffer, at + 20, end, _KEPT_IPV4)
        return bool(be16(buffer, at + 6) & 0x3FFF)
    fragment = False
    protocol = int(buffer[at + 6])
    at += 40
    while at < end:  # all extensions up to there are whole
        size = _extension_size(buffer, at, protocol)
        if protocol == _FRAGMENT:
            fragment = bool(be16(buffer, at + 2) & 0xFFF9)
        elif protocol == _ROUTING:
            fill(buffer, at + 3, at + size, 0)
        elif protocol != _AUTHENTICATION:
            _blank_ipv6_options(buffer, at + 2, at + size)
        protocol = int(buffer[at])
        at += size
    return fragment


@inlined
def blank_transport(buffer: Any, layer: Any) -> None:
    """Blank a transport header's options."""
    at, end = layer.transport, layer.end
    if layer.protocol == _TCP:
        _blank_options(buffer, at + 20, end, _KEPT_TCP)
    elif layer.protocol == _DCCP and end - at > 8:
        long_sequence = buffer[at + 8] & 1
        fill(buffer, at + (16 if long_sequence else 12), end, 0)


@inlined
def _home_address(buffer: Any, at: int, end: int) -> Any:
    """Return where the Home Address option's address stands in destination options, or -1."""
    while at < end:
        size = 2 + int(buffer[at + 1]) if buffer[at] != _PAD1 and end - at >= 2 else 1
        if buffer[at] == _HOME_ADDRESS and size == 18 and end - at >= 18:
            return at + 2
        at += size
    return -1


@inlined
def _ipv4_ends(buffer: Any, at: int, end: int) -> Any:
    source, destination = at + 12, at + 16
    at += 20
    while at < end and buffer[at] != _END:
        kind = buffer[at]
        size = int(buffer[at + 1]) if kind != _NO_OPERATION and end - at >= 2 else 1
        if size > end - at or (size < 2 and kind != _NO_OPERATION):
            break
        if kind in (_LOOSE_ROUTE, _STRICT_ROUTE) and size >= 7 and buffer[at + 2] <= size:
            destination = at + size - 4
        at += size
    return source, destination


@inlined
def _ipv6_ends(buffer: Any, at: int, end: int) -> Any:
    source, destination = at + 8, at + 24
    protocol = int(buffer[at + 6])
    at += 40
    while at < end:
        size = _extension_size(buffer, at, protocol)
        if protocol == _ROUTING and buffer[at + 3] > 0 and size >= 24:
            kind = buffer[at + 2]
            if kind == _ROUTING_TYPE_0:
                destination = at + size - 16
            elif kind in (_ROUTING_TYPE_2, _SEGMENT_ROUTING):
                destination = at + 8
        elif protocol == _DESTINATION:
            home = _home_address(buffer, at + 2, at + size)
            if home >= 0:
                source = home
        protocol = int(buffer[at])
        at += size
    return source, destination


@inlined
def covered_ends(buffer: Any, layer: Any) -> Any:
    """Return where the addresses stand that transport checksums cover.

    The source is a mobile node's home address (RFC 6275, 11.3.1); the destination is the last of
    a source route that is not used up (RFC 1122, 3.2.1.8; RFC 8200, 8.1). Once these are blanked,
    both are those in the IP header.

    Args:
        buffer: uint8.
        layer: one layout.LAYER record, version not 0.

    Returns:
        (where the source stands, where the destination stands).
    """
    if layer.version == 4:
        return _ipv4_ends(buffer, layer.network, layer.transport)
    return _ipv6_ends(buffer, layer.network, layer.transport)
