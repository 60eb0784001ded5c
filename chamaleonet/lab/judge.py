"""Was everything found, and nothing else? What a run left, compared with what was planted.

All that is compared lies in the run's directory. The trace tells what happened, the flow log and
the captured packets what was found of it, the report what was said about it.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from chamaleonet import __version__
from chamaleonet import config as configuration
from chamaleonet.errors import UserError
from chamaleonet.flows.engine import Settings
from chamaleonet.lab import logged, named, rules
from chamaleonet.lab.cases import join
from chamaleonet.lab.planted import Planted
from chamaleonet.lab.replayed import is_of_one_way, one_way, replayed
from chamaleonet.lab.result import (
    Delay,
    Differences,
    FlowRow,
    Healthy,
    Packets,
    PlantResult,
    Result,
    Span,
    Unexpected,
)
from chamaleonet.lab.scrape import parsed, total
from chamaleonet.lab.truth import truth

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from chamaleonet.config import Config
    from chamaleonet.lab.cases import Case, Cases
    from chamaleonet.lab.inventory import Inventory
    from chamaleonet.lab.logged import LoggedFlow, LoggedPacket
    from chamaleonet.lab.scenario import Scenario
    from chamaleonet.lab.truth import Truth
    from chamaleonet.units import Network

_ROWS = 10  # of flows that are shown, at most
_ONE_WAY = "replies are out of sight in the captures themselves"
_REUSED = "live does not see that the ports are used again (reactive pipeline)"


def judge(
    scenario: Scenario,
    inventory: Inventory,
    directory: Path,
    *,
    internal: tuple[Network, ...],
    name: str = "",
) -> Result:
    """Judge a run.

    Args:
        scenario: what was run.
        inventory: of its topology.
        directory: what the run left.
        internal: the prefixes that are inside.
        name: the scenario's.

    Raises:
        UserError: something is missing in the directory or cannot be read, or a selector of the
            scenario names nothing.
    """
    config = configuration.load(directory / "chamaleonet.yaml")
    settings = _settings(config, internal)
    true = truth(sorted(directory.glob("trace-*.pcap")), settings)
    written = logged.packets(directory / "log", internal)
    found = join(
        true,
        config.timeout,
        logged.flows(directory / "log"),
        written,
        rules.read(
            sorted(directory.glob("rules-*.txt")),
            frozenset(switch.tables.filter for switch in config.switches),
        ),
    )
    report = _report(directory / "report.json")
    told = report or {"findings": [], "tables": {}}
    planted = [Planted(plant, inventory) for plant in scenario.plants]
    rows = _Rows(found.cases, true.begin, _reuse(config), one_way(directory))
    of_plant: list[list[Case]] = [[] for _ in planted]
    for case in found.cases:
        at = next((n for n, each in enumerate(planted) if each.is_of(case.flow.key)), None)
        if at is not None:
            of_plant[at].append(case)
    packets = _packets(directory, true, written)
    healthy, differences = _healthy(found, rows), _differences(found, rows)
    unexpected = _unexpected(told, planted)
    return Result(
        name=name,
        title=scenario.title,
        topology=scenario.topology,
        pipeline=scenario.pipeline,
        seed=scenario.seed,
        seconds=scenario.seconds,
        traced=(true.end - true.begin) / 1e9,
        timeout=config.timeout / 1e9,
        versions={"chamaleonet": __version__, **_versions(directory / "versions.txt")},
        verdicts={name: count for name, count in true.summary["verdicts"].items() if count},
        packets=packets,
        plants=[
            _plant(each, its, found.cases, told, rows)
            for each, its in zip(planted, of_plant, strict=True)
        ],
        replay=replayed(directory, found, settings, rows.known) if scenario.replay else None,
        healthy=healthy,
        differences=differences,
        unexpected_findings=unexpected,
        problems=[
            # What is in a capture may be found in it.
            *_problems(healthy, differences, [] if scenario.replay else unexpected, packets),
            *(["there is no report"] if report is None else []),
        ],
    )


def _settings(config: Config, internal: tuple[Network, ...]) -> Settings:
    return Settings(
        internal=internal,
        timeout=config.timeout,
        idle_timeout=config.idle_timeout,
        capture=config.capture,
    )


def _plant(
    planted: Planted, cases: list[Case], all_cases: list[Case], report: named.Report, rows: _Rows
) -> PlantResult:
    plant = planted.plant
    failed = [case for case in cases if case.failed]
    other = Counter(case.flow.verdict for case in failed if case.flow.verdict not in plant.verdicts)
    wrong = [case for case in failed if case.flow.verdict in plant.verdicts and not case.agrees]
    lacking = [case for case in failed if len(case.written) < case.least]
    false = [case for case in all_cases if case.wrongly_written and planted.touches(case.flow.key)]
    result: dict[str, Any] = {
        "expected_flows": len(failed),
        "judged_right": len(failed) - other.total() - len(wrong),
        "captured": sum(len(case.written) for case in failed),
        "captured_missing": sum(case.least - len(case.written) for case in lacking),
        "false_captures": sum(case.wrongly_written for case in false),
        "named_by": named.naming(report, plant.named_by, planted.place),
    }
    problems = []
    if len(failed) < plant.least:
        problems.append(f"{len(failed)} flows failed, not {plant.least}: it did not happen")
    if other:
        counts = ", ".join(f"{verdict} {count}" for verdict, count in other.items())
        problems.append(f"flows failed in other ways: {counts}")
    if wrong:
        suspect = sum(case.is_suspect for case in wrong)
        problems.append(
            f"{len(wrong)} of {len(failed)} flows were not judged right"
            + (f", {suspect} of them because replies seemed out of sight" if suspect else "")
        )
    if lacking:
        problems.append(
            f"{result['captured_missing']} packets of {len(lacking)} flows were not captured"
        )
    if false:
        problems.append(f"{result['false_captures']} packets of healthy flows were captured")
    if not result["named_by"]:
        problems.append(f"the report names it nowhere in {' or '.join(plant.named_by)}")
    return PlantResult(
        name=plant.name,
        least=plant.least,
        verdicts=list(plant.verdicts),
        true_verdicts=Counter(case.flow.verdict for case in cases),
        live_verdicts=Counter(case.live.verdict if case.live else "none" for case in failed),
        captured_expected=Span(
            least=sum(case.least for case in failed), most=sum(case.most for case in failed)
        ),
        finding_named=bool(result["named_by"]),
        delay=_delay(failed),
        missed=rows.of(
            [
                case
                for case in failed
                if case.flow.verdict not in plant.verdicts
                or not case.agrees
                or len(case.written) < case.least
            ]
        ),
        problems=problems,
        **result,
    )


def _delay(cases: Iterable[Case]) -> Delay:
    """Return how long the rules of flows took."""
    delays, shared, aggregated, none = [], 0, 0, 0
    for case in cases:
        erred = case.flow.erred
        if erred is None:
            continue
        if case.rules:
            # The monitor's milliseconds are rounded down.
            if case.rules[0].since < erred - 10**6:
                shared += 1
            else:
                delays.append(max(0, case.rules[0].since - erred) / 1e9)
        elif case.aggregates:
            aggregated += 1
        else:
            none += 1
    quantiles: Any = np.quantile(delays, (0.5, 0.99, 1)).tolist() if delays else [None] * 3
    return Delay(
        count=len(delays),
        p50=quantiles[0],
        p99=quantiles[1],
        max=quantiles[2],
        shared=shared,
        aggregated=aggregated,
        none=none,
    )


def _healthy(found: Cases, rows: _Rows) -> Healthy:
    false = [case for case in found.cases if case.wrongly_written]
    return Healthy(
        flows=sum(not case.failed for case in found.cases),
        captured=sum(case.wrongly_written for case in false) + len(found.packets),
        rows=rows.of(false),
    )


def _differences(found: Cases, rows: _Rows) -> Differences:
    differing = [case for case in found.cases if not case.agrees]
    return Differences(
        flows=len(differing) + len(found.flows),
        known=sum(bool(rows.known(case)) for case in differing),
        rows=(rows.of(differing) + rows.of_no_flow(found.flows))[:_ROWS],
    )


def _unexpected(report: named.Report, planted: list[Planted]) -> list[Unexpected]:
    return [
        Unexpected(kind=finding["kind"], hosts=finding["hosts"], cause=finding["cause"])
        for finding in report["findings"]
        if not any(named.is_about(finding, each.place) for each in planted)
    ]


def _problems(
    healthy: Healthy, differences: Differences, unexpected: list[Unexpected], packets: Packets
) -> list[str]:
    problems = []
    if healthy.captured:
        problems.append(f"{healthy.captured} packets of healthy flows, or of none, were captured")
    if unknown := differences.flows - differences.known:
        problems.append(f"{unknown} flows were judged otherwise than offline")
    if packets.icmp_errors_written < packets.icmp_errors:
        problems.append(
            f"{packets.icmp_errors - packets.icmp_errors_written} ICMP errors were not captured"
        )
    problems += [f"a finding names no plant: {each.kind}: {each.cause}" for each in unexpected]
    return problems


def _packets(directory: Path, true: Truth, written: list[LoggedPacket]) -> Packets:
    summary = true.summary
    return Packets(
        border=summary["packets"],
        ip=summary["packets"] - summary["non_ip"],
        controller=_total(directory / "metrics-controller.txt", "candidate_packets_total"),
        logger=_total(directory / "metrics-logger.txt", "logger_port_packets_total"),
        written=len(written),
        icmp_errors=summary["icmp_errors"],
        icmp_errors_written=sum(packet.error for packet in written),
    )


def _total(path: Path, metric: str) -> int | None:
    """Return the sum of a metric in what a scrape gave; None if nobody kept it."""
    return total(parsed(path.read_text()), metric) if path.exists() else None


def _versions(path: Path) -> dict[str, str]:
    """Return what a file of lines ``name version`` says, if it is there."""
    lines = path.read_text().splitlines() if path.exists() else []
    return {name: version for name, _, version in (line.partition(" ") for line in lines)}


def _report(path: Path) -> named.Report | None:
    """Return the report; None where none was made."""
    if not path.exists():
        return None
    try:
        report: named.Report = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise UserError(f"{path}: {error}") from None
    return report


def _reuse(config: Config) -> int:
    """Return for how many ns a flow's ports, used again, are out of sight; 0: never."""
    return max(
        (
            switch.reactive.idle_timeout or config.idle_timeout
            for switch in config.switches
            if switch.pipeline == "reactive"
        ),
        default=0,
    )


class _Rows:
    """Flows as rows, a few of each kind.

    Args:
        cases: all of them, in the order of time.
        begin: of the trace, ns.
        reuse: as ``_reuse`` returns it.
        suspect: directions of which a replay's captures hold no replies.
    """

    def __init__(self, cases: list[Case], begin: int, reuse: int, suspect: frozenset[str]) -> None:
        self._begin, self._suspect = begin, suspect
        self._reused: set[tuple[bytes, int]] = set()
        last: dict[bytes, int] = {}
        for case in cases:
            flow = case.flow
            if flow.key.protocol == "tcp" and flow.first - last.get(flow.name, -reuse) < reuse:
                self._reused.add((flow.name, flow.first))
            last[flow.name] = flow.last

    def known(self, case: Case) -> str:
        """Return why live cannot do better; "" if it could."""
        unseen = case.live is None and (case.flow.name, case.flow.first) in self._reused
        if is_of_one_way(case, self._suspect):
            return _ONE_WAY
        return _REUSED if unseen else ""

    def of(self, cases: list[Case]) -> list[FlowRow]:
        """Return rows of the first few flows."""
        return [
            FlowRow(
                first=(case.flow.first - self._begin) / 1e9,
                **case.flow.key._asdict(),
                true=case.flow.verdict,
                live=case.live and case.live.verdict,
                quality=case.live and case.live.quality,
                captured=len(case.written),
                wanted=case.least,
                known=self.known(case),
            )
            for case in cases[:_ROWS]
        ]

    def of_no_flow(self, flows: list[LoggedFlow]) -> list[FlowRow]:
        """Return rows of the first few flows that only the flow log has."""
        return [
            FlowRow(
                first=(live.first - self._begin) / 1e9,
                **live.key._asdict(),
                true=None,
                live=live.verdict,
                quality=live.quality,
                captured=0,
                wanted=0,
            )
            for live in flows[:_ROWS]
        ]
