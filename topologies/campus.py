"""A campus in a box, and an Internet for it.

    staff ── 10 ┬ [access1] ─┐
    students 20 ┘            │
    hpc ──── 30 ┐            ├─ [core] ═════ border ── 1 [ s1 ] 2 ── isp ┬─ www
    services 40 │            │     10, 20, … 60                          ├─ outsider
    monitor  40 ├ [access2] ─┘                                           ├─ remote
    nat ──── 50 │                                                        └─ [wan] ── far
    vpn ──── 60 ┘                    wifi ── nat          remote ···tunnel··· vpn

Numbers are VLANs; border has an interface in each of them. All addresses: docs/topologies.md.
"""

from __future__ import annotations

import sys
from pathlib import Path

# `mn --custom` runs this text without __file__ and without its folder on sys.path: what it was
# compiled from is all it knows of where it lies.
sys.path.append(str(Path((lambda: 0).__code__.co_filename).resolve().parents[1]))

from topologies import nodes
from topologies.plan import (
    FAR,
    HOTSPOT,
    HPC,
    OUTSIDER,
    REMOTE,
    SERVICES,
    STAFF,
    STUDENTS,
    UPLINK,
    VPN,
    WIFI,
    WWW,
    Bordered,
    inward,
)

DELAY, LOSS = 0.04, 0.005  # s and share, one way, between isp and far


class CampusTopo(Bordered):
    """Probe s1 is inline: port 1 leads to the border, port 2 to the Internet."""

    taps = (("border", "border-eth6"),)
    detours = ("far", "wifi", "remote")

    def lay_out(self):
        for name in ("core", "access1", "access2"):
            self.fabric(name)
        self.patch("access1", "core")
        self.patch("access2", "core")
        self.border("border")
        for name, vlan, lan, numbers, switch in (
            ("staff", 10, STAFF, range(10, 210), "access1"),
            ("students", 20, STUDENTS, range(10, 210), "access1"),
            ("hpc", 30, HPC, range(10, 60), "access2"),
            ("services", 40, SERVICES, [53, *range(10, 53), *range(54, 60)], "access2"),
        ):
            self._attach(name, vlan, lan, numbers, switch)
            monitor = SERVICES.at(200) if lan is SERVICES else ()
            self._vlan(vlan, lan, lan.via(numbers[0]) + monitor)
        self._attach("monitor", 40, SERVICES, [200], "access2")
        self._wifi()
        self._vpn()
        self._internet()

    def _attach(self, name, vlan, lan, numbers, switch):
        self.hosts_at(name, lan, numbers, inside=True)
        self.addLink(name, switch, params2={"tag": vlan})

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
        """A gateway, and a host on the Internet that is inside as well, by a tunnel."""
        gateway, home, inner = VPN.at(2)[0], REMOTE.at(10)[0], VPN.at(10)
        self._vlan(60, VPN, VPN.via(2))
        self.router(
            "vpn", routes=[f"blackhole {prefix}" for prefix in VPN.prefixes()],
            tunnel=nodes.Tunnel(gateway, home, VPN.at(1)[0], addresses=(), routes=inner),
        )  # fmt: skip
        routes = VPN.at(1) + VPN.default()
        self.route("vpn", "access2", VPN.addresses(2), routes, params2={"tag": 60})
        self.hosts_at(
            "remote", REMOTE, [10], inside=False,
            tunnel=nodes.Tunnel(home, gateway, REMOTE.at(1)[0], inner, self.internal),
        )  # fmt: skip

    def _internet(self):
        self.uplink("border", "s1")
        self.provider(("s1", UPLINK, inward(UPLINK, 2)))
        self.addSwitch("wan", cls=nodes.Wire, delay=DELAY, loss=LOSS)
        self.outside("www", WWW, 100)
        self.outside("far", FAR, 100, next_hop="wan")
        self.outside("outsider", OUTSIDER, 200)
        self.addLink("wan", "far")
        self.route("isp", "remote", REMOTE.addresses(1), REMOTE.via(10))


topos = {"campus": CampusTopo}
