"""One switch that is fed by mirror ports and forwards nothing (tap).

    mirror ── 1 [ s1 ]              leaving ── 1 [ s1 ] 2 ── entering

Run it by hand: ``mn --custom topologies/tap.py --topo tap --switch ovs,datapath=user``, or with
``--topo taps`` the one of a port for each direction.
"""

from __future__ import annotations

from mininet.topo import Topo


class TapTopo(Topo):
    """Port 1 leads to whoever plays the mirrored traffic."""

    def build(self, dpid="00000000000000a1"):
        self.addSwitch("s1", dpid=dpid, protocols="OpenFlow13", failMode="secure")
        self.addLink(self.addHost("mirror"), "s1")


class TapsTopo(Topo):
    """Ports 1 and 2 lead to whoever plays what leaves the mirrored network, and what enters it."""

    def build(self, dpid="00000000000000a1"):
        self.addSwitch("s1", dpid=dpid, protocols="OpenFlow13", failMode="secure")
        for direction in ("leaving", "entering"):
            self.addLink(self.addHost(direction), "s1")


topos = {"tap": TapTopo, "taps": TapsTopo}
