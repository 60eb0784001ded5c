"""Addresses at which no server of the Internet can be."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

# RFC 6890 and its updates; fec0::/10 by RFC 3879: Windows asked fec0:0:0:ffff::1 to ::3 for DNS
# where it was told of no resolver. Addresses for documentation and shared ones (100.64.0.0/10)
# are left out: laboratories use those, and providers these.
_BOGONS = tuple(
    (ip_network(network), name)
    for network, name in (
        ("0.0.0.0/8", "an address of “this network”"),
        ("10.0.0.0/8", "a private address outside this network"),
        ("127.0.0.0/8", "localhost"),
        ("169.254.0.0/16", "a link-local address"),
        ("172.16.0.0/12", "a private address outside this network"),
        ("192.168.0.0/16", "a private address outside this network"),
        ("240.0.0.0/4", "a reserved address"),
        ("::/127", "localhost"),
        ("100::/64", "a discard-only address"),
        ("fc00::/7", "a private address outside this network"),
        ("fe80::/10", "a link-local address"),
        ("fec0::/10", "a site-local address, which is no longer in use"),
    )
)


def bogon(address: str) -> str | None:
    """Return what an address outside the network is that nothing can be at, None if it may be."""
    number = ip_address(address)
    return next(
        (
            name
            for network, name in _BOGONS
            if number.version == network.version and number in network
        ),
        None,
    )
