"""A border, and a probe that is fed by a mirror port and forwards nothing.

    staff ────┐
              ├─ [core] ── border ── [edge] ── isp ┬─ www
    services ─┘                         │          └─ outsider
                                 mirror │
                                        1
                                     [ s1 ]

edge copies each packet that crosses it to s1, both directions to the same port.
"""

from __future__ import annotations

import sys
from pathlib import Path

# `mn --custom` runs this text without __file__ and without its folder on sys.path: what it was
# compiled from is all it knows of where it lies.
sys.path.append(str(Path((lambda: 0).__code__.co_filename).resolve().parents[1]))

from topologies.plan import OUTSIDER, SERVICES, STAFF, UPLINK, WWW, Bordered, inward


class TapTopo(Bordered):
    """Port 1 of probe s1 is fed."""

    taps = (("border", "border-eth1"),)
    forward = "none"

    def lay_out(self):
        self.fabric("core")
        self.fabric("edge")
        self.border("border")
        self.lan("core", {"border": 1}, staff=(STAFF, range(10, 30)), services=(SERVICES, [53]))
        self.uplink("border", "edge")
        self.provider(("edge", UPLINK, inward(UPLINK, 2)))
        self.patch("edge", "s1", params1={"mirror": True})
        self.outside("www", WWW, 20)
        self.outside("outsider", OUTSIDER, 20)


topos = {"tap": TapTopo}
