"""What aggregation costs and spares in a /16 scan: ``python -m benchmarks.budget``.

Prints Markdown tables. One outside client tries port 22 of 65,536 internal addresses, 1,000 in a
second, and each of them again two seconds after its verdict; every hundredth answers. Beside it,
200 clients have one server each that is gone. The rules' part is the real one, the switch a model
that follows its rules. As root, a smaller scan runs through Open vSwitch as well.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from benchmarks.pipelines import PIPELINES
from benchmarks.segments import SYN, address, tcp_frame
from chamaleonet.config import Config
from chamaleonet.flows.records import Query
from chamaleonet.flows.transitions import ERRONEOUS
from chamaleonet.lab.machine import switch_runs
from chamaleonet.switch.conntrack import ConntrackPipeline
from chamaleonet.switch.match import FlowKey
from chamaleonet.switch.redirect import Redirects
from chamaleonet.switch.rules import TCP
from mininet_tests.harness import LOGGER, Controller, Network, ends_of, missing
from tests.switch.build import START, flow_event, frame
from tests.traffic import SECOND

if TYPE_CHECKING:
    from chamaleonet.switch.pipeline import Change
    from chamaleonet.switch.rules import Match, Rule

TARGETS = 65_536
RATE = 1000  # first packets in a second
TIMEOUT, RETRY = 3, 5  # seconds after the first packet
ANSWERING = 100  # each hundredth
OTHERS = 200
SCANNER, FIRST = 0xC6336409, 0x0A140000
BUDGETS = (1_000, 10_000, 100_000)


class SingleRules(ConntrackPipeline):
    """Never aggregates."""

    def aggregates(self, *_):
        return ()


class Result(NamedTuple):
    most: int
    rules: int
    flow_mods: int
    copied: int
    missed: int
    besides: int
    microseconds: float


class Switch:
    """Follows the rules it gets; of an aggregate's match only SYNs, as the tracker sees to it."""

    def __init__(self) -> None:
        self.single: dict[Match, Rule] = {}
        self.wide: dict[Match, Rule] = {}
        self.most = self.flow_mods = 0

    def apply(self, changes: list[Change]) -> None:
        for rule, add, _ in changes:
            rules = self.single if rule.table == 1 else self.wide
            if add:
                rules[rule.match] = rule
            else:
                del rules[rule.match]
            self.most = max(self.most, len(self))
            self.flow_mods += 1

    def __len__(self) -> int:
        return len(self.single) + len(self.wide)

    def copies_syn(self, key: FlowKey) -> bool:
        match = key.client_to_server()
        if match in self.single:
            return True
        fields = dict(match)
        return any(_matches(wide, fields) for wide in self.wide)


def _matches(match: Match, fields: dict) -> bool:
    for name, value in match:
        if name in fields:
            wanted, mask = value if isinstance(value, tuple) else (value, -1)
            if fields[name] & mask != wanted:
                return False
    return True


def flow(client: int, server: int, port: int = 22) -> FlowKey:
    return FlowKey(4, TCP, Query.NONE, client, 40000, server, port, False)


def scan(pipeline: type[ConntrackPipeline], budget: int) -> Result:
    at = frame(redirect={"max_rules": budget})
    redirects = Redirects(pipeline(at), at, ERRONEOUS, Config().internal)
    switch = Switch()
    keys = [flow(SCANNER, FIRST + n) for n in range(TARGETS)]
    others = [flow(0x0A000100 + n, 0xC6120000 + n, 443) for n in range(OTHERS)]
    events = np.repeat(flow_event(0, keys[0]), TARGETS)
    events["row"] = np.arange(TARGETS)
    events["flow"]["low_lo"] += np.arange(TARGETS, dtype=np.uint64)
    answers = {n for n in range(TARGETS) if n % ANSWERING == 0}
    seen: Counter[str] = Counter()
    spent = 0

    def judge(event: np.void) -> None:
        nonlocal spent
        begin = time.perf_counter_ns()
        changes = list(redirects.on_event(event))
        spent += time.perf_counter_ns() - begin
        switch.apply(changes)

    for n, key in enumerate(others):
        judge(flow_event(TARGETS + n, key))
    for n in range(TARGETS + RETRY * RATE):  # a thousandth of a second each
        if n % RATE == 0:
            switch.apply(list(redirects.advance(START + n // RATE * SECOND)))
        if n < TARGETS:
            seen["besides"] += switch.copies_syn(keys[n])  # not judged yet
        due = n - TIMEOUT * RATE
        if 0 <= due < TARGETS and due not in answers:
            judge(events[due])
        again = n - RETRY * RATE
        if 0 <= again < TARGETS and again not in answers:
            seen["copied" if switch.copies_syn(keys[again]) else "missed"] += 1
    for key in others:
        seen["copied" if switch.copies_syn(key) else "missed"] += 1
    return Result(
        switch.most, len(switch), switch.flow_mods, seen["copied"], seen["missed"], seen["besides"],
        spent / len(events) / 1000,
    )  # fmt: skip


def bench_model() -> None:
    erroneous = TARGETS - len(range(0, TARGETS, ANSWERING)) + OTHERS
    print(f"## Rule budget\n\n{erroneous:,} erroneous flows, a packet of each after its verdict.\n")
    print(
        "| budget | aggregation | rules at most | rules at the end | flow-mods |"
        " packets copied | not copied | copied besides | µs per flow |"
    )
    print("| ---: | --- |" + " ---: |" * 7)
    for budget in BUDGETS:
        for name, pipeline in (("no", SingleRules), ("yes", ConntrackPipeline)):
            *counts, spent = scan(pipeline, budget)
            numbers = " | ".join(f"{count:,}" for count in counts)
            print(f"| {budget:,} | {name} | {numbers} | {spent:.0f} |", flush=True)


# On Open vSwitch.

LIVE_TARGETS = 3000


def live(budget: int) -> list[int]:
    """Return: rules, packets of erroneous flows and of answered ones at the logger port."""
    client, healthy = address(198, 9), address(10, 9_000_000)
    targets = [address(10, 8_000_000 + n) for n in range(LIVE_TARGETS)]

    settings = f"{PIPELINES['conntrack']}, redirect: {{max_rules: {budget}}}"

    def syn(server: str) -> bytes:
        return tcp_frame(client, server, 40000, 22, SYN, 1, 0)

    with (
        tempfile.TemporaryDirectory() as directory,
        Network("single") as network,
        Controller(Path(directory), settings) as control,
    ):
        ack = 16
        network.send("client", syn(healthy))
        time.sleep(0.05)
        network.send("server", tcp_frame(healthy, client, 22, 40000, SYN | ack, 1, 2, back=True))
        time.sleep(0.05)
        network.send("client", tcp_frame(client, healthy, 40000, 22, ack, 2, 2))

        def send_all() -> None:
            for target in targets:
                network.send("client", syn(target))
                time.sleep(0.001)

        send_all()
        send_all()  # a packet may be lost where processors are few
        control.wait_for(
            lambda: control.total("flows_total", verdict="unanswered") == LIVE_TARGETS, 60
        )
        control.wait_for(lambda: control.total("redirect_rules") > 0)
        time.sleep(1)
        network.received(LOGGER)
        send_all()
        for n in range(100):
            network.send("client", tcp_frame(client, healthy, 40000, 22, ack, 2 + n, 2, 1))
        time.sleep(1)
        servers = Counter(ends_of(each)[1] for each in network.received(LOGGER))
        answered = servers.pop(bytes(map(int, healthy.split("."))), 0)
        return [int(control.total("redirect_rules")), servers.total(), answered]


def bench_live() -> None:
    print(f"\n### On Open vSwitch: {LIVE_TARGETS:,} targets, and an answered flow of the scanner\n")
    print("| budget | rules | packets copied, of erroneous flows | of the answered flow |")
    print("| ---: | ---: | ---: | ---: |")
    for budget in (10_000, 1_000):
        rules, erroneous, answered = live(budget)
        print(
            f"| {budget:,} | {rules:,} | {erroneous:,} of {LIVE_TARGETS:,} | {answered} of 100 |",
            flush=True,
        )


def main() -> None:
    bench_model()
    reason = missing()
    if reason or not switch_runs():
        sys.exit(f"benchmarks.budget: not on a switch: {reason or 'Open vSwitch does not run'}")
    bench_live()


if __name__ == "__main__":
    main()
