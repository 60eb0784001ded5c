"""One switch that is fed by a mirror port and forwards nothing (tap).

    mirror ── 1 [ s1 ]

Run it by hand: ``mn --custom topologies/tap.py --topo tap --switch ovs,datapath=user``.
"""

from __future__ import annotations

from mininet.topo import Topo


class TapTopo(Topo):
    """Port 1 leads to whoever plays the mirrored traffic."""

    def build(self, dpid="00000000000000a1"):
        self.addSwitch("s1", dpid=dpid, protocols="OpenFlow13", failMode="secure")
        self.addLink(self.addHost("mirror"), "s1")


topos = {"tap": TapTopo}
