"""Which share of the traffic that goes out is erroneous."""

from __future__ import annotations

import tempfile
from collections import Counter
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.experiments.experiment import Chart, Column, Experiment, Published, Row
from benchmarks.generate import capture as generate
from benchmarks.parameters import Parameters
from chamaleonet.capture.files import open_capture
from chamaleonet.flows.engine import Engine, Settings
from chamaleonet.flows.records import Direction
from chamaleonet.flows.transitions import ERRONEOUS, State
from chamaleonet.replay import Replay
from chamaleonet.units import PRIVATE
from tests.captures import CAPTURES

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Public captures with outbound flows of real programs, and what they are.
_REAL = {
    "malicious.pcap": "an infected host",
    "gnutella.pcap": "a peer-to-peer client",
    "vlan.pcap": "DNS clients",
    "web-page-fails.pcapng": "a browser, one page",
}
_INSIDE = (*PRIVATE, ip_network("2001:db8:1::/48"))  # the synthetic campus's clients

EXPERIMENT = Experiment(
    title="Share of outbound traffic that is erroneous",
    question="How much of what goes out is erroneous, by packets and by flows?",
    method=(
        "Captures are judged by the engine of `chamaleonet replay` with the defaults. Of the"
        " outbound flows (client inside, server outside) those that end *unanswered* or in an *ICMP"
        " error* are erroneous, and so are all packets that their clients sent. They are compared"
        " with all outbound flows and with all packets from inside to outside, replies to inbound"
        " flows included. Public captures with real programs in them are judged where they are at"
        " hand (`../shared/data`); the synthetic campus is that of `benchmarks.generate`, with as"
        " many failing flows, and packets per flow, as the table says."
    ),
    explains=(
        "The published share is a property of that campus, not of a system, and none of these"
        " numbers confirms it. The public captures are samples that were kept because something"
        " fails in them, of one host mostly: they say how loud a faulty host is, nothing of a"
        " campus. The synthetic campus gives back what is put into it, and shows what a share of"
        " packets means: failing flows are short, so where flows are long, a share of packets that"
        " looks like nothing is a large share of flows. 0.06% of the packets are what one failing"
        " flow in a hundred sends where flows have about 90 packets, and one in ten where they have"
        " about a thousand. This is why the table has both shares, and why verdicts are counted by"
        " flow."
    ),
    columns=(
        Column(name="source", title="traffic"),
        Column(name="length", title="packets per flow"),
        Column(name="flows", title="outbound flows"),
        Column(name="flow_share", title="erroneous of these", unit="share"),
        Column(name="packets", title="outbound packets"),
        Column(name="packet_share", title="erroneous of the outbound packets", unit="share"),
    ),
    chart=Chart(kind="line", x="length", y="packet_share", series=("source",), log="xy"),
    published=(
        Published(
            what="erroneous outbound packets on one campus; beside it the mix that gives as many",
            value=0.0006,
            source="told of the first ChamaleoNet's campus; we found no public page that has it",
            column="packet_share",
            where={"source": "synthetic, 1% of flows fail", "length": 100},
        ),
    ),
    parameters={
        "failing": (0.01, 0.1, 0.34), "lengths": (10, 30, 100, 300), "packets": 1_000_000,
        "seed": 1,
    },
    quick={"lengths": (10, 30), "packets": 20_000},
)  # fmt: skip


def run(quick: bool) -> list[Row]:
    """Judge the captures that are at hand, and synthetic ones."""
    settings = EXPERIMENT.settings(quick)
    at_hand = [name for name in _REAL if name in CAPTURES]
    rows = [judged(f"{name}: {_REAL[name]}", CAPTURES[name]) for name in at_hand]
    packets = settings["packets"]
    with tempfile.TemporaryDirectory() as directory:
        for failing in settings["failing"]:
            for length in settings["lengths"]:
                path = Path(directory) / "campus.pcap"
                flows = packets // length
                generate(Parameters(packets, flows, seed=settings["seed"], failing=failing), path)
                rows.append(judged(f"synthetic, {failing:.0%} of flows fail", path))
    return rows


class Outbound:
    """Counts flows and packets from inside to outside, of FLOW records; a flow sink."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def write(self, flows: NDArray[Any]) -> None:
        """Take flows that have ended."""
        outbound = flows[flows["direction"] == Direction.OUTBOUND]
        inbound = flows[flows["direction"] == Direction.INBOUND]
        failed = outbound[np.isin(outbound["state"], ERRONEOUS)]
        self.counts["flows"] += len(outbound)
        self.counts["failed"] += len(failed)
        self.counts["packets"] += int(outbound["client_packets"].sum())
        self.counts["packets"] += int(inbound["server_packets"].sum())
        self.counts["erroneous"] += int(failed["client_packets"].sum())


def judged(source: str, path: Path) -> Row:
    """Return the row of a capture."""
    engine = Engine(Settings(internal=_INSIDE), ended=tuple(State))
    outbound = Outbound()
    with open_capture(str(path)) as capture:
        Replay(engine, flow_sinks=[outbound]).run([capture])
    counts, summary = outbound.counts, engine.summary()
    return {
        "source": source, "length": round(summary["flow_packets"] / summary["flows"]),
        "flows": counts["flows"], "flow_share": counts["failed"] / counts["flows"],
        "packets": counts["packets"], "packet_share": counts["erroneous"] / counts["packets"],
    }  # fmt: skip
