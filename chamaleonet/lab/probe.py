"""A switch to watch by: our two ports at it, and what the configuration says of it."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, NamedTuple

from chamaleonet.config import datapath_text
from chamaleonet.errors import UserError
from chamaleonet.lab.machine import run

PROGRAMS = ("ovs-vsctl", "ip")
JOINED = "chlogs"
_CANDIDATE_PORT, _LOGGER_PORT = 101, 102
_PRIVATE_VLAN = 4094  # ports in a VLAN of their own are not flooded to


class Probe(NamedTuple):
    """A bridge of this machine's Open vSwitch, and interfaces of ours that its ports lead to.

    Attributes:
        name: of the bridge.
        dp_id: its datapath id.
        number: tells its interfaces from those of other probes.
    """

    name: str
    dp_id: int
    number: int = 0

    @property
    def candidates(self) -> str:
        """The interface that the candidate port leads to."""
        return f"chcand{self.number}"

    @property
    def logger(self) -> str:
        """The interface that the logger port leads to."""
        return f"chlog{self.number}"

    def settings(self, pipeline: str) -> dict[str, Any]:
        """Return its entry in the configuration's ``switches``."""
        port = {"port": _CANDIDATE_PORT, "interface": self.candidates}
        return {
            "name": self.name,
            "dp_id": datapath_text(self.dp_id),
            "pipeline": pipeline,
            "truncate": True,
            "candidates": port if pipeline == "conntrack" else {},
            "logger_port": _LOGGER_PORT,
        }

    def attach(self, controller: int) -> None:
        """Add our ports, and have the switch connect to a controller.

        Args:
            controller: its TCP port on 127.0.0.1.

        Raises:
            UserError: Open vSwitch refused.
        """
        for port, interface in (
            (_CANDIDATE_PORT, self.candidates), (_LOGGER_PORT, self.logger),
        ):  # fmt: skip
            run(
                "ovs-vsctl", "add-port", self.name, interface, f"tag={_PRIVATE_VLAN}", "--",
                "set", "interface", interface, "type=internal", f"ofport_request={port}",
            )  # fmt: skip
            run("ip", "link", "set", interface, "addrgenmode", "none")
            run("ip", "link", "set", interface, "up")
        run("ovs-vsctl", "set-controller", self.name, f"tcp:127.0.0.1:{controller}")
        run("ovs-vsctl", "set", "controller", self.name, "max_backoff=1000")
        # Packet-ins that wait while this machine is busy are not to be dropped.
        run("ovs-vsctl", "set", "bridge", self.name, "other_config:controller-queue-size=512")

    def detach(self) -> None:
        """Remove our ports; it does not matter whether they are there."""
        for interface in (self.candidates, self.logger):
            with suppress(UserError):
                run("ovs-vsctl", "--if-exists", "del-port", self.name, interface)


def join(probes: tuple[Probe, ...]) -> None:
    """Lead the logger ports of several probes to one interface, ``JOINED``, as a tap would.

    Raises:
        UserError: the kernel refused.
    """
    run("ip", "link", "add", JOINED, "type", "bridge", "mcast_snooping", "0")
    run("ip", "link", "set", JOINED, "addrgenmode", "none")
    for probe in probes:
        # Isolated ports do not hear each other: nothing goes back into a switch.
        run("ip", "link", "set", probe.logger, "master", JOINED)
        run("ip", "link", "set", probe.logger, "type", "bridge_slave", "isolated", "on")
    run("ip", "link", "set", JOINED, "up")


def disjoin() -> None:
    """Remove ``JOINED``, if it is there."""
    with suppress(UserError):
        run("ip", "link", "delete", JOINED)


def logger_interface(probes: tuple[Probe, ...]) -> str:
    """Return the interface that a logger for these probes listens on."""
    return probes[0].logger if len(probes) == 1 else JOINED
