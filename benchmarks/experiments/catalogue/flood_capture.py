"""Whether ordinary failures are still judged and captured while a flood passes."""

from __future__ import annotations

import tempfile
import time
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks import floods
from benchmarks.experiments.experiment import Chart, Column, Experiment, Published, Row
from benchmarks.pipelines import PIPELINES
from benchmarks.segments import SYN, tcp_frame
from mininet_tests.harness import LOGGER, Controller, Network

KINDS = {"outside": "spoofed, from outside", "inside": "from one host inside"}
STEP = 0.01  # s, that of benchmarks.floods
EACH = 10  # on a switch, of the ordinary hosts one in so many
REPEAT = 200  # steps until an ordinary client tries again
TIMEOUT = 0.5  # s, on a switch
LIVE_NEW_FLOWS = 1_000

EXPERIMENT = Experiment(
    title="Capture completeness under floods",
    question="Are ordinary hosts' failures judged and captured while a flood passes?",
    method=(
        f"{floods.HOSTS} hosts inside and {floods.HOSTS} outside, each in a subnet or network of"
        " its own, have a failing flow a second each. Meanwhile SYNs from random addresses, or from"
        f" one host inside to random addresses, come in. *Engine*: judged offline, with"
        f" room for {floods.MAX_FLOWS:,} flows, shedding above {floods.NEW_FLOWS:,} new flows a"
        " second where it sheds. *Switch*: with a tenth of the hosts, through the conntrack"
        f" pipeline with room for 10,000 flows, shedding above {LIVE_NEW_FLOWS:,}; each client"
        " tries again after 2 s, and is captured when the switch copies this SYN to the logger"
        " port."
    ),
    explains=(
        "Without shedding whatever exceeds the table's room goes unjudged, and ordinary hosts are"
        " hit in proportion. With shedding hosts are served by where they are: the side that the"
        " flood does not come from loses next to nothing. A host outside cannot be told from a"
        " source that is spoofed in its own network, so there it has its share and no more. A"
        " client whose first SYN was shed may be judged by its second, and then that one is not"
        " captured. At these rates the switch's controller may keep up without shedding, too: its"
        " limit is set that low to show what shedding does."
    ),
    columns=(
        Column(name="where", title="where"),
        Column(name="flood", title="flood"),
        Column(name="rate", title="SYNs", unit="per second"),
        Column(name="sheds", title="sheds"),
        Column(name="inside", title="judged, of hosts inside", unit="share"),
        Column(name="outside", title="judged, of hosts outside", unit="share"),
        Column(name="captured_inside", title="captured, of hosts inside", unit="share"),
        Column(name="captured_outside", title="captured, of hosts outside", unit="share"),
    ),
    chart=Chart(kind="line", x="rate", y="inside", series=("where", "flood", "sheds"), log="x"),
    published=(
        Published(
            what=(
                "one-packet flows a second until a buffer of 10,000 packets overflows or packets"
                " are lost, by timeout"
            ),
            value="110,000 (10 ms), 90,000 (50 ms), 70,000 (100 ms), 40,000 (200 ms)",
            source="https://github.com/zhihao1998/ChamaleoNet, analysis/results/throughput.csv",
        ),
    ),
    needs_root=True,
    parameters={
        "rates": (1_000, 10_000, 50_000, 200_000),
        "seconds": 10,
        "live_rates": (500, 2_500),
        "live_seconds": 10,
    },
    quick={
        "rates": (1_000, 50_000), "seconds": 4, "live_rates": (500,), "live_seconds": 3,
    },
)  # fmt: skip


def run(quick: bool) -> list[Row]:
    """Let each flood pass the engine, and smaller ones a switch."""
    settings = EXPERIMENT.settings(quick)
    rows: list[Row] = []
    for kind, name in KINDS.items():
        for rate in settings["rates"]:
            for sheds in (False, True):
                result = floods.run(kind, rate, sheds=sheds, seconds=settings["seconds"])
                rows.append(
                    {
                        "where": "engine", "flood": name, "rate": rate, "sheds": sheds,
                        "inside": result.inside, "outside": result.outside,
                        "captured_inside": None, "captured_outside": None,
                    }
                )  # fmt: skip
    for rate in settings["live_rates"]:
        for sheds in (False, True):
            found = live("outside", rate, settings["live_seconds"], sheds=sheds)
            rows.append(
                {
                    "where": "switch", "flood": KINDS["outside"], "rate": rate, "sheds": sheds,
                    **found._asdict(),
                }
            )  # fmt: skip
    return rows


class Flow(NamedTuple):
    """A failing flow: addresses as integers, and the client's port."""

    client: int
    server: int
    port: int

    def syn(self, attempt: int = 1) -> tuple[str, bytes]:
        """Return the host that sends it, and its SYN, which is told by its sequence number."""
        ends = str(ip_address(self.client)), str(ip_address(self.server))
        frame = tcp_frame(*ends, self.port, 80, SYN, attempt, 0, back=not self.is_inside)
        return "client" if self.is_inside else "server", frame

    @property
    def is_inside(self) -> bool:
        """Whether the client is."""
        return self.client >> 24 == 10


class Found(NamedTuple):
    """Shares of what was to be judged and captured."""

    inside: float
    outside: float
    captured_inside: float
    captured_outside: float


def live(kind: str, rate: int, seconds: int, *, sheds: bool) -> Found:
    """Let a flood pass through a switch."""
    rng = np.random.default_rng(rate)
    steps = seconds * 100
    ordinary = {step: flows(floods.ordinary(step)) for step in range(0, steps, EACH)}
    schedule: list[list[tuple[str, bytes]]] = [[] for _ in range(steps + REPEAT)]
    for packets in schedule:
        packets += [flow.syn() for flow in flows(floods.flood(kind, rate // 100, rng))]
    for step in range(steps):
        schedule[step] += [flow.syn() for flow in ordinary.get(step, ())]
        schedule[step + REPEAT] += [flow.syn(attempt=2) for flow in ordinary.get(step, ())]
    new_flows = LIVE_NEW_FLOWS if sheds else "null"
    with (
        tempfile.TemporaryDirectory() as directory,
        Network("single") as network,
        Controller(
            Path(directory), PIPELINES["conntrack"], timeout=f"{int(TIMEOUT * 1000)}ms",
            stream=", queue: 1000000",
            extra=f"flood: {{new_flows: {new_flows}}}\nvisibility: {{enabled: false}}\n",
        ) as control,
    ):  # fmt: skip
        copies: set[bytes] = set()
        begin = time.monotonic()
        for step, packets in enumerate(schedule):
            time.sleep(max(0.0, begin + step * STEP - time.monotonic()))
            for host, frame in packets:
                network.send(host, frame)
            copies.update(network.received(LOGGER))
        time.sleep(2 * TIMEOUT)
        copies.update(network.received(LOGGER))
        told = control.finished()
    judged = {
        Flow(int.from_bytes(flow["client"]), int.from_bytes(flow["server"]), flow["client_port"])
        for _, flow, _ in told
        if flow["verdict"] == "unanswered"
    }
    expected = {flow for some in ordinary.values() for flow in some}
    captured = {flow for flow in expected if flow.syn(attempt=2)[1] in copies}
    inside = {flow for flow in expected if flow.is_inside}
    return Found(
        *(
            len(found & side) / len(side)
            for found in (judged, captured)
            for side in (inside, expected - inside)
        )
    )


def flows(packets: floods.Packets) -> list[Flow]:
    """Return the flows of these SYNs."""
    return [Flow(*each) for each in zip(*(column.tolist() for column in packets), strict=True)]
