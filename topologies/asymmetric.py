"""Two borders: what leaves goes by border1, what comes goes by border2.

    staff ────┐          ┌─ border1 ── 1 ┐
              ├─ [core] ─┤               [ s1 ] 3 ── isp ┬─ www
    services ─┘          └─ border2 ── 2 ┘               └─ outsider

                         ┌─ border1 ── 1 [ s1 ] 2 ──┐
                 [core] ─┤                          isp
                         └─ border2 ── 1 [ s2 ] 2 ──┘

In ``asymmetric`` one probe carries both uplinks and sees all. In ``asymmetric_split`` each border
has a probe of its own, and neither of them sees both directions.
"""

from __future__ import annotations

import sys
from pathlib import Path

# `mn --custom` runs this text without __file__ and without its folder on sys.path: what it was
# compiled from is all it knows of where it lies.
sys.path.append(str(Path((lambda: 0).__code__.co_filename).resolve().parents[1]))

from topologies.plan import (
    OUTSIDER,
    SERVICES,
    STAFF,
    UPLINK,
    UPLINK2,
    WWW,
    Bordered,
    inward,
)


class AsymmetricTopo(Bordered):
    """Ports 1 and 2 of probe s1 lead to the borders, port 3 to the Internet."""

    taps = (("isp", "isp-eth0"),)

    def lay_out(self):
        self.fabric("core")
        self.border("border1")
        self.border("border2")
        borders = {"border1": 1, "border2": 2}  # hosts have the first one for a gateway
        self.lan("core", borders, staff=(STAFF, range(10, 30)), services=(SERVICES, [53]))
        self.uplinks()
        self.outside("www", WWW, 20)
        self.outside("outsider", OUTSIDER, 20)

    def uplinks(self):
        self.uplink("border1", "s1", number=2)
        self.uplink("border2", "s1", number=3)
        self.provider(("s1", UPLINK, inward(UPLINK, 3) + UPLINK.at(2)))


class AsymmetricSplitTopo(AsymmetricTopo):
    """Port 1 of each probe leads to its border, port 2 to the Internet."""

    probes = ("s1", "s2")
    taps = (("border1", "border1-eth1"), ("border2", "border2-eth1"))

    def uplinks(self):
        self.uplink("border1", "s1", UPLINK)
        self.uplink("border2", "s2", UPLINK2)
        self.provider(("s1", UPLINK, UPLINK.at(2)), ("s2", UPLINK2, inward(UPLINK2, 2)))


topos = {"asymmetric": AsymmetricTopo, "asymmetric_split": AsymmetricSplitTopo}
