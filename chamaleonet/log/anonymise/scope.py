"""Which addresses are replaced: a set of prefixes, as sorted edges that kernels search."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from chamaleonet.kernels import inlined

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from chamaleonet.units import Network


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(map(ip_network, texts))


EVERYTHING = _networks("0.0.0.0/0", "::/0")

# No single host has these, or every host has: unspecified (in records it means "nobody"),
# loopback, multicast, limited broadcast.
_NEVER = _networks(
    "0.0.0.0/32", "127.0.0.0/8", "224.0.0.0/4", "255.255.255.255/32",
    "::/128", "::1/128", "ff00::/8",
)  # fmt: skip
# Of the operator's own links by definition (RFC 3927, RFC 4291), and often made of a MAC address.
_LINK_LOCAL = _networks("169.254.0.0/16", "fe80::/10")
# Multicast groups that are made of a unicast address or prefix: solicited-node (RFC 4291),
# prefix-based (RFC 3306), with a rendezvous point (RFC 3956).
_TELLING_GROUPS = _networks("ff02::1:ff00:0/104", "ff30::/12", "ff70::/12")
# IPv6 prefixes that are followed by an IPv4 address: mapped (RFC 4291), NAT64 (RFC 6052), 6to4
# (RFC 3056).
_EMBEDDING = (
    IPv6Network("::ffff:0:0/96"),
    IPv6Network("64:ff9b::/96"),
    IPv6Network("2002::/16"),
)


class Scope(NamedTuple):
    """Addresses from an even edge up to the next one are in the set; uint64 arrays."""

    ipv4: NDArray[np.uint64]
    ipv6_hi: NDArray[np.uint64]
    ipv6_lo: NDArray[np.uint64]


def make_scope(replaced: Iterable[Network], kept: Iterable[Network] = ()) -> Scope:
    """Return the set of the addresses in ``replaced`` but not in ``kept``.

    Addresses that belong to no single host are not in it. Link-local addresses, and multicast
    groups that tell an address, are, unless ``kept``. An IPv6 address that is made of an IPv4
    address goes with that one.
    """
    wanted = [*_with_embedding(replaced), *_LINK_LOCAL]
    kept = _with_embedding(kept)
    ipv4, ipv6 = _edges(4, wanted, kept), _edges(6, wanted, kept)
    return Scope(
        np.array(ipv4, np.uint64),
        np.array([edge >> 64 for edge in ipv6], np.uint64),
        np.array([edge & 0xFFFFFFFFFFFFFFFF for edge in ipv6], np.uint64),
    )


def _with_embedding(networks: Iterable[Network]) -> list[Network]:
    result: list[Network] = []
    for network in networks:
        result.append(network)
        if isinstance(network, IPv4Network):
            for outer in _EMBEDDING:
                address = int(network.network_address) << (96 - outer.prefixlen)
                address |= int(outer.network_address)
                result.append(IPv6Network((address, outer.prefixlen + network.prefixlen)))
    return result


def _edges(version: int, wanted: list[Network], kept: list[Network]) -> list[int]:
    """Return where the set begins and ends, in turn, along the numbers of the addresses."""

    def ranges(networks: Iterable[Network]) -> list[tuple[int, int]]:
        return [
            (int(each.network_address), int(each.broadcast_address))
            for each in networks
            if each.version == version
        ]

    parts = [ranges(part) for part in (wanted, _NEVER, _TELLING_GROUPS, kept)]
    edges: list[int] = []
    for point in sorted({edge for part in parts for low, high in part for edge in (low, high + 1)}):
        is_wanted, is_never, is_telling, is_kept = (
            any(low <= point <= high for low, high in part) for part in parts
        )
        inside = not is_kept and (is_telling or (is_wanted and not is_never))
        if inside != bool(len(edges) & 1):
            edges.append(point)
    # No address is beyond the last one.
    return [edge for edge in edges if edge < 1 << (32 if version == 4 else 128)]


@inlined
def in_scope(scope: Any, version: Any, hi: Any, lo: Any) -> bool:
    """Tell whether an address is in the set; its words are uint64, most significant first."""
    below, above = 0, len(scope.ipv4) if version == 4 else len(scope.ipv6_hi)
    while below < above:
        middle = (below + above) >> 1
        if version == 4:
            reached = scope.ipv4[middle] <= lo
        else:
            edge = scope.ipv6_hi[middle]
            reached = edge < hi or (edge == hi and scope.ipv6_lo[middle] <= lo)
        if reached:
            below = middle + 1
        else:
            above = middle
    return bool(below & 1)  # edges at or below the address
