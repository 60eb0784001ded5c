"""A small campus in network namespaces, on userspace Open vSwitch, built by Mininet.

    c1 c2 c3 ── [ chs1 ] ── border ── [ chs2 ] ── web dns filtered
                 │    │                   (the Internet)
              cand0  log0

The border router drops what goes to DEAD and answers "unreachable" for UNREACHABLE; ``filtered``
takes requests and its answers never leave it. Everything has IPv4 and IPv6 addresses.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Self

from chamaleonet.config import datapath_text
from chamaleonet.errors import UserError
from chamaleonet.lab.machine import mininet
from chamaleonet.lab.probe import Probe

PROBE = Probe("chs1", 0xC4A1)
_INTERNET_SWITCH = "chs2"


class Addresses(NamedTuple):
    """An IPv4 and an IPv6 address."""

    v4: str
    v6: str


CLIENTS = {f"c{n}": Addresses(f"10.0.0.{10 + n}", f"fd00:10::{10 + n}") for n in (1, 2, 3)}
_INSIDE = Addresses("10.0.0.254", "fd00:10::fe")
_OUTSIDE = Addresses("192.0.2.254", "2001:db8:1::fe")
WEB = Addresses("192.0.2.10", "2001:db8:1::10")
DNS = Addresses("192.0.2.53", "2001:db8:1::53")
FILTERED = Addresses("192.0.2.66", "2001:db8:1::66")
DEAD = Addresses("198.51.100.1", "2001:db8:dead::1")
UNREACHABLE = Addresses("203.0.113.1", "2001:db8:f00::1")
_SERVERS = {"web": WEB, "dns": DNS, "filtered": FILTERED}


class Campus:
    """The running network. Use it as a context manager: it is removed at the end.

    Args:
        controller: TCP port on 127.0.0.1 where the controller will listen.
    """

    def __init__(self, controller: int) -> None:
        self._controller = controller
        module = mininet()
        self._net = module.net.Mininet(controller=None, waitConnected=False)
        self._ovs = module.node.OVSSwitch

    def __enter__(self) -> Self:
        try:
            self._build()
        except BaseException:
            self._net.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        PROBE.detach()
        self._net.stop()

    def host(self, name: str) -> Any:
        """Return a Mininet host."""
        return self._net[name]

    def _build(self) -> None:
        net = self._net
        switches = [
            net.addSwitch(
                PROBE.name, cls=self._ovs, dpid=datapath_text(PROBE.dp_id), datapath="user",
                protocols="OpenFlow13", failMode="secure",
            ),
            net.addSwitch(_INTERNET_SWITCH, cls=self._ovs, datapath="user", failMode="standalone"),
        ]  # fmt: skip
        border = net.addHost("border", ip=None)
        for name in CLIENTS:
            net.addLink(net.addHost(name, ip=None), switches[0])
        net.addLink(border, switches[0])
        for name in _SERVERS:
            net.addLink(net.addHost(name, ip=None), switches[1])
        net.addLink(border, switches[1])
        net.build()
        for host in net.hosts:
            _quiet(host)
        self._address()
        for switch in switches:
            switch.start([])
        PROBE.attach(self._controller)

    def _address(self) -> None:
        for hosts, router in ((CLIENTS, _INSIDE), (_SERVERS, _OUTSIDE)):
            for name, addresses in hosts.items():
                host = self._net[name]
                _configure(host, host.defaultIntf().name, addresses)
                _route(host, "default", f"via {router.v4}")
                _route(host, "default", f"via {router.v6}")
        border = self._net["border"]
        _configure(border, "border-eth0", _INSIDE)
        _configure(border, "border-eth1", _OUTSIDE)
        for family in ("ipv4.ip_forward", "ipv6.conf.all.forwarding"):
            _sysctl(border, family, 1)
        for address in DEAD:
            _route(border, address, "", kind="blackhole")
        for address in UNREACHABLE:
            _route(border, address, "", kind="unreachable")
        filtered = self._net["filtered"]
        for clients in ("10.0.0.0/24", "fd00:10::/64"):
            _route(filtered, clients, "", kind="blackhole")


def _in(host: Any, *command: str) -> None:
    out, err, status = host.pexec(*command)
    if status:
        raise UserError(f"{host.name}: {' '.join(command)}: {(err or out).strip()}")


def _quiet(host: Any) -> None:
    """Turn off what would make connection tracking or the numbers of this demonstration wrong."""
    _sysctl(host, "ipv4.icmp_ratelimit", 0)
    _sysctl(host, "ipv6.icmp.ratelimit", 0)
    for interface in host.intfNames():
        _sysctl(host, f"ipv6.conf.{interface}.accept_dad", 0)
        # Checksums left to hardware that is not there are wrong on the wire.
        _in(host, "ethtool", "-K", interface, "tx", "off", "rx", "off", "gso", "off", "tso", "off")


def _sysctl(host: Any, name: str, value: int) -> None:
    _in(host, "sysctl", "-q", "-w", f"net.{name}={value}")


def _configure(host: Any, interface: str, addresses: Addresses) -> None:
    _in(host, "ip", "address", "add", f"{addresses.v4}/24", "dev", interface)
    _in(host, "ip", "address", "add", f"{addresses.v6}/64", "dev", interface, "nodad")
    _in(host, "ip", "link", "set", interface, "up")


def _route(host: Any, target: str, how: str, *, kind: str = "unicast") -> None:
    family = "-6" if ":" in target + how else "-4"
    _in(host, "ip", family, "route", "add", kind, target, *how.split())
