"""Which share of the traffic leaves the switch for the controller."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.experiments.experiment import PAPER, Chart, Column, Experiment, Published, Row
from benchmarks.pipelines import PIPELINES
from benchmarks.segments import ACK, SYN, address, tcp_frame
from mininet_tests.harness import Controller, Network

SEGMENT_BYTES = 54  # a handshake's, which is what a candidate is

EXPERIMENT = Experiment(
    title="Share of the traffic that reaches the controller",
    question="How much of the traffic does the switch keep to itself?",
    method=(
        "TCP flows go through a switch with either pipeline. Of ten, nine are answered and send"
        " as many packets as the table says, with 1,000 bytes in each after the handshake; one"
        " sends three SYNs in vain. A packet reaches the controller when its metric"
        " `chamaleonet_candidate_packets_total` counts it."
    ),
    explains=(
        "The first packet and the first reply of each flow leave the switch, whatever comes after"
        " them, and so does each packet of a flow that nobody answers. So the share depends on"
        " how long flows are, and on how many fail, more than on the system: 96% of the packets"
        " stay in the switch from about 56 packets a flow on. The published number is of a"
        " campus's own mix of flows, ours of one length at a time. With the reactive pipeline what"
        " overtakes a flow's bypass rules gets out, too: a few more packets on a busy machine."
    ),
    columns=(
        Column(name="pipeline", title="pipeline"),
        Column(name="length", title="packets per answered flow"),
        Column(name="sent", title="packets sent"),
        Column(name="packets", title="packets that reach the controller", unit="share"),
        Column(name="bytes", title="bytes that do", unit="share"),
        Column(name="kept", title="packets kept from it", unit="share"),
    ),
    chart=Chart(kind="line", x="length", y="kept", series=("pipeline",), log="x"),
    published=(
        Published(
            what="traffic kept from the controller, on a campus's own mix of flows",
            value=0.96,
            source=f"{PAPER}, abstract",
            column="kept",
            where={"pipeline": "conntrack", "length": 50},
        ),
    ),
    needs_root=True,
    parameters={"flows": 200, "lengths": (5, 10, 25, 50, 100, 200)},
    quick={"flows": 50, "lengths": (5, 25)},
)


class Share(NamedTuple):
    """Which part of the traffic reached the controller."""

    sent: int  # packets
    packets: float
    bytes: float


def run(quick: bool) -> list[Row]:
    """Measure both pipelines."""
    settings = EXPERIMENT.settings(quick)
    lengths = settings["lengths"]
    return [
        {
            "pipeline": name, "length": length, "sent": share.sent, "packets": share.packets,
            "bytes": share.bytes, "kept": 1 - share.packets,
        }
        for name, pipeline in PIPELINES.items()
        for length, share in zip(
            lengths, shares(pipeline, lengths, settings["flows"]), strict=True
        )
    ]  # fmt: skip


def shares(settings: str, lengths: tuple[int, ...], flows: int) -> list[Share]:
    """Return the share for each number of packets per flow."""
    found = []
    with (
        tempfile.TemporaryDirectory() as directory,
        Network("single") as network,
        Controller(Path(directory), settings, timeout="2s") as control,
    ):
        begin = 1
        for packets in lengths:
            before = control.total("candidate_packets_total")
            sent = size = 0
            for part in conversations(flows, packets, begin):
                for host, frame in part:
                    network.send(host, frame)
                    size += len(frame)
                sent += len(part)
                time.sleep(0.02)  # a round trip
            time.sleep(0.3)
            candidates = control.total("candidate_packets_total") - before
            # A candidate is a handshake's segment without data: 54 bytes, or up to the snaplen.
            found.append(Share(sent, candidates / sent, candidates * SEGMENT_BYTES / size))
            begin += flows
    return found


def conversations(flows: int, packets: int, begin: int) -> list[list[tuple[str, bytes]]]:
    """Return rounds of (host, frame): nine in ten flows are answered, one sends three SYNs."""
    rounds: list[list[tuple[str, bytes]]] = [[] for _ in range(packets)]
    for n in range(begin, begin + flows):
        client, server = address(10, n), address(198, n)
        syn = tcp_frame(client, server, 40000, 443, SYN, 1, 0)
        if n % 10 == 0:
            for part in rounds[:3]:
                part.append(("client", syn))
            continue
        rounds[0].append(("client", syn))
        rounds[1].append(
            ("server", tcp_frame(server, client, 443, 40000, SYN | ACK, 1, 2, back=True))
        )
        for k in range(2, packets):
            there, seq = k % 2 == 0, 2 + 1000 * (k // 2)
            frame = (
                tcp_frame(client, server, 40000, 443, ACK, seq - 1000, seq - 1000, 1000)
                if there
                else tcp_frame(server, client, 443, 40000, ACK, seq - 1000, seq, 1000, back=True)
            )
            rounds[k].append(("client" if there else "server", frame))
    return rounds
