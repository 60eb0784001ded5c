"""Topologies by name or file, read as ``mn --custom`` reads them, and what the lab needs of them.

Besides being a Mininet topology one has the attributes ``probes``, the names of the switches to
watch by, whose ``dpid`` must be given; ``internal``, the prefixes that are watched; ``taps``, pairs
of node and interface where all that crosses the probes passes exactly once; if mirror ports feed
the probes, ``forward = "none"``; and, if there are such, ``detours``, names of hosts whose packets
come late, not all, in tunnels or with other addresses. Hosts have the parameters ``addresses`` (in
CIDR notation, the main ones first) and ``inside``.
"""

from __future__ import annotations

import runpy
from dataclasses import dataclass
from ipaddress import ip_interface
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chamaleonet.errors import UserError
from chamaleonet.lab.inventory import Host, Inventory
from chamaleonet.lab.machine import mininet
from chamaleonet.lab.probe import Probe
from chamaleonet.units import network

if TYPE_CHECKING:
    from chamaleonet.units import Network

_PACKAGE = Path(__file__).parents[1]
# In the wheel they lie in the package, in a checkout beside it.
_PLACES = (_PACKAGE / "topologies", _PACKAGE.parent / "topologies")


@dataclass(frozen=True)
class Topology:
    """A topology, not yet built.

    Attributes:
        plan: Mininet's object.
        probes: the switches to watch by.
        internal: the prefixes that are inside.
        taps: nodes and interfaces to capture at.
        forward: what the probes do with packets, as in ``switches[].forward``.
        inventory: of its hosts.
        detours: hosts whose packets come late, not all, in tunnels or with other addresses.
    """

    plan: Any
    probes: tuple[Probe, ...]
    internal: tuple[Network, ...]
    taps: tuple[tuple[str, str], ...]
    forward: str
    inventory: Inventory
    detours: tuple[str, ...] = ()

    def addresses(self) -> set[str]:
        """Return the addresses of all nodes and of their interfaces, as far as it says."""
        ends = [
            info.get(end, {})
            for *_, info in self.plan.links(withInfo=True)
            for end in ("params1", "params2")
        ]
        nodes = [self.plan.nodeInfo(name) for name in self.plan.nodes()]
        return {
            str(ip_interface(address).ip)
            for its in (*nodes, *ends)
            for address in its.get("addresses", ())
        }

    def check_node(self, name: str) -> None:
        """Make sure that there is a host or router.

        Raises:
            UserError: there is none of this name.
        """
        if name not in (known := self.plan.hosts()):
            raise UserError(f"{name}: no host or router of the topology ({', '.join(known)})")


def load(name: str) -> Topology:
    """Read a topology.

    Args:
        name: one that comes with the package, or a file; ``FILE:NAME`` if there are several in it.

    Raises:
        UserError: there is none, or it lacks what the lab needs.
    """
    mininet()
    plan = _of_file(name) if "/" in name or ".py" in name else _of_package(name)
    try:
        return _checked(plan())
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"topology {name}: {_words(error)}") from error


def _of_package(name: str) -> Any:
    files = sorted(path for place in _PLACES for path in place.glob("*.py"))
    # One of a file's own name is what most are.
    for path in sorted(files, key=lambda path: path.stem != name):
        if name in (topologies := _read(path)):
            return topologies[name]
    known = sorted({each for path in files for each in _read(path)})
    raise UserError(f"{name}: no such topology (there are: {', '.join(known)}; or give a file)")


def _of_file(name: str) -> Any:
    file, _, chosen = name.partition(":")
    path = Path(file)
    if not path.is_file():
        raise UserError(f"{file}: no such file")
    topologies = _read(path)
    if not topologies:
        raise UserError(f"{file}: no dictionary 'topos' in it, as mn --custom wants it")
    if chosen not in topologies and (chosen or len(topologies) > 1):
        raise UserError(f"{name}: choose of {', '.join(f'{file}:{each}' for each in topologies)}")
    return topologies[chosen or next(iter(topologies))]


def _read(path: Path) -> dict[str, Any]:
    try:
        topologies: dict[str, Any] = runpy.run_path(str(path)).get("topos", {})
    except Exception as error:
        raise UserError(f"{path}: {type(error).__name__}: {error}") from error
    return topologies


def _words(error: Exception) -> str:
    if isinstance(error, AttributeError):
        return f"has no attribute {error.name!r}"
    return f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)


def _checked(plan: Any) -> Topology:
    switches, nodes = plan.switches(), plan.nodes()
    if not plan.probes:
        raise ValueError("'probes' is empty: nothing to watch by")
    for name in plan.probes:
        if name not in switches:
            raise ValueError(f"probes: {name!r} is no switch of it")
    if not plan.internal:
        raise ValueError("'internal' is empty: nothing to watch")
    for node, _interface in plan.taps:
        if node not in nodes:
            raise ValueError(f"taps: {node!r} is no node of it")
    if not plan.taps:
        raise ValueError("'taps' is empty: what happened must be seen somewhere")
    information = {name: plan.nodeInfo(name) for name in plan.hosts()}
    return Topology(
        plan,
        tuple(
            Probe(name, int(plan.nodeInfo(name)["dpid"], 16), number)
            for number, name in enumerate(plan.probes)
        ),
        tuple(network(each) for each in plan.internal),
        tuple((node, interface) for node, interface in plan.taps),
        getattr(plan, "forward", "normal"),
        Inventory(
            Host.of(name, its["addresses"], inside=bool(its["inside"]))
            for name, its in information.items()
            if its.get("addresses")
        ),
        tuple(getattr(plan, "detours", ())),
    )
