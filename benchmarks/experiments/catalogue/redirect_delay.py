"""How long it takes from a verdict's deadline until the switch copies the flow."""

from __future__ import annotations

import math
import re
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.experiments.experiment import Chart, Column, Experiment, Row
from benchmarks.pipelines import PIPELINES
from benchmarks.segments import SYN, address, tcp_frame
from chamaleonet.lab.scrape import of_buckets
from mininet_tests.harness import Controller, Network

if TYPE_CHECKING:
    from collections.abc import Iterable

# That nobody is answered here is no sign that replies are out of sight.
SETTINGS = "visibility: {enabled: false}\n"

EXPERIMENT = Experiment(
    title="Time from deadline to redirect",
    question="How long after a flow's deadline does the switch have the rule that copies it?",
    method=(
        "Clients send SYNs that nobody answers, evenly spaced, so many a second for some seconds."
        " The time runs from a flow's deadline (its first packet's arrival and the timeout) until"
        " the switch answers the barrier behind its rule, and is the controller's own metric,"
        " `chamaleonet_verdict_delay_seconds`: a histogram, within whose buckets quantiles are"
        " interpolated."
    ),
    explains=(
        "Some milliseconds are the controller's tick, by which deadlines are looked at and rules"
        " flushed; what comes together shares a batch and its barrier. In this time packets of the"
        " flow are not copied. Sender, switch and controller share the machine's cores here, and"
        " the switch forwards in user space."
    ),
    columns=(
        Column(name="pipeline", title="pipeline"),
        Column(name="rate", title="flows that fail", unit="per second"),
        Column(name="flows", title="flows"),
        Column(name="p50", title="p50", unit="ms"),
        Column(name="p90", title="p90", unit="ms"),
        Column(name="p99", title="p99", unit="ms"),
    ),
    chart=Chart(kind="line", x="rate", y="p99", series=("pipeline",), log="xy"),
    needs_root=True,
    parameters={"rates": (1, 10, 100, 1000), "seconds": (30, 10, 5, 3)},
    quick={"rates": (10, 100), "seconds": (1, 1)},
)


def run(quick: bool) -> list[Row]:
    """Measure both pipelines."""
    settings = EXPERIMENT.settings(quick)
    flows = {
        rate: rate * seconds
        for rate, seconds in zip(settings["rates"], settings["seconds"], strict=True)
    }
    return [
        {"pipeline": name, "rate": rate, "flows": number, "p50": p50, "p90": p90, "p99": p99}
        for name, pipeline in PIPELINES.items()
        for (rate, number), (p50, p90, p99) in zip(
            flows.items(), delays(pipeline, flows), strict=True
        )
    ]


def delays(settings: str, flows: dict[int, int]) -> list[list[float]]:
    """Return p50, p90 and p99 in ms, for each rate of so many flows."""
    found = []
    with (
        tempfile.TemporaryDirectory() as directory,
        Network("single") as network,
        Controller(Path(directory), settings, extra=SETTINGS) as control,
    ):
        first = 1
        for rate, number in flows.items():
            buckets = measure(network, control, rate, range(first, first + number))
            found.append(
                [round(1000 * of_buckets(buckets, share), 1) for share in (0.5, 0.9, 0.99)]
            )
            first += number
    return found


def measure(
    network: Network, control: Controller, rate: int, flows: Iterable[int]
) -> list[tuple[float, float]]:
    """Have flows of these numbers fail; return the delays as a cumulative histogram, s."""
    frames = [tcp_frame(address(10, n), address(198, n), 40000, 443, SYN, 1, 0) for n in flows]
    before = histogram(control)
    begin = time.monotonic()
    for n, frame in enumerate(frames):
        time.sleep(max(0.0, begin + n / rate - time.monotonic()))
        network.send("client", frame)
    wanted = before[math.inf] + len(frames)
    control.wait_for(lambda: control.total("verdict_delay_seconds_count") == wanted)
    after = histogram(control)
    return [(bound, count - before[bound]) for bound, count in sorted(after.items())]


def histogram(control: Controller) -> Counter[float]:
    """Return how many delays so far were at most so many seconds."""
    buckets = re.findall(r'verdict_delay_seconds_bucket{le="(.*)"} (.*)', control.scrape())
    return Counter({float(bound): int(float(count)) for bound, count in buckets})
