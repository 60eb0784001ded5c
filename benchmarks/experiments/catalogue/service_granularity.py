"""What bypass rules for services, instead of flows, spare and hide.

Services inside answer some flows and leave others alone. The engine and the reactive pipeline are
the real ones, the switch a model that follows its rules; some rows run on a switch as well.
"""

from __future__ import annotations

import heapq
import tempfile
import time
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from benchmarks.experiments.experiment import Chart, Column, Experiment, Row
from benchmarks.segments import ACK, SYN, address, tcp_frame
from benchmarks.wire import as_batch
from chamaleonet.flows.engine import Engine, Settings
from chamaleonet.flows.records import Change as FlowChange
from chamaleonet.flows.records import Query
from chamaleonet.flows.transitions import State
from chamaleonet.switch.match import FlowKey
from chamaleonet.switch.reactive import ReactivePipeline
from chamaleonet.switch.rules import TCP
from mininet_tests.harness import Controller, Network
from tests.switch.build import START, frame

if TYPE_CHECKING:
    from collections.abc import Iterable

    from chamaleonet.switch.pipeline import Change
    from chamaleonet.switch.rules import Match, Rule

SECOND = 10**9
OUTSIDE, INSIDE = 198, 10
REPEATS = (1, 3, 7)  # s after the first SYN
ROUND_TRIP = 0.02  # s
PACKETS = 4  # of an answered flow after its handshake
PAUSE = 0.5  # s between them
TIMEOUT = SECOND // 2
GRANULARITIES = ("flow", "service")

EXPERIMENT = Experiment(
    title="Service granularity and missed failures",
    question="Which failures does a bypass rule for a whole service hide, and what does it spare?",
    method=(
        "Clients outside open TCP connections to services inside, at random times. A service leaves"
        " a random part of them unanswered (their clients repeat the SYN after"
        f" {', '.join(map(str, REPEATS))} s) and answers the others. A failing flow is missed when"
        " it is never called unanswered. Engine and reactive pipeline are the real ones; the switch"
        " is a model that follows their rules. For some rows the same packets go through a switch."
    ),
    explains=(
        "While a service answers anybody within `reactive.idle_timeout`, its other failures pass by"
        " its bypass. So nearly all are missed where it answers more often than that; what is found"
        " is a service that answers nobody for so long, for a bypass goes when either of its"
        " directions is idle, and requests alone do not keep it. It makes no difference whether"
        " failures depend on the client or on chance. A flow whose SYN was seen, but whose reply"
        " passes by a bypass that came meanwhile, is called unanswered though it is answered: that"
        " is rare. What is spared are rules: two for each service instead of two for each flow. The"
        " service of a flow to the outside is its client's own port, so there nothing is spared"
        " and nothing missed."
    ),
    columns=(
        Column(name="granularity", title="granularity"),
        Column(name="idle", title="bypass idle timeout", unit="s"),
        Column(name="rate", title="flows to each service", unit="per minute"),
        Column(name="services", title="services"),
        Column(name="failing", title="flows that fail", unit="share"),
        Column(name="missed", title="failing flows missed", unit="share"),
        Column(name="false", title="answered flows called unanswered", unit="share"),
        Column(name="rules", title="bypass rules at most"),
        Column(name="live", title="missed on a switch", unit="share"),
    ),
    chart=Chart(
        kind="line", x="failing", y="missed", series=("granularity", "rate", "idle"), log="x"
    ),
    needs_root=True,
    parameters={
        "idle": 180,
        "rates": (0.2, 1, 10),
        "failing": (0.01, 0.1, 0.5, 0.9),
        "services": 10,
        "flows": 2_000,
        "live_idle": 3,
        "live_rates": (60,),
        "live_failing": (0.1, 0.5),
        "live_services": 2,
        "live_flows": 150,
        "seed": 1,
    },
    quick={
        "rates": (0.2, 10),
        "failing": (0.1, 0.5),
        "flows": 300,
        "live_idle": 2,
        "live_rates": (240,),
        "live_failing": (0.5,),
        "live_services": 1,
        "live_flows": 40,
    },
)


class Packet(NamedTuple):
    """A TCP segment without data.

    Attributes:
        time: s since the begin.
        flow: number of its flow.
        service: number of the service.
        back: whether the service sends it.
        flags: of TCP.
    """

    time: float
    flow: int
    service: int
    back: bool
    flags: int

    @property
    def ends(self) -> tuple[str, int, str, int]:
        """Source, its port, target, its port."""
        outside, inside = (
            (address(OUTSIDE, self.flow + 1), 40000),
            (address(INSIDE, self.service + 1), 443),
        )
        return (*inside, *outside) if self.back else (*outside, *inside)

    @property
    def frame(self) -> bytes:
        source, sport, target, dport = self.ends
        return tcp_frame(source, target, sport, dport, self.flags, 1, 1, back=self.back)


class Traffic(NamedTuple):
    """Packets in the order of their times, and which flows fail."""

    packets: list[Packet]
    failing: set[int]
    flows: int


class Found(NamedTuple):
    """What came of a run."""

    missed: float
    false: float
    rules: int


def run(quick: bool) -> list[Row]:
    """Run all combinations with the model, and some on a switch as well."""
    settings = EXPERIMENT.settings(quick)
    cases = [("", granularity) for granularity in GRANULARITIES]
    cases += [("live_", granularity) for granularity in GRANULARITIES]
    rows: list[Row] = []
    for prefix, granularity in cases:
        idle, services, flows = (settings[prefix + name] for name in ("idle", "services", "flows"))
        for rate in settings[f"{prefix}rates"]:
            for failing in settings[f"{prefix}failing"]:
                rng = np.random.default_rng(settings["seed"])
                traffic = draw(flows, services, rate, failing, rng)
                found = model(traffic, granularity, idle)
                rows.append(
                    {
                        "granularity": granularity, "idle": idle, "rate": rate,
                        "services": services, "failing": failing, **found._asdict(),
                        "live": live(traffic, granularity, idle) if prefix else None,
                    }
                )  # fmt: skip
    return rows


def draw(
    flows: int, services: int, rate: float, failing: float, rng: np.random.Generator
) -> Traffic:
    """Draw flows: so many a minute to each service, of which a part fails."""
    begins = np.cumsum(rng.exponential(60 / (rate * services), flows))
    of_service = rng.integers(services, size=flows)
    fails = rng.random(flows) < failing
    packets = []
    for n, (begin, service) in enumerate(zip(begins.tolist(), of_service.tolist(), strict=True)):
        packets.append(Packet(begin, n, service, False, SYN))
        if fails[n]:
            packets += [Packet(begin + wait, n, service, False, SYN) for wait in REPEATS]
            continue
        packets.append(Packet(begin + ROUND_TRIP, n, service, True, SYN | ACK))
        for k in range(PACKETS):
            at = begin + 2 * ROUND_TRIP + k * PAUSE
            packets.append(Packet(at, n, service, k % 2 == 1, ACK))
    return Traffic(sorted(packets), set(np.flatnonzero(fails).tolist()), flows)


def shares(traffic: Traffic, unanswered: set[int]) -> tuple[float, float]:
    """Return which part of the failing flows is missed, and of the answered ones called so."""
    failing, answered = traffic.failing, traffic.flows - len(traffic.failing)
    return (
        len(failing - unanswered) / max(len(failing), 1),
        len(unanswered - failing) / max(answered, 1),
    )


def model(traffic: Traffic, granularity: str, idle: int) -> Found:
    """Judge what a switch that follows the pipeline's rules lets the engine see."""
    reactive = {"granularity": granularity, "idle_timeout": idle * SECOND}
    pipeline = ReactivePipeline(frame("reactive", reactive=reactive), 180 * SECOND)
    switch = Switch(idle)
    engine = Engine(
        Settings(timeout=TIMEOUT, max_flows=traffic.flows),
        judged=(*pipeline.judged, State.UNANSWERED),
        closings_seen=pipeline.passes_closings,
    )
    unanswered: set[int] = set()

    def take(outputs: Iterable) -> None:
        for output in outputs:
            for event in output.events[output.events["change"] == FlowChange.JUDGED]:
                if event["flow"]["state"] == State.UNANSWERED:
                    client = FlowKey.of(event["flow"]).client
                    unanswered.add(client - (OUTSIDE << 24) - 1)
                else:
                    switch.apply(pipeline.on_judged(event), now)

    for packet in traffic.packets:
        now = packet.time
        at = START + int(now * SECOND)
        take(engine.advance(at))
        for rule in switch.expired(now):
            changes, flow = pipeline.on_removed(rule.cookie)
            switch.apply(changes, now)
            if flow is not None:
                take(engine.forget(flow.row, flow.first))
        if not switch.passes(packet, now):
            take(engine.judge(as_batch(np.frombuffer(packet.frame, np.uint8).reshape(1, -1), at)))
    take(engine.advance(at + TIMEOUT))
    return Found(*shares(traffic, unanswered), switch.most)


class Switch:
    """The bypass rules of a switch, and when each was used last."""

    def __init__(self, idle: float) -> None:
        self._idle = idle
        self._rules: dict[Match, tuple[Rule, float]] = {}
        self._due: list[tuple[float, int, Match]] = []  # not before; the number breaks ties
        self._number = self.most = 0

    def apply(self, changes: Iterable[Change], now: float) -> None:
        for rule, add, _ in changes:
            if add:
                self._rules[rule.match] = rule, now
                self._wait(rule.match, now)
            else:
                self._rules.pop(rule.match, None)
        self.most = max(self.most, len(self._rules))

    def passes(self, packet: Packet, now: float) -> bool:
        """Tell whether a packet passes by a bypass, unseen."""
        source, sport, target, dport = packet.ends
        ends = int(ip_address(source)), sport, int(ip_address(target)), dport
        key = FlowKey(4, TCP, Query.NONE, *ends, False)
        matches = key.client_to_server(), key.to_service(*ends[2:]), key.from_service(*ends[:2])
        for match in matches:
            if match in self._rules:
                self._rules[match] = self._rules[match][0], now
                return True
        return False

    def expired(self, now: float) -> list[Rule]:
        """Remove what nothing has matched for too long, and return it."""
        gone = []
        while self._due and self._due[0][0] <= now:
            _, _, match = heapq.heappop(self._due)
            if match not in self._rules:
                continue
            rule, used = self._rules[match]
            if used + self._idle <= now:
                del self._rules[match]
                gone.append(rule)
            else:
                self._wait(match, used)
        return gone

    def _wait(self, match: Match, used: float) -> None:
        self._number += 1
        heapq.heappush(self._due, (used + self._idle, self._number, match))


def live(traffic: Traffic, granularity: str, idle: int) -> float:
    """Send the same packets through a switch; return which part of the failing flows is missed."""
    settings = (
        f"pipeline: reactive, reactive: {{granularity: {granularity}, idle_timeout: {idle}s}}"
    )
    frames = [packet.frame for packet in traffic.packets]
    with (
        tempfile.TemporaryDirectory() as directory,
        Network("single") as network,
        Controller(
            Path(directory), settings, timeout=f"{TIMEOUT}ns",
            extra="visibility: {enabled: false}\n",
        ) as control,
    ):  # fmt: skip
        begin = time.monotonic()
        for packet, data in zip(traffic.packets, frames, strict=True):
            time.sleep(max(0.0, begin + packet.time - time.monotonic()))
            network.send("server" if packet.back else "client", data)
        time.sleep(TIMEOUT / SECOND + 0.5)
        told = control.finished()
    unanswered = {
        int.from_bytes(flow["client"]) - (OUTSIDE << 24) - 1
        for _, flow, _ in told
        if flow["verdict"] == "unanswered"
    }
    return shares(traffic, unanswered)[0]
