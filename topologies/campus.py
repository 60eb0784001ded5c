"""A campus in a box, and an Internet for it.

    staff ─10─┐
    students ─20─┴─ [access1] ─┐
    hpc ─30─┐                  ├─ [core] ═══ border ── 1 [ s1 ] 2 ── isp ┬─ www
    services, monitor ─40─┤    │                                         ├─ outsider
    wifi ── nat ─50─┤          │                                         ├─ remote
    vpn ─60─┴─ [access2] ──────┘                                         └─ [wan] ── far

Numbers are VLANs; border has an interface in each of them. All addresses are in docs/topologies.md.
"""

from __future__ import annotations

import sys
from pathlib import Path

# `mn --custom` runs this text without __file__ and without its folder on sys.path; what it was
# compiled from is all it knows of where it lies.
sys.path.append(str(Path((lambda: 0).__code__.co_filename).resolve().parents[1]))

from topologies import nodes

STAFF, STUDENTS, HPC, SERVICES, WIFI, VPN = (
    nodes.Lan(f"10.20.{vlan}", f"2001:db8:20:{vlan}") for vlan in range(10, 70, 10)
)
HOTSPOT = nodes.Lan("192.168.77", "2001:db8:20:77")  # behind the NAT
UPLINK = nodes.Lan("100.64.0", "2001:db8:f0")
WWW = nodes.Lan("192.0.2", "2001:db8:f1")
FAR = nodes.Lan("198.51.100", "2001:db8:f2")
OUTSIDER = nodes.Lan("203.0.113", "2001:db8:f3")
REMOTE = nodes.Lan("100.64.5", "2001:db8:f4")

# Nobody outside answers for these, nor tells that nobody does.
BOGONS = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fec0::/10", "fc00::/7")
DELAY, LOSS = 0.04, 0.005  # s and share, one way, between isp and far


class CampusTopo(nodes.Network):
    internal = ("10.20.0.0/16", "2001:db8:20::/48")
    taps = (("border", "border-eth6"),)

    def lay_out(self):
        for name in ("core", "access1", "access2"):
            self.fabric(name)
        self.patch("access1", "core")
        self.patch("access2", "core")
        # What is inside and nowhere would go to the Internet, and come back, and go there.
        self.router("border", routes=[f"blackhole {prefix}" for prefix in self.internal])
        for name, vlan, lan, numbers, switch in (
            ("staff", 10, STAFF, range(10, 210), "access1"),
            ("students", 20, STUDENTS, range(10, 210), "access1"),
            ("hpc", 30, HPC, range(10, 60), "access2"),
            ("services", 40, SERVICES, [53, *range(10, 53), *range(54, 60)], "access2"),
        ):
            self.hosts_at(name, lan, numbers, inside=True)
            self.addLink(name, switch, params2={"tag": vlan})
            routes = lan.via(numbers[0]) + (lan.at(200) if name == "services" else ())
            self._vlan(vlan, lan, routes)
        self.hosts_at("monitor", SERVICES, [200], inside=True)
        self.addLink("monitor", "access2", params2={"tag": 40})
        self._wifi()
        self._vpn()
        self._internet()

    def _vlan(self, vlan, lan, routes):
        self.route("border", "core", lan.addresses(1), routes, params2={"tag": vlan})

    def _wifi(self):
        _, hotspot = HOTSPOT.prefixes()  # the other one is nobody's business
        self._vlan(50, WIFI, [*WIFI.at(2), f"{hotspot} via {WIFI.at(2)[1]}"])
        self.router("nat", masquerade="nat-eth0")
        self.route("nat", "access2", WIFI.addresses(2), WIFI.default(), params2={"tag": 50})
        self.hosts_at("wifi", HOTSPOT, range(10, 60), inside=True)
        self.route("nat", "wifi", HOTSPOT.addresses(1), HOTSPOT.via(10))

    def _vpn(self):
        """A gateway, and a host on the Internet that is inside by a tunnel."""
        gateway, home = VPN.at(2), REMOTE.at(10)
        inner = VPN.at(10)
        self._vlan(60, VPN, VPN.via(2))
        self.router(
            "vpn", routes=[f"blackhole {prefix}" for prefix in VPN.prefixes()],
            tunnel=nodes.Tunnel(gateway[0], home[0], VPN.at(1)[0], addresses=(), routes=inner),
        )  # fmt: skip
        routes = [*VPN.at(1), *VPN.default()]
        self.route("vpn", "access2", VPN.addresses(2), routes, params2={"tag": 60})
        self.hosts_at(
            "remote", REMOTE, [10], inside=False,
            tunnel=nodes.Tunnel(
                home[0], gateway[0], REMOTE.at(1)[0], addresses=inner, routes=self.internal
            ),
        )  # fmt: skip

    def _internet(self):
        self.router("isp", routes=[f"blackhole {prefix}" for prefix in BOGONS])
        self.route("border", "s1", UPLINK.addresses(2), UPLINK.at(1) + UPLINK.default())
        inside = [
            f"{prefix} via {border}"
            for prefix, border in zip(self.internal, UPLINK.at(2), strict=True)
        ]
        self.route("isp", "s1", UPLINK.addresses(1), [*UPLINK.at(2), *inside])
        self.addSwitch("wan", cls=nodes.Wire, delay=DELAY, loss=LOSS)
        for name, lan, count, next_hop in (
            ("www", WWW, 100, "www"),
            ("far", FAR, 100, "wan"),
            ("outsider", OUTSIDER, 200, "outsider"),
        ):
            self.hosts_at(name, lan, range(10, 10 + count), inside=False)
            self.route("isp", next_hop, lan.addresses(1), lan.via(10))
        self.addLink("wan", "far")
        self.route("isp", "remote", REMOTE.addresses(1), REMOTE.via(10))


topos = {"campus": CampusTopo}
