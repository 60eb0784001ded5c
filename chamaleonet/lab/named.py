"""What the report names: whose addresses stand in its findings and tables."""

from __future__ import annotations

from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from chamaleonet.units import Network

Report = dict[str, Any]

# Tables without addresses name nobody; these tell by a count that there was somebody.
_COUNTED: dict[str, Callable[[Any], bool]] = {
    "network_change": lambda table: table["failing_hosts"] > 0,
    "timeouts": lambda table: any(row["late"] > 0 for row in table["late"]),
}


# A wider network than these is named for whoever is in it.
_NARROW = {4: 24, 6: 48}


class Place:
    """The machines that a plant is about.

    Args:
        networks: theirs.
    """

    def __init__(self, networks: tuple[Network, ...]) -> None:
        self._networks = networks

    def __contains__(self, text: str) -> bool:
        """Tell whether an address, or a narrow network that overlaps, is meant."""
        try:
            other = ip_network(text)
        except ValueError:
            return False
        return other.prefixlen >= _NARROW[other.version] and any(
            network.version == other.version and network.overlaps(other)
            for network in self._networks
        )


def naming(report: Report, namers: tuple[str, ...], place: Place) -> list[str]:
    """Return which of some findings and tables name a place."""
    kinds = {finding["kind"] for finding in report["findings"] if is_about(finding, place)}
    return [
        namer
        for namer in namers
        if namer in kinds
        or (namer.startswith("table ") and _in_table(report, namer.removeprefix("table "), place))
    ]


def is_about(finding: dict[str, Any], place: Place) -> bool:
    """Tell whether a finding names a place, by its hosts or its evidence."""
    ends = (row[end] for row in finding["evidence"] for end in ("client", "server"))
    return any(address in place for address in (*finding["hosts"], *ends) if address)


def _in_table(report: Report, name: str, place: Place) -> bool:
    table = report["tables"].get(name)
    if table is None:
        return False
    counted = _COUNTED.get(name)
    return counted(table) if counted else any(text in place for text in _texts(table))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
