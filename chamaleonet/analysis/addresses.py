"""Addresses as the log writes them (RFC 5952 text), compared and aggregated by the engine.

There is no type of address that every engine has, so this is made of text and integers.
"""

from __future__ import annotations

from functools import reduce
from ipaddress import IPv4Network, IPv6Network
from operator import or_
from typing import TYPE_CHECKING

import ibis
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import ibis.expr.types as ir

    from chamaleonet.units import Network

_FALSE = ibis.literal(False)
_PREFIX = pa.schema(
    [
        ("prefix", pa.string()),
        ("length", pa.int64()),
        ("first", pa.string()),
        ("last", pa.string()),
    ]
)
_LARGE = 7  # an IPv6 network of a shorter prefix has too many first groups to list them


def is_ipv6(address: ir.StringValue) -> ir.BooleanValue:
    """Whether an address is an IPv6 one."""
    return address.contains(":")


def within(address: ir.StringValue, networks: Iterable[Network]) -> ir.BooleanValue:
    """Whether an address lies in one of a few networks; never where it is null."""
    networks = list(networks)
    key = _key(address)
    inside = reduce(or_, (key.between(*_ends(network)) for network in networks), _FALSE)
    return (may_be_in(address, networks) & inside).fill_null(False)


def may_be_in(address: ir.StringValue, networks: Iterable[Network]) -> ir.BooleanValue:
    """Whether an address begins like those of a network: drops most, at little cost."""
    heads: set[str] = set()
    large = False
    for network in networks:
        if network.version == 6 and network.prefixlen < _LARGE:
            large = True
        else:
            heads.update(_heads(network))
    may_be = address.re_extract(r"^([0-9a-f]*)[.:]", 1).isin(sorted(heads))
    return may_be | is_ipv6(address) if large else may_be


def longest_match(addresses: ir.Table, networks: Iterable[Network]) -> ir.Table:
    """Return which of many networks addresses are in.

    Args:
        addresses: with a column ``address``.
        networks: to look for.

    Returns:
        The addresses that are in one, each once: ``address``, and as ``network`` the longest of
        their prefixes, in CIDR notation.
    """
    networks = list(networks)
    rows = addresses.select("address").distinct()
    rows = rows.filter(may_be_in(rows.address, networks)).mutate(key=lambda row: _key(row.address))
    prefixes = ibis.memtable(
        pa.Table.from_pylist(
            [
                {"prefix": str(network), "length": network.prefixlen, "first": first, "last": last}
                for network in networks
                for first, last in [_ends(network)]
            ],
            _PREFIX,
        )
    )
    found = rows.inner_join(prefixes, [rows.key >= prefixes.first, rows.key <= prefixes.last])
    return found.group_by("address").aggregate(network=found.prefix.argmax(found.length))


def _heads(network: Network) -> Iterator[str]:
    """Return the first groups, as they are written, of a network's addresses."""
    shift, form = (24, "d") if network.version == 4 else (112, "x")
    for group in range(int(network[0]) >> shift, (int(network[-1]) >> shift) + 1):
        yield format(group, form)
        if not group:
            yield ""  # of ::1


def _key(address: ir.StringValue) -> ir.StringValue:
    """Return an address as a text with the order of addresses, IPv4 ones first."""
    octets = _octets(address).map(lambda octet: octet.lpad(3, "0")).join("")
    four, six = ibis.literal("4").concat(octets), ibis.literal("6").concat(ipv6_digits(address))
    return ibis.ifelse(is_ipv6(address), six, four)


def _ends(network: Network) -> tuple[str, str]:
    """Return the keys of a network's first and last address."""
    first, last = network[0], network[-1]
    if isinstance(network, IPv4Network):
        begin, end = ("".join(f"{octet:03d}" for octet in end.packed) for end in (first, last))
        return f"4{begin}", f"4{end}"
    return f"6{int(first):032x}", f"6{int(last):032x}"


def aggregate(address: ir.StringValue) -> ir.StringValue:
    """Return a key of an address's /24 or, for IPv6, /48; `cidr` tells which network it is."""
    four = address.re_extract(r"^(\d+\.\d+\.\d+)\.", 1)
    return ibis.ifelse(is_ipv6(address), ipv6_digits(address).left(12), four)


def cidr(key: str) -> str:
    """Return the network of an aggregate's key."""
    return f"{key}.0/24" if "." in key else str(IPv6Network((int(key, 16) << 80, 48)))


def ipv4_number(address: ir.StringValue) -> ir.IntegerValue:
    """Return an IPv4 address as a number, and 0 for an IPv6 one."""
    parts = _octets(address)
    return reduce(
        lambda number, part: number * 256 + part, (parts[i].cast("int64") for i in range(4))
    )


def _octets(address: ir.StringValue) -> ir.ArrayValue:
    """Return the four numbers of an IPv4 address, as text; of an IPv6 one they mean nothing."""
    # Spark splits at a regular expression, in which a dot is any character.
    text = ibis.ifelse(is_ipv6(address), "0.0.0.0", address).replace(".", ":")  # noqa: S104
    return text.split(":")


def ipv6_digits(address: ir.StringValue) -> ir.StringValue:
    """Return an IPv6 address as its 32 digits, in the order of addresses; zeros for an IPv4 one."""
    text = ibis.ifelse(is_ipv6(address), address, "::")
    colons = text.length() - text.replace(":", "").length()
    # Eight groups have seven colons: "::" stands for those that are missing and their zeros.
    zeros = ibis.literal(":").concat(ibis.literal("0:").repeat(8 - colons))
    groups = text.replace("::", zeros).split(":")
    return groups.map(lambda group: group.lpad(4, "0")).join("")
