"""How many flows are called unanswered though their server answers, only later than the timeout.

The engine judges packets that are made here; on a switch, hosts send such flows by the clock.
"""

from __future__ import annotations

import heapq
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from benchmarks import frames
from benchmarks.experiments.experiment import Chart, Column, Experiment, Published, Row
from benchmarks.frames import ACK, SYN, TCP_PROTOCOL, UDP_PROTOCOL, Packets
from benchmarks.pipelines import PIPELINES
from benchmarks.segments import address, tcp_frame
from benchmarks.wire import as_batch
from chamaleonet.flows.engine import Engine, Settings
from chamaleonet.flows.records import Change
from chamaleonet.flows.transitions import State
from mininet_tests.harness import Controller, Network

if TYPE_CHECKING:
    from numpy.typing import NDArray

PINGS = (
    "R. Padmanabhan, P. Owen, A. Schulman, N. Spring: Timeouts: Beware Surprisingly High Delay,"
    " ACM IMC 2015, https://doi.org/10.1145/2815675.2815704"
)
SECOND = 10**9
SPREAD = 0.25  # standard deviation of the delays' natural logarithm
REPEATS = (1, 3, 7)  # s after the first SYN
BEGIN = 1000 * SECOND
GAP = SECOND // 1000  # between the first packets of flows
SIZE = 74

# Of PINGS: the seconds within which so many percent of the pings (columns) to so many percent of
# the addresses (rows) are answered.
_PERCENT = np.array([0, 1, 50, 80, 90, 95, 98, 99])
_PINGS = np.array(
    [
        (0.01, 0.03, 0.04, 0.07, 0.10, 0.13, 0.18),
        (0.16, 0.19, 0.21, 0.26, 0.42, 0.53, 0.64),
        (0.19, 0.26, 0.33, 0.43, 0.54, 0.74, 1.21),
        (0.22, 0.31, 0.42, 0.57, 0.84, 1.61, 3),
        (0.25, 1.42, 2.38, 3, 5, 9, 15),
        (0.30, 1.94, 4, 6, 12, 41, 78),
        (0.33, 2.31, 4, 8, 22, 76, 145),
    ]
)


class Servers(NamedTuple):
    """What servers' delays are like; without a median, like those of pinged hosts."""

    name: str
    median: float = 0  # s

    def delays(self, flows: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Return the delay of each flow's reply, s."""
        if self.median:
            return self.median * np.exp(SPREAD * rng.standard_normal(flows))
        return _pinged(*rng.random((2, flows)) * 100)


PINGED = Servers("pinged hosts")

EXPERIMENT = Experiment(
    title="False 'unanswered' by timeout and server delay",
    question="How many flows are called unanswered though their server answers, only later?",
    method=(
        "Each flow is answered. Servers' delays are log-normal about a median (with a standard"
        f" deviation of {SPREAD} of the logarithm), or those of pinged hosts all over the Internet,"
        " drawn from the percentiles that the paper below gives. Half of the flows are UDP; half"
        f" are TCP, whose clients repeat their SYN after {', '.join(map(str, REPEATS))} s. The"
        " engine judges them offline. For some pairs TCP flows with the delays of the first of them"
        " go through a switch as well, by the clock, and the controller's metrics count them."
    ),
    explains=(
        "A flow that is called unanswered becomes recovered by its reply, so nothing false stays in"
        " the flow log: the two shares are equal. What it costs are packets that are copied in"
        " vain until then. A timeout that is twice as long as most servers take is enough; what is"
        " left is the tail that real networks have. The published number is of pings to the worst"
        " twentieth of all addresses, ours of all of them. A longer timeout also tells later of"
        " what does fail, and holds more flows in memory. Live, the clock ticks: a reply within"
        " some milliseconds of the deadline may fall on either side."
    ),
    columns=(
        Column(name="servers", title="servers' delay"),
        Column(name="timeout", title="timeout", unit="s"),
        Column(name="unanswered", title="called unanswered", unit="share"),
        Column(name="recovered", title="recovered in the end", unit="share"),
        Column(name="captured", title="packets captured in vain", unit="per flow"),
        Column(name="some", title="of some of the flows, offline", unit="share"),
        Column(name="live", title="of the same, on a switch", unit="share"),
    ),
    chart=Chart(kind="line", x="timeout", y="unanswered", series=("servers",), log="x"),
    published=(
        Published(
            what="pings to the slowest 5% of addresses that are answered later than 5 s",
            value=0.05,
            source=PINGS,
            column="unanswered",
            where={"servers": PINGED.name, "timeout": 5},
        ),
    ),
    needs_root=True,
    parameters={
        "flows": 100_000,
        "medians": (0.1, 0.3, 1, 3, 10),
        "timeouts": (0.5, 1, 2, 3, 5, 10),
        "live": ((0.3, 0.5), (1, 0.5), (1, 1), (1, 2), (3, 3)),
        "live_flows": 300,
        "seed": 1,
    },
    quick={"flows": 2_000, "medians": (0.3, 1), "live": ((0.3, 0.5),), "live_flows": 50},
)


def run(quick: bool) -> list[Row]:
    """Judge flows of each kind of servers with each timeout."""
    settings = EXPERIMENT.settings(quick)
    rng = np.random.default_rng(settings["seed"])
    rows: list[Row] = []
    for servers in (*map(about, settings["medians"]), PINGED):
        delays = servers.delays(settings["flows"], rng)
        some = delays[: settings["live_flows"]]
        for timeout in settings["timeouts"]:
            judged = judge(delays, timeout)
            is_live = (servers.median, timeout) in settings["live"]
            rows.append(
                {
                    "servers": servers.name, "timeout": timeout,
                    "unanswered": judged.unanswered / len(delays),
                    "recovered": judged.recovered / len(delays),
                    "captured": judged.captured / len(delays),
                    "some": judge(some, timeout).unanswered / len(some) if is_live else None,
                    "live": live(some, timeout) if is_live else None,
                }
            )  # fmt: skip
    return rows


def about(median: float) -> Servers:
    """Return servers that take so many seconds, more or less."""
    return Servers(f"{median:g} s", median)


def _pinged(address: NDArray[np.float64], ping: NDArray[np.float64]) -> NDArray[np.float64]:
    """Interpolate the table's logarithms; beyond its edges its edges count."""
    logarithms = np.log(np.pad(_PINGS, ((1, 0), (1, 0)), mode="edge"))
    position = np.arange(len(_PERCENT))
    rows, columns = (np.interp(each, _PERCENT, position) for each in (address, ping))
    row, column = rows.astype(int), columns.astype(int)
    below, right = (np.minimum(each + 1, len(position) - 1) for each in (row, column))
    down, along = rows - row, columns - column
    upper = logarithms[row, column] * (1 - along) + logarithms[row, right] * along
    lower = logarithms[below, column] * (1 - along) + logarithms[below, right] * along
    return np.exp(upper * (1 - down) + lower * down)


def traffic(delays: NDArray[np.float64]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return frames (n, size) in the order of their times, and these in ns."""
    flows = np.arange(len(delays))
    tcp = flows % 2 == 0
    parts = [(flows, np.zeros(len(flows)), False), (flows, delays, True)]
    for wait in REPEATS:
        repeating = flows[tcp & (delays > wait)]
        parts.append((repeating, np.full(len(repeating), float(wait)), False))
    flow = np.concatenate([part[0] for part in parts])
    times = BEGIN + flow * GAP + (np.concatenate([part[1] for part in parts]) * SECOND).astype(int)
    back = np.concatenate([np.full(len(part[0]), part[2]) for part in parts])
    order = np.argsort(times, kind="stable")
    flow, back = flow[order], back[order]
    made = np.zeros((len(flow), frames.MAX_FRAME), np.uint8)
    is_tcp = tcp[flow]
    frames.fill(
        made,
        Packets(
            version=np.full(len(flow), 4, np.uint8),
            protocol=np.where(is_tcp, TCP_PROTOCOL, UDP_PROTOCOL).astype(np.uint8),
            error=np.zeros(len(flow), np.bool_),
            from_server=back,
            client=flow // 1000 + 1,
            server=flow % 1000 + 1,
            client_port=10000 + flow // 100_000,
            server_port=np.where(is_tcp, 443, 4433),
            flags=np.where(back, SYN | ACK, SYN).astype(np.uint8),
            wire_length=np.full(len(flow), SIZE),
            sequence=np.zeros(len(flow), np.int64),
        ),
    )
    return made[:, :SIZE], times[order]


class Judged(NamedTuple):
    """What came of flows that were all answered."""

    unanswered: int  # flows that were called so
    recovered: int  # of which were answered later
    captured: int  # packets that a logger would get in vain


def judge(delays: NDArray[np.float64], timeout: float) -> Judged:
    """Judge flows whose servers answer after so many seconds."""
    settings = Settings(timeout=int(timeout * SECOND), max_flows=2 * len(delays))
    engine = Engine(settings, judged=(State.UNANSWERED,))
    unanswered = 0
    for output in engine.judge(as_batch(*traffic(delays))):
        unanswered += int((output.events["change"] == Change.JUDGED).sum())
    summary = engine.summary()
    return Judged(unanswered, summary["verdicts"]["recovered"], summary["captured_packets"])


def live(delays: NDArray[np.float64], timeout: float) -> float:
    """Have hosts send TCP flows through a switch; return the share that is called unanswered."""
    events: list[tuple[float, int, str, bytes]] = []
    for n, delay in enumerate(delays):
        client, server = address(10, n + 1), address(198, n + 1)
        there = tcp_frame(client, server, 40000, 443, SYN, 1, 0)
        back = tcp_frame(server, client, 443, 40000, SYN | ACK, 1, 2, back=True)
        begin = 0.01 * n
        for wait in (0.0, *(wait for wait in REPEATS if wait < delay)):
            heapq.heappush(events, (begin + wait, n, "client", there))
        heapq.heappush(events, (begin + delay, n, "server", back))
    with (
        tempfile.TemporaryDirectory() as directory,
        Network("single") as network,
        Controller(
            Path(directory), PIPELINES["conntrack"], timeout=f"{int(timeout * 1000)}ms"
        ) as control,
    ):
        start = time.monotonic()
        while events:
            due, _, host, frame = heapq.heappop(events)
            time.sleep(max(0.0, start + due - time.monotonic()))
            network.send(host, frame)

        def answered() -> float:
            return control.total("flows_total", verdict="answered") + control.total(
                "flows_total", verdict="recovered"
            )

        control.wait_for(lambda: answered() == len(delays))
        return control.total("flows_total", verdict="unanswered") / len(delays)
