"""A probe and nothing else: hosts without addresses play to its ports what a mirror would bring.

    mirror ── 1 [ s1 ]              leaving ── 1 [ s1 ] 2 ── entering

The left is ``fed``, by one port; the right is ``feds``, by a port for each direction.
"""

from __future__ import annotations

import sys
from pathlib import Path

# `mn --custom` runs this text without __file__ and without its folder on sys.path: what it was
# compiled from is all it knows of where it lies.
sys.path.append(str(Path((lambda: 0).__code__.co_filename).resolve().parents[1]))

from topologies import nodes


class FedTopo(nodes.Network):
    """Port 1 leads to whoever plays the mirrored traffic."""

    taps = (("mirror", "mirror-eth0"),)
    forward = "none"

    def lay_out(self):
        for name, _ in self.taps:
            self.addHost(name, cls=nodes.Host, addresses=(), inside=False)
            self.addLink(name, "s1")


class FedsTopo(FedTopo):
    """Ports 1 and 2 lead to whoever plays what leaves the mirrored network, and what enters it."""

    taps = (("leaving", "leaving-eth0"), ("entering", "entering-eth0"))


topos = {"fed": FedTopo, "feds": FedsTopo}
