"""Networks by the topologies, with a learning switch for a probe, and what is tried on them."""

from __future__ import annotations

import contextlib
import importlib
import ipaddress
import time
from collections import Counter

from mininet_tests.harness import ROOT, ends_of, mininet, packet_socket, run, switch_runs


def topologies():
    """Return all that there are, by name."""
    mininet()
    files = (ROOT / "topologies").glob("*.py")
    modules = [importlib.import_module(f"topologies.{file.stem}") for file in files]
    return {name: topo for each in modules for name, topo in getattr(each, "topos", {}).items()}


@contextlib.contextmanager
def built(name, rules=("actions=NORMAL",), **options):
    """A network by a topology, whose probes have these rules."""
    assert switch_runs()
    topo = topologies()[name]()
    net = mininet().net.Mininet(topo=topo, **{"controller": None} | options)
    try:
        net.start()
        for probe in net.topo.probes:
            for rule in rules:
                run("ovs-ofctl", "--protocols=OpenFlow13", "add-flow", probe, rule)
        yield net
    finally:
        net.stop()


def addresses(net, host, at=0):
    """Return an IPv4 and an IPv6 address of a host: its main ones, or others of its pool."""
    own = net[host].params["addresses"]
    return [address.split("/")[0] for address in own[2 * at :][:2]]


def pings(net, pairs, count=3, interval=0.1):
    """Ping side by side, (host, target); return what each said."""
    running = {
        (host, target): net[host].popen(
            ["ping", "-n", "-c", str(count), "-i", str(interval), "-W", "2", target], text=True
        )
        for host, target in pairs
    }
    return {pair: process.communicate()[0] for pair, process in running.items()}


def unreached(net, pairs):
    """Return what said those of which no ping came back; a single one may be lost on the way."""
    return {pair: said for pair, said in pings(net, pairs).items() if " 0 received" in said}


class Seen:
    """What passes interfaces, in both directions."""

    def __init__(self, net, *interfaces):
        self._sockets = [packet_socket(name, net[name.split("-")[0]].pid) for name in interfaces]

    def ends(self):
        """Return how often which addresses were seen together, source first, at each interface."""
        time.sleep(0.1)
        found = []
        for raw in self._sockets:
            frames = []
            with contextlib.suppress(BlockingIOError):
                while True:
                    frames.append(raw.recv(65535))
            found.append(Counter(map(ends_of, frames)))
        return found

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for raw in self._sockets:
            raw.close()


def packed(*texts):
    return tuple(ipaddress.ip_address(text).packed for text in texts)
