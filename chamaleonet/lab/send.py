"""Sends a prepared replay from the hosts of a running network."""

from __future__ import annotations

import json
import threading
import time
from contextlib import ExitStack
from ipaddress import ip_address, ip_interface
from typing import TYPE_CHECKING

from chamaleonet.errors import UserError
from chamaleonet.lab.namespace import packet_socket
from chamaleonet.lab.replay import Link, ethernet, write
from chamaleonet.lab.schedule import ARRIVES, SECOND

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable
    from pathlib import Path

    from chamaleonet.lab.network import Network
    from chamaleonet.lab.replay import Frame, Prepared

# Hosts know nothing of what is sent in their name: neither do they answer what comes, nor reset it.
# They go on to tell their neighbours who has which address.
_DEAF = """\
table inet chamaleonet-replay {
  set four { type ipv4_addr; %s }
  set six { type ipv6_addr; %s }
  chain input {
    type filter hook input priority raw;
    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert } accept
    ip daddr @four drop
    ip6 daddr @six drop
  }
}
"""


class Sender:
    """Sends frames at their times, in their order, each from the host that it is from.

    Args:
        prepared: what and when.
        network: runs already.
        directory: for ``sent.pcap``, the frames at their planned times.

    Attributes:
        behind: ns by which a frame was sent late, at most.
        sent: frames so far.
    """

    def __init__(self, prepared: Prepared, network: Network, directory: Path) -> None:
        self._prepared, self._mapping, self._network = prepared, prepared.mapping, network
        self._directory = directory
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._send, name="sender")
        self._error: UserError | None = None
        self._sockets = ExitStack()
        self._ways: list[tuple[socket.socket, bytes]] = []
        self.behind = self.sent = 0

    def set_up(self) -> None:
        """Give hosts their addresses, have them ignore what comes, and find the ways.

        Raises:
            UserError: a host refused, or a way leads to nobody.
        """
        for host in self._prepared.hosts:
            self._network.run(host, ["nft", "-f", "-"], _deaf(self._mapping.of(host)))
        for host, addresses in self._mapping.added.items():
            self._network.run(host, ["ip", "-batch", "-"], self._additions(host, addresses))
        ways = _Ways(self._network)
        sockets: dict[tuple[str, str], socket.socket] = {}
        frames = []
        for frame in self._prepared.frames:
            interface, link = ways.find(frame)
            if (frame.host, interface) not in sockets:
                with self._network.entered(frame.host):
                    raw = packet_socket(interface, hears=False)
                sockets[frame.host, interface] = self._sockets.enter_context(raw)
            frames.append(ethernet(frame, link))
            self._ways.append((sockets[frame.host, interface], frames[-1]))
        write(self._directory / "sent.pcap", self._prepared, frames)

    def _additions(self, host: str, addresses: Iterable[str]) -> str:
        """Return how a host gets addresses, in the words of ip(8)."""
        interfaces = _interfaces(self._network, host)
        by_subnet = {
            ip_interface(own).network: name for name, owns, _ in interfaces for own in owns
        }
        return "".join(
            f"address add {address} dev {by_subnet[ip_interface(address).network]}"
            f"{' nodad' if ':' in address else ''}\n"
            for address in addresses
        )

    def start(self) -> None:
        """Begin; it goes on in a thread of its own."""
        self._thread.start()

    def _send(self) -> None:
        begun = time.monotonic_ns()
        times: list[int] = []
        try:
            for frame, (raw, data) in zip(self._prepared.frames, self._ways, strict=True):
                due = begun + frame.at
                if frame.answers is not None:  # which may have been late
                    due = max(due, times[frame.answers] + ARRIVES)
                wait = due - time.monotonic_ns()
                if wait > 0 and self._over.wait(wait / SECOND):
                    return
                raw.send(data)
                times.append(time.monotonic_ns())
                self.behind = max(self.behind, times[-1] - begun - frame.at)
                self.sent += 1
        except OSError as error:
            self._error = UserError(f"sending the captures' packets: {error.strerror}")

    def check(self) -> None:
        """Make sure that sending goes on.

        Raises:
            UserError: what went wrong.
        """
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """End; write what was done, for the judge."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
        self._sockets.close()
        told = self._prepared.told() | {"sent": self.sent, "behind": self.behind / SECOND}
        (self._directory / "replay.json").write_text(json.dumps(told, indent=1) + "\n")


def _deaf(addresses: Iterable[str]) -> str:
    both: dict[int, list[str]] = {4: [], 6: []}
    for address in sorted(addresses):
        both[ip_address(address).version].append(address)
    return _DEAF % tuple(
        f"elements = {{ {', '.join(each)} }}" if each else "" for each in both.values()
    )


def _interfaces(network: Network, node: str) -> list[tuple[str, list[str], bytes]]:
    """Return a node's interfaces: name, addresses with prefix lengths, Ethernet address."""
    return [
        (
            each["ifname"],
            [f"{its['local']}/{its['prefixlen']}" for its in each["addr_info"] if "local" in its],
            bytes.fromhex(each.get("address", "").replace(":", "")),
        )
        for each in json.loads(network.run(node, ["ip", "-j", "address", "show"]))
        if each.get("link_type") == "ether"
    ]


class _Ways:
    """Where frames leave their hosts, and to whom, by the hosts' own routes.

    Args:
        network: whose nodes are asked for their addresses.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self._own: dict[tuple[str, str], bytes] = {}
        self._owners: dict[str, bytes] = {}
        for node in network.nodes():
            for interface, addresses, mac in _interfaces(network, node):
                self._own[node, interface] = mac
                self._owners |= {address.partition("/")[0]: mac for address in addresses}
        self._found: dict[tuple[str, str, int], tuple[str, Link]] = {}

    def find(self, frame: Frame) -> tuple[str, Link]:
        """Return the interface by which a frame leaves, and its Ethernet addresses.

        Raises:
            UserError: its host knows no way, or the next hop has no such address.
        """
        version = frame.packet[0] >> 4
        key = frame.host, frame.to, version
        if key not in self._found:
            self._found[key] = self._route(frame.host, frame.destination)
        return self._found[key]

    def _route(self, host: str, destination: str) -> tuple[str, Link]:
        [route] = json.loads(self._network.run(host, ["ip", "-j", "route", "get", destination]))
        interface, next_hop = route["dev"], route.get("gateway", destination)
        if next_hop not in self._owners or (host, interface) not in self._own:
            raise UserError(f"{host}: no Ethernet leads from it to {destination} ({next_hop})")
        return interface, Link(self._own[host, interface], self._owners[next_hop])
