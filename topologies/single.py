"""One switch, two hosts: traffic passes through the switch that watches it (inline).

    client ── 1 [ s1 ] 2 ── server

The client is inside, the server is not. There is no router between them.
"""

from __future__ import annotations

import sys
from pathlib import Path

# `mn --custom` runs this text without __file__ and without its folder on sys.path: what it was
# compiled from is all it knows of where it lies.
sys.path.append(str(Path((lambda: 0).__code__.co_filename).resolve().parents[1]))

from topologies import nodes
from topologies.plan import WWW

CLIENT, SERVER = nodes.Lan("10.0.0", "2001:db8:10"), WWW


class SingleTopo(nodes.Network):
    """Port 1 leads to the client, port 2 to the server; each has 20 addresses."""

    internal = CLIENT.prefixes()
    taps = (("client", "client-eth0"),)

    def lay_out(self):
        for name, own, other in (("client", CLIENT, SERVER), ("server", SERVER, CLIENT)):
            self.addHost(
                name, cls=nodes.Host, addresses=own.addresses(*range(1, 21)),
                neighbours=other.prefixes(), inside=own is CLIENT,
            )  # fmt: skip
            self.addLink(name, "s1")


topos = {"single": SingleTopo}
