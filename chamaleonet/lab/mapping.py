"""Which host's address stands for which address of a capture.

Addresses inside the capture's internal prefixes get one of a host inside the topology, all others
one of a host outside. No two get the same. They are given in the order in which they come, first
those that hosts have anyway, then others of the hosts' subnets, which the hosts are to be given.
Neighbours stay neighbours: addresses of one /24 (IPv4) or /64 (IPv6) share a host, as long as it
has room and they do not speak with each other, for what a host says to itself is on no wire.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from itertools import chain
from random import Random
from typing import TYPE_CHECKING

from chamaleonet.errors import UserError
from chamaleonet.lab.inventory import FAMILIES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from chamaleonet.lab.inventory import Host, Inventory
    from chamaleonet.units import Network

Address = IPv4Address | IPv6Address

# Why a packet cannot be mapped.
LINK_LOCAL = "link_local"  # such an address means another host on each link
NO_HOST = "excluded"  # an ICMP error quotes multicast, broadcast or an unspecified address
NO_ADDRESS = "no_address"  # the topology has no more
SAME_HOST = "same_host"  # both ends are one host's, so nothing is on a wire
CAUSES = (LINK_LOCAL, NO_HOST, NO_ADDRESS, SAME_HOST)

_NEIGHBOURS = {4: 8, 6: 64}  # bits in which neighbours differ
_Place = tuple[str, str]  # host, address


@dataclass(frozen=True)
class Choice:
    """That these addresses of the capture get addresses of this selector.

    Attributes:
        network: of the capture.
        selector: as scenarios have it (inventory.Inventory.ends).
    """

    network: Network
    selector: str


def choice(text: str) -> Choice:
    """Return a choice written as ``CIDR=SELECTOR`` or ``ADDRESS=SELECTOR``.

    Raises:
        ValueError: it is written in another way.
    """
    network, _, selector = text.partition("=")
    try:
        if selector:
            return Choice(ip_network(network), selector)
        why = "there is no selector"
    except ValueError as error:
        why = str(error)
    raise ValueError(f"{text!r} is not CIDR=SELECTOR or ADDRESS=SELECTOR: {why}")


class Mapping:
    """Gives addresses of a capture places in a topology.

    Args:
        inventory: of the topology.
        hosts: names of the hosts whose addresses are given.
        internal: the capture's internal prefixes.
        choices: these come first, in their order; what they name is given to nothing else.
        seed: by which hosts are drawn.
        taken: addresses of the topology that no inventory tells of, such as routers'.
        reserved: addresses of hosts that are given by choices only.

    Attributes:
        new: by an address of the capture the one that it got, both in network byte order.
        hosts: by an address that was given the host that has it.
        added: by host the addresses that it is to be given, in CIDR notation.
        unused: networks of choices that no address was in so far.

    Raises:
        UserError: a choice's selector names nothing, or an address where no host is.
    """

    def __init__(
        self,
        inventory: Inventory,
        *,
        hosts: Collection[str],
        internal: Sequence[Network],
        choices: Sequence[Choice] = (),
        seed: int = 1,
        taken: Iterable[str] = (),
        reserved: Iterable[str] = (),
    ) -> None:
        self.new: dict[bytes, bytes] = {}
        self.hosts: dict[bytes, str] = {}
        self.added: dict[str, list[str]] = {}
        self.unused = {each.network for each in choices}
        self._internal = internal
        chosen = [_places(inventory, each.selector) for each in choices]
        self._choices = [
            (each.network, {family: iter(places[family]) for family in FAMILIES})
            for each, places in zip(choices, chosen, strict=True)
        ]
        self._taken = {
            *taken,
            *(its for host in inventory.hosts.values() for its in chain(*host.addresses.values())),
        }
        kept = {
            *reserved,
            *(address for places in chosen for each in places.values() for _, address in each),
        }
        order = [host for host in inventory.hosts.values() if host.name in hosts]
        Random(seed).shuffle(order)
        self._rooms: dict[tuple[bool, int], dict[str, Iterator[str]]] = {
            (inside, family): {
                host.name: chain(
                    (each for each in host.addresses[family] if each not in kept),
                    self._more(host, family),
                )
                for host in order
                if host.inside == inside
            }
            for inside in (True, False)
            for family in FAMILIES
        }
        self._neighbours: dict[tuple[bool, int, int], list[str]] = {}

    def take(self, addresses: Sequence[bytes]) -> str | None:
        """Give places to a packet's addresses that have none yet.

        Args:
            addresses: source, destination and those that it quotes.

        Returns:
            None, or one of CAUSES: why the packet cannot be mapped.
        """
        read = [ip_address(each) for each in addresses]
        if any(each.is_link_local for each in read):
            return LINK_LOCAL
        if any(_is_no_host(each) for each in read):
            return NO_HOST
        for packed, address in zip(addresses, read, strict=True):
            if packed not in self.new:
                others = {self.hosts[self.new[each]] for each in addresses if each in self.new}
                place = self._place(address, others)
                if place is None:
                    return NO_ADDRESS
                host, its = place
                self.new[packed] = ip_address(its).packed
                self.hosts[self.new[packed]] = host
        source, destination = (self.hosts[self.new[each]] for each in addresses[:2])
        return SAME_HOST if source == destination else None

    def of(self, host: str) -> set[str]:
        """Return the addresses of a host that were given."""
        return {str(ip_address(each)) for each, owner in self.hosts.items() if owner == host}

    def _place(self, address: Address, others: Collection[str]) -> _Place | None:
        """Return a free place for an address, best on a host that is none of others."""
        for network, places in self._choices:
            if address in network:
                self.unused.discard(network)
                return next(places[address.version], None)
        inside = any(address in network for network in self._internal)
        rooms = self._rooms[inside, address.version]
        neighbourhood = (inside, address.version, int(address) >> _NEIGHBOURS[address.version])
        known = self._neighbours.setdefault(neighbourhood, [])
        wanted = [*known, *(host for host in rooms if host not in known)]
        for host in sorted(wanted, key=lambda host: host in others):  # stable
            its = next(rooms[host], None)
            if its is not None:
                if host not in known:
                    known.append(host)
                    rooms[host] = rooms.pop(host)  # the next neighbourhood tries others first
                return host, its
        return None

    def _more(self, host: Host, family: int) -> Iterator[str]:
        """Yield addresses of a host's subnets that nobody has; they are added to it."""
        for subnet in host.subnets:
            if subnet.version == family:
                for address in map(str, subnet.hosts()):
                    if address not in self._taken:
                        self._taken.add(address)
                        added = self.added.setdefault(host.name, [])
                        added.append(f"{address}/{subnet.prefixlen}")
                        yield address


def _places(inventory: Inventory, selector: str) -> dict[int, list[_Place]]:
    """Return the places that a selector names, by IP version."""
    places: dict[int, list[_Place]] = {family: [] for family in FAMILIES}
    for end in inventory.ends(selector):
        if end.host is None:
            raise UserError(f"{selector}: no host has this address, so nothing can be sent from it")
        for family, address in end.addresses.items():
            places[family].append((end.host, address))
    return places


def _is_no_host(address: Address) -> bool:
    limited_broadcast = address.version == 4 and int(address) == 0xFFFFFFFF
    return address.is_multicast or address.is_unspecified or limited_broadcast
