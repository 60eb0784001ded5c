"""Which flows a plant is about, and which machines."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address
from typing import TYPE_CHECKING

from chamaleonet.lab.named import Place

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

    from chamaleonet.lab.inventory import Inventory
    from chamaleonet.lab.scenario import Plant
    from chamaleonet.lab.truth import Key
    from chamaleonet.units import Network

_parsed = lru_cache(1 << 16)(ip_address)


class Planted:
    """A plant in a topology.

    Args:
        plant: of a scenario.
        inventory: of its topology.

    Attributes:
        plant: as given.
        place: its clients and servers.

    Raises:
        UserError: a selector names nothing.
    """

    def __init__(self, plant: Plant, inventory: Inventory) -> None:
        def networks(selectors: tuple[str, ...]) -> tuple[Network, ...]:
            return tuple(net for each in selectors for net in inventory.networks(each))

        self.plant = plant
        self._clients = networks(plant.match.clients or plant.clients)
        self._servers = networks(plant.match.servers or plant.servers)
        self._services = plant.match.services
        self.place = Place(self._clients + self._servers)

    def is_of(self, key: Key) -> bool:
        """Tell whether a flow is meant, by whoever began it and whom and what it asked for."""
        service = key.protocol if key.server_port is None else f"{key.protocol}/{key.server_port}"
        return (
            _within(_parsed(key.client), self._clients)
            and (not self._servers or _within(_parsed(key.server), self._servers))
            and (not self._services or service in self._services)
        )

    def touches(self, key: Key) -> bool:
        """Tell whether one of its machines is an end of a flow."""
        return any(
            _within(_parsed(end), self._clients + self._servers) for end in (key.client, key.server)
        )


def _within(address: IPv4Address | IPv6Address, networks: tuple[Network, ...]) -> bool:
    return any(address in network for network in networks)
