"""A topology as a running network on this machine, with our ports at its probes."""

from __future__ import annotations

from functools import partial
from subprocess import DEVNULL, PIPE
from typing import TYPE_CHECKING, Any

from chamaleonet.errors import UserError
from chamaleonet.lab.machine import mininet
from chamaleonet.lab.namespace import entered
from chamaleonet.lab.probe import disjoin, join

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from chamaleonet.lab.topology import Topology


class Network:
    """The network, which is to be removed at the end, built or not.

    Args:
        topology: what to build.
        controller: TCP port on 127.0.0.1 where the controller will listen.
    """

    def __init__(self, topology: Topology, controller: int) -> None:
        module = mininet()
        self._topology, self._controller = topology, controller
        self._net = module.net.Mininet(
            topo=topology.plan,
            # Topologies that say nothing else have the datapath that is there everywhere.
            switch=partial(module.node.OVSSwitch, datapath="user"),
            controller=None, waitConnected=False, build=False,
        )  # fmt: skip

    def build(self) -> None:
        """Build it.

        Raises:
            UserError: that went wrong halfway; ``remove`` removes the half.
        """
        try:
            self._net.build()
            self._net.start()
        except Exception as error:  # Mininet has no error of its own
            raise UserError(f"the network cannot be built: {error}") from error
        for probe in self._topology.probes:
            probe.attach(self._controller)
        if len(self._topology.probes) > 1:
            join(self._topology.probes)

    def remove(self) -> None:
        """Remove all of it that is there."""
        disjoin()
        for probe in self._topology.probes:
            probe.detach()
        self._net.stop()

    def nodes(self) -> list[str]:
        """Return the names of hosts and routers."""
        return [node.name for node in self._net.hosts]

    def entered(self, node: str) -> AbstractContextManager[None]:
        """Let the calling thread be in a node's namespace meanwhile."""
        return entered(self._net[node].pid)

    def start(self, node: str, command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        """Start a command in a node's namespace, as the leader of a process group.

        Args:
            node: a host, a router or a switch.
            command: without a shell; paths in it must be absolute.
            options: of ``subprocess.Popen``.
        """
        process: subprocess.Popen[bytes] = self._net[node].popen(
            list(command), **{"stdin": DEVNULL} | options
        )
        return process

    def run(self, node: str, command: Sequence[str], given: str = "") -> str:
        """Run a command in a node's namespace; return what it printed.

        Args:
            node: a host, a router or a switch.
            command: without a shell.
            given: to its standard input.

        Raises:
            UserError: it failed; with what it said.
        """
        process = self.start(node, command, stdin=PIPE, stdout=PIPE, stderr=PIPE)
        out, err = process.communicate(given.encode())
        if process.returncode:
            said = err.decode(errors="replace").strip() or process.returncode
            raise UserError(f"{node}: {' '.join(command)}: {said}")
        return out.decode(errors="replace")
