"""What the topologies are built of: hosts, routers, switches, wires, and the plan that joins them.

A host in the plural is one network namespace with many addresses: that costs a line each in one
``ip -batch``, where a namespace each would cost a process.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from mininet.link import OVSLink
from mininet.node import Node, OVSSwitch, Switch
from mininet.topo import Topo

_HERE = Path(__file__).parent

# For interfaces to come. Addresses are ours, so nobody asks whether they are taken or free. Routes
# may differ by direction. An ICMP error is what we are here for, so none is held back: the masks
# name the types that are limited, and type 0 of ICMPv6 is reserved.
_SETTINGS = {
    "ipv6.conf.default.accept_dad": 0,
    "ipv6.conf.default.accept_ra": 0,
    "ipv4.conf.all.rp_filter": 0,
    "ipv4.conf.default.rp_filter": 0,
    "ipv4.icmp_ratelimit": 0,
    "ipv4.icmp_ratemask": 0,
    "ipv6.icmp.ratelimit": 0,
    "ipv6.icmp.ratemask": 0,
}
_ROUTER_SETTINGS = {
    "ipv4.ip_forward": 1,
    "ipv6.conf.all.forwarding": 1,
    "ipv4.conf.all.send_redirects": 0,
    "ipv4.conf.default.send_redirects": 0,
}


class Lan(NamedTuple):
    """A /24 and a /64 in which hosts have the same numbers: 10.20.10.53 and 2001:db8:20:10::53.

    Attributes:
        v4: what precedes the number, such as ``10.20.10``.
        v6: what precedes ``::``, such as ``2001:db8:20:10``.
    """

    v4: str
    v6: str

    def at(self, number: int) -> tuple[str, str]:
        """Return the IPv4 and the IPv6 address of a number."""
        return f"{self.v4}.{number}", f"{self.v6}::{number}"

    def addresses(self, *numbers: int) -> tuple[str, ...]:
        """Return both addresses of each number, with their prefix lengths."""
        pairs = (self.at(number) for number in numbers)
        return tuple(text for v4, v6 in pairs for text in (f"{v4}/24", f"{v6}/64"))

    def prefixes(self) -> tuple[str, str]:
        return f"{self.v4}.0/24", f"{self.v6}::/64"

    def via(self, number: int) -> tuple[str, ...]:
        """Return routes to the whole of it by one host, which drops in silence what is not its own.

        Otherwise the router asked for each address that is not there, and told the sender after
        three seconds (``mcast_solicit`` × ``retrans_time_ms``), which is neither soon nor never.
        """
        pairs = zip(self.prefixes(), self.at(number), strict=True)
        return tuple(f"{prefix} via {address}" for prefix, address in pairs)

    def default(self, number: int = 1) -> tuple[str, ...]:
        """Return default routes by one of its hosts."""
        return tuple(f"default via {address}" for address in self.at(number))


class _Helped:
    """A node with processes that end with it, or with us: their standard input ends."""

    def start_helper(self, script, *arguments):
        """Run one of our scripts in the node's namespace."""
        command = [sys.executable, "-I", str(_HERE / script), *map(str, arguments)]
        helper = self.popen(command, stdin=subprocess.PIPE, stdout=None, stderr=None)
        self.__dict__.setdefault("_helpers", []).append(helper)

    def terminate(self):
        for helper in self.__dict__.pop("_helpers", []):
            helper.stdin.close()
            helper.wait()
        super().terminate()


class Host(_Helped, Node):
    """Many hosts in one namespace, on one link.

    Args:
        addresses: all of its addresses with prefix lengths, IPv4 and IPv6 in turn. The first pair
            is what it speaks from unless told otherwise.
        inside: whether it belongs to the network that is watched.
        gateway: the IPv4 and the IPv6 address of its router.
        neighbours: prefixes that it reaches without a router.
        tunnel: see ``Tunnel``.
    """

    settings = _SETTINGS

    def __init__(self, name, **params):
        super().__init__(name, **params)
        self.run("".join(f"sysctl -qw net.{key}={value}\n" for key, value in self.settings.items()))

    def run(self, script: str) -> None:
        """Run a shell script in the namespace.

        Raises:
            RuntimeError: a command failed.
        """
        shell = self.popen(["sh", "-e"], stdin=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        said, _ = shell.communicate(script)
        if shell.returncode:
            raise RuntimeError(f"{self.name}: {said.strip()}")

    def config(self, tunnel=None, **params):
        """Configure interfaces, addresses and routes; Mininet calls it when all links are there."""
        lines = ["link set lo up", *self.lines(**params)]
        if tunnel:
            lines += tunnel.lines()
        checksums = "ethtool -K {} tx off rx off gso off tso off gro off\n"
        # Checksums left to hardware that is not there are wrong on the wire.
        self.run(
            "".join(checksums.format(name) for name in self.intfNames())
            + "\n".join(["ip -batch - <<end", *lines, "end\n"])
        )
        if tunnel:
            self.start_helper("tunnel.py", tunnel.name, tunnel.here, tunnel.there)
        return {}

    def lines(self, addresses=(), gateway=(), neighbours=(), **_):
        """Return what is to be done, in the words of ip(8)."""
        interface = self.intf()
        return [
            *_addresses(interface, addresses[:2]),
            # In IPv6 the newest address would be spoken from: all but the main one are deprecated.
            *_addresses(interface, addresses[2:], " preferred_lft 0"),
            *(f"route add {prefix} dev {interface}" for prefix in neighbours),
            *(f"route add default via {address} dev {interface}" for address in gateway),
        ]


class Router(Host):
    """Forwards between its links, each of which has the parameters ``addresses`` and ``routes``.

    A link's addresses imply no route: what is there is said by ``routes``, such as
    ``10.20.10.0/24 via 10.20.10.10``, for what lies behind that link.

    Args:
        routes: those that lead to no link, such as ``blackhole 10.0.0.0/8``.
        masquerade: the interface that hides IPv4 addresses behind its own.
        tunnel: see ``Tunnel``.
    """

    settings = _SETTINGS | _ROUTER_SETTINGS

    def config(self, masquerade=None, **params):
        super().config(**params)
        if masquerade:
            self.run(
                "nft add table ip nat\n"
                "nft 'add chain ip nat out { type nat hook postrouting priority srcnat; }'\n"
                f"nft add rule ip nat out oifname {masquerade} masquerade\n"
            )
        return {}

    def lines(self, routes=(), **_):
        lines = [f"route add {route}" for route in routes]
        for interface in self.intfList():
            lines += _addresses(interface, interface.params["addresses"], " noprefixroute")
            lines += (
                f"route add {route} dev {interface}{' onlink' if ' via ' in route else ''}"
                for route in interface.params["routes"]
            )
        return lines


def _addresses(interface, addresses, how=""):
    if addresses and not interface.ip:  # Mininet's own commands go by it
        interface.ip, interface.prefixLen = addresses[0].split("/")
    for address in addresses:
        yield f"address add {address} dev {interface}{how}{' nodad' if ':' in address else ''}"


class Tunnel(NamedTuple):
    """One end of a tunnel: IP in UDP, without encryption.

    Attributes:
        here: this end's own address, without the tunnel.
        there: the other end's.
        via: the router on the way there, which is not to be sought in the tunnel.
        addresses: of the tunnel's interface, with prefix lengths.
        routes: prefixes that lie beyond it.
        name: the interface's.
    """

    here: str
    there: str
    via: str
    addresses: tuple[str, ...]
    routes: tuple[str, ...]
    name: str = "tun0"

    def lines(self) -> list[str]:
        # A full packet of the tunnel and its headers fit the 1500 bytes of a link.
        return [
            f"route add {self.there} via {self.via}",
            f"tuntap add dev {self.name} mode tun",
            f"link set {self.name} up mtu 1400",
            *(f"address add {address} dev {self.name}" for address in self.addresses),
            *(f"route add {prefix} dev {self.name}" for prefix in self.routes),
        ]


def fastest_datapath() -> str:
    """Return ``kernel`` if this machine's kernel has Open vSwitch's module, else ``user``."""
    if not Path("/sys/module/openvswitch").exists():
        subprocess.run(["modprobe", "-q", "openvswitch"], check=False, capture_output=True)
    return "kernel" if Path("/sys/module/openvswitch").exists() else "user"


class Probe(OVSSwitch):
    """A switch that ChamaleoNet controls."""


class Fabric(OVSSwitch):
    """A learning switch that has no controller, even where Mininet has one for all.

    A link to it may have the parameters ``tag``, the VLAN whose access port this is, and
    ``mirror``: a copy of each packet leaves there, and nothing else.
    """

    def defaultDpid(self, dpid=None):  # noqa: N802
        return super().defaultDpid(dpid or self.name.encode()[:8].hex())

    def start(self, controllers):  # noqa: ARG002
        super().start([])

    def intfOpts(self, intf):  # noqa: N802
        options = super().intfOpts(intf)
        if "tag" in intf.params:
            options += f" -- set port {intf} tag={intf.params['tag']}"
        if "mirror" in intf.params:
            options += (
                f" -- --id=@port get port {intf}"
                f" -- --id=@mirror create mirror name={self} select_all=true output_port=@port"
                f" -- set bridge {self} mirrors=@mirror"
            )
        return options


class Wire(_Helped, Switch):
    """A long wire between its two links: frames arrive later, or never.

    It is a process of ours and no queueing discipline: netem is not in every kernel, and its loss
    has no seed in most.

    Args:
        delay: in seconds, one way.
        loss: share of the frames that are lost, each way.
        seed: of the loss.
    """

    controlIntf = None  # noqa: N815  Mininet asks for one

    def __init__(self, name, delay=0.0, loss=0.0, seed=1, **params):
        super().__init__(name, dpid="1", **params | {"inNamespace": True})
        self._weather = (delay, loss, seed)
        self.cmd("sysctl -qw net.ipv6.conf.default.disable_ipv6=1")

    def start(self, controllers):  # noqa: ARG002
        for interface in self.intfNames():
            self.cmd(f"ethtool -K {interface} tx off rx off gso off tso off gro off")
        self.start_helper("relay.py", *self.intfNames(), *self._weather)


class Network(Topo):
    """A topology with a probe. Subclasses say what is in it in ``lay_out``.

    Args:
        datapath: of all switches, ``kernel`` or ``user``; by default the kernel's if it is there.
        failMode: of the probes while no controller is connected: ``secure``, which forwards by the
            rules that are there, and none are at first; or ``standalone``, which forwards like any
            switch.

    Attributes:
        probes: names of the switches that ChamaleoNet controls.
        internal: the prefixes that are watched.
        taps: (node, interface) where all that crosses the probes passes exactly once, for each of
            the probes, or one for all.
        forward: what the probes do with packets, as in the configuration's ``switches[].forward``.
        detours: hosts whose packets come late, not all, in tunnels or with other addresses.
    """

    probes: tuple[str, ...] = ("s1",)
    internal: tuple[str, ...] = ()
    taps: tuple[tuple[str, str], ...] = ()
    forward = "normal"
    detours: tuple[str, ...] = ()

    def build(self, datapath=None, failMode="secure"):  # noqa: N803  Mininet's names
        self._datapath = datapath or fastest_datapath()
        for number, name in enumerate(self.probes):
            self.addSwitch(
                name, cls=Probe, dpid=f"{0xA1 + number:016x}", datapath=self._datapath,
                protocols="OpenFlow13", failMode=failMode,
            )  # fmt: skip
        self.lay_out()

    def lay_out(self):
        raise NotImplementedError

    def fabric(self, name):
        """Add a learning switch."""
        self.addSwitch(name, cls=Fabric, datapath=self._datapath, failMode="standalone")

    def hosts_at(self, name, lan, numbers, *, inside, **params):
        """Add a host with many addresses, whose router has the number 1."""
        self.addHost(
            name, cls=Host, addresses=lan.addresses(*numbers), gateway=lan.at(1), inside=inside,
            **params,
        )  # fmt: skip

    def router(self, name, **params):
        self.addHost(name, cls=Router, **params)

    def patch(self, one, other, **params):
        """Join two switches, at no cost."""
        self.addLink(one, other, cls=OVSLink, **params)

    def route(self, router, node, addresses, routes, **params):
        """Link a router to a node, by an interface with these addresses and routes."""
        own = {"addresses": addresses, "routes": routes}
        self.addLink(router, node, params1=own, **params)
