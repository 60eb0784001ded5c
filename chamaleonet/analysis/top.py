"""Who has the most erroneous flows: clients, servers and server ports."""

from __future__ import annotations

from collections import Counter
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Any

import numpy as np

from chamaleonet.flows.records import MARK_CLIENT_HIGH

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from chamaleonet.flows.transitions import State

_ADDRESS = np.dtype([("version", np.uint64), ("hi", np.uint64), ("lo", np.uint64)])
_SERVICE = np.dtype([("protocol", np.uint16), ("port", np.uint16)])


class Top:
    """Counts erroneous flows by client, server and server port.

    Args:
        states: which flows are erroneous.
    """

    def __init__(self, states: tuple[State, ...]) -> None:
        self._states = states
        self._clients: Counter[tuple[int, ...]] = Counter()
        self._servers: Counter[tuple[int, ...]] = Counter()
        self._services: Counter[tuple[int, ...]] = Counter()

    def write(self, flows: NDArray[Any]) -> None:
        """Count ended flows: FLOW, shape (n,)."""
        flows = flows[np.isin(flows["state"], self._states)]
        client_high = (flows["marks"] & MARK_CLIENT_HIGH) != 0
        _count(self._clients, _addresses(flows, high=client_high))
        _count(self._servers, _addresses(flows, high=~client_high))
        services = np.empty(len(flows), _SERVICE)
        services["protocol"] = flows["kind"] >> 8
        # ICMP has an identifier there, which is no port.
        ports = np.where(client_high, flows["ports"] >> 16, flows["ports"] & 0xFFFF)
        services["port"] = np.where(flows["kind"] & 0xF0, 0, ports)
        _count(self._services, services)

    def clients(self, number: int) -> list[tuple[str, int]]:
        """Return the addresses of the clients with most erroneous flows, and how many."""
        return _most_addresses(self._clients, number)

    def servers(self, number: int) -> list[tuple[str, int]]:
        """Return the addresses of the servers with most erroneous flows, and how many."""
        return _most_addresses(self._servers, number)

    def services(self, number: int) -> list[tuple[tuple[int, int], int]]:
        """Return the (IP protocol, server port or 0) with most erroneous flows, and how many."""
        return [((key[0], key[1]), count) for key, count in _most(self._services, number)]


def _addresses(flows: NDArray[Any], *, high: NDArray[np.bool_]) -> NDArray[Any]:
    addresses = np.empty(len(flows), _ADDRESS)
    addresses["version"] = flows["kind"] & 15
    addresses["hi"] = np.where(high, flows["high_hi"], flows["low_hi"])
    addresses["lo"] = np.where(high, flows["high_lo"], flows["low_lo"])
    return addresses


def _count(counter: Counter[tuple[int, ...]], keys: NDArray[Any]) -> None:
    values, counts = np.unique(keys, return_counts=True)
    for value, count in zip(values.tolist(), counts.tolist(), strict=True):
        counter[value] += count


def _most(counter: Counter[tuple[int, ...]], number: int) -> list[tuple[tuple[int, ...], int]]:
    """Return the largest counts; equal ones by their keys, so that runs can be compared."""
    return sorted(counter.items(), key=lambda item: (-item[1], item[0]))[:number]


def _most_addresses(counter: Counter[tuple[int, ...]], number: int) -> list[tuple[str, int]]:
    return [(_text(*key), count) for key, count in _most(counter, number)]


def _text(version: int, hi: int, lo: int) -> str:
    return str(IPv4Address(lo) if version == 4 else IPv6Address(hi << 64 | lo))
