"""One switch, two hosts: traffic passes through the switch that watches it (inline).

    client ── 1 [ s1 ] 2 ── server

Run it by hand: ``mn --custom topologies/single.py --topo single --switch ovs,datapath=user``.
"""

from __future__ import annotations

from mininet.topo import Topo


class SingleTopo(Topo):
    """Port 1 leads to the client, port 2 to the server."""

    def build(self, dpid="00000000000000a1"):
        self.addSwitch("s1", dpid=dpid, protocols="OpenFlow13", failMode="secure")
        for name in ("client", "server"):
            self.addLink(self.addHost(name), "s1")


topos = {"single": SingleTopo}
