"""The addresses of a topology's hosts, and the selectors by which scenarios name them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address, ip_interface, ip_network
from typing import TYPE_CHECKING

from chamaleonet.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from chamaleonet.units import Network

FAMILIES = (4, 6)
_SELECTOR = re.compile(r"(?P<host>[a-z][a-z0-9]*)(:(?P<first>\d+)(-(?P<last>\d+))?)?")


@dataclass(frozen=True)
class Host:
    """A namespace of a topology, which may hold the addresses of hundreds of machines.

    Attributes:
        name: as the topology has it.
        inside: it is in the network that is watched.
        addresses: by IP version, the main address first; those of one machine have one index.
        subnets: that its addresses are in.
    """

    name: str
    inside: bool
    addresses: Mapping[int, tuple[str, ...]]
    subnets: tuple[Network, ...] = ()

    @classmethod
    def of(cls, name: str, interfaces: Iterable[str], *, inside: bool) -> Host:
        """Return a host by its addresses in CIDR notation."""
        own = [ip_interface(each) for each in interfaces]
        return cls(
            name,
            inside,
            {
                family: tuple(str(each.ip) for each in own if each.version == family)
                for family in FAMILIES
            },
            tuple(dict.fromkeys(each.network for each in own)),
        )


@dataclass(frozen=True)
class End:
    """One machine: a host and which of its addresses, or an address that no host has.

    Attributes:
        host: its namespace; None where nothing runs.
        addresses: by IP version; there may be none of a version.
    """

    host: str | None
    addresses: Mapping[int, str]


class Inventory:
    """All hosts of a topology.

    Args:
        hosts: in the order of the topology.
    """

    def __init__(self, hosts: Iterable[Host]) -> None:
        self.hosts = {host.name: host for host in hosts}

    def ends(self, selector: str) -> list[End]:
        """Return the machines that a selector names.

        Args:
            selector: ``staff`` for a host's main address, ``staff:3`` for its fourth,
                ``staff:0-19`` for its first twenty; or an IP address, which need not exist.

        Raises:
            UserError: there is no such host, or it has fewer addresses.
        """
        address = _address(selector)
        if address is not None:
            return [End(self._owner(selector), {ip_address(selector).version: address})]
        match = _SELECTOR.fullmatch(selector)
        if match is None or (host := self.hosts.get(match["host"])) is None:
            known = ", ".join(self.hosts)
            raise UserError(f"{selector}: neither an address nor a host of the topology ({known})")
        first = int(match["first"] or 0)
        last = int(match["last"] or first)
        most = max(map(len, host.addresses.values()))
        if not first <= last < most:
            raise UserError(f"{selector}: {host.name} has addresses 0 to {most - 1}")
        return [
            End(
                host.name,
                {family: its[n] for family, its in host.addresses.items() if n < len(its)},
            )
            for n in range(first, last + 1)
        ]

    def networks(self, selector: str) -> list[Network]:
        """Return what a selector or a network in CIDR notation names, as networks.

        Raises:
            UserError: as ``ends``.
        """
        if "/" in selector:
            try:
                return [ip_network(selector)]
            except ValueError as error:
                raise UserError(f"{selector}: {error}") from None
        return [
            ip_network(address) for end in self.ends(selector) for address in end.addresses.values()
        ]

    def _owner(self, address: str) -> str | None:
        text = _address(address)
        return next(
            (
                host.name
                for host in self.hosts.values()
                if any(text in its for its in host.addresses.values())
            ),
            None,
        )


def _address(text: str) -> str | None:
    try:
        return str(ip_address(text))
    except ValueError:
        return None
