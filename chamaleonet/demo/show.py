"""`chamaleonet demo`: builds, runs, shows and compares with what must come out."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from chamaleonet.analysis import missing
from chamaleonet.config import Config
from chamaleonet.demo.campus import PROBE, Campus
from chamaleonet.demo.traffic import LONGEST, TIMEOUT, Traffic
from chamaleonet.errors import UserError
from chamaleonet.lab import machine
from chamaleonet.lab.interrupts import Interrupts
from chamaleonet.lab.live import follow
from chamaleonet.lab.programs import Programs, keys
from chamaleonet.lab.scrape import Metrics, quantile, scrape, total

_ROUND_SECONDS = 3
_SETTLE_SECONDS = 2  # from the last deadline until everything is told and written
_TOOLS = ("ovs-vsctl", "mnexec", "ethtool", "ip", "ping", "curl", "dig", "dnsmasq")


def demo(seconds: int, pipeline: str, json_file: Path | None) -> int:
    """Run the demonstration; return 0 if the verdicts are those that they must be, else 1.

    Args:
        seconds: how long, from the first packet on; it is never shorter than one round takes.
        pipeline: ``conntrack`` or ``reactive``.
        json_file: where to write the result.

    Raises:
        UserError: what is missing on this machine, or what went wrong.
    """
    machine.check("demo", _TOOLS)
    if json_file is not None and not os.access(json_file.absolute().parent, os.W_OK):
        raise UserError(f"--json {json_file}: cannot write there")
    directory = Path(tempfile.mkdtemp(prefix="chamaleonet-demo-"))
    console = Console()
    try:
        with Interrupts() as interrupts:
            result = _run(console, directory, seconds, pipeline, interrupts)
    except KeyboardInterrupt:
        console.print("interrupted: everything is removed")
        return 130
    excerpt = result.pop("metrics")
    if json_file is not None:
        json_file.write_text(json.dumps(result) + "\n")
    _print(console, result, excerpt)
    return 0 if result["verdicts"] == result["expected"] else 1


def configuration(directory: Path, pipeline: str) -> Config:
    """Return what controller and logger are configured with.

    Args:
        directory: for all that they write.
        pipeline: ``conntrack`` or ``reactive``.
    """
    own = keys([PROBE], pipeline, directory, directory)
    return Config.model_validate(own | {"timeout": f"{TIMEOUT}s"})


def _run(
    console: Console, directory: Path, seconds: int, pipeline: str, interrupts: Interrupts
) -> dict[str, Any]:
    programs = Programs(configuration(directory, pipeline), directory)
    try:
        console.print(f"building the campus: switch {PROBE.name}, pipeline {pipeline}")
        with ExitStack() as stack:
            pages = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            traffic = Traffic(stack.enter_context(Campus(programs.openflow_port)), pages)
            stack.callback(programs.stop)
            stack.callback(traffic.stop)
            programs.start(interrupts.pause)
            traffic.start_servers()
            interrupts.pause(1)
            _make_traffic(console, traffic, programs, seconds, interrupts)
            metrics, logged = programs.controller(), programs.logger()
            excerpt = _excerpt(programs)
            packets = _switch_packets()
        # The logger has ended: its files are complete.
        added = total(metrics, "redirect_rule_changes_total", change="added")
        delays = {f"p{percent}": _milliseconds(metrics, percent / 100) for percent in (50, 99)}
        return {
            "pipeline": pipeline,
            "switch_packets": packets,
            "controller_packets": total(metrics, "candidate_packets_total"),
            "logger_packets": total(logged, "logger_packets_total"),
            "verdicts": _verdicts(metrics, programs.logs),
            "expected": dict(sorted(traffic.expected.items())),
            "redirect_rules_installed": added,
            "verdict_delay_ms": delays,
            "files": sorted(map(str, programs.logs.rglob("chamaleonet-*"))),
            **_report(console, programs.logs, directory / "report.html"),
            "metrics": excerpt,
        }
    finally:
        if not any((directory / "log").rglob("*")):
            shutil.rmtree(directory)


def _report(console: Console, logs: Path, page: Path) -> dict[str, Any]:
    """Write the report of what was logged; return where it is, and what it found."""
    if missing():
        console.print("no report: pip install 'chamaleonet[report]'")
        return {"report": None, "findings": []}
    from chamaleonet.analysis import report
    from chamaleonet.analysis.table import Options

    console.print("making the report")
    document = report.run(logs, report.Outputs(page), Options(timeout=TIMEOUT))
    return {"report": str(page), "findings": [each["cause"] for each in document["findings"]]}


def _excerpt(programs: Programs) -> list[str]:
    """Return those lines of the controller's metrics that have counted or measured."""
    return [
        line
        for line in scrape(programs.metrics_ports[0]).splitlines()
        if line.startswith("chamaleonet_")
        and "_bucket" not in line
        and "_info" not in line
        and not line.endswith(" 0.0")
    ]


def _make_traffic(
    console: Console, traffic: Traffic, programs: Programs, seconds: int, interrupts: Interrupts
) -> None:
    """Start rounds until the last can still end, and show what the controller finds."""
    begun = time.monotonic()
    seconds = max(seconds, LONGEST + TIMEOUT + _SETTLE_SECONDS)
    last_start = begun + seconds - LONGEST - TIMEOUT - _SETTLE_SECONDS
    rounds = 0

    def next_round() -> None:
        nonlocal rounds
        now = time.monotonic()
        if now >= begun + rounds * _ROUND_SECONDS and (rounds == 0 or now <= last_start):
            traffic.start_round(rounds)
            rounds += 1

    follow(console, programs, seconds, next_round, interrupts.pause)


def _verdicts(metrics: Metrics, logs: Path) -> dict[str, int]:
    """Count flows by their last verdict: failed ones in the flow log, answered by the metrics."""
    import pyarrow.parquet as pq

    counts: Counter[str] = Counter()
    for path in logs.rglob("*.parquet"):
        counts.update(pq.read_table(path, columns=["verdict"])["verdict"].to_pylist())
    counts["answered"] = total(metrics, "flows_total", verdict="answered")
    return dict(sorted(counts.items()))


def _switch_packets() -> int:
    """Return how many packets the switch's ports have received, ours (which only send) included."""
    told = machine.run("ovs-ofctl", "-O", "OpenFlow13", "dump-ports", PROBE.name)
    return sum(int(count) for count in re.findall(r"rx pkts=(\d+)", told))


def _milliseconds(metrics: Metrics, share: float) -> float | None:
    value = quantile(metrics, "verdict_delay_seconds", share)
    return None if value is None else round(value * 1000, 2)


def _print(console: Console, result: dict[str, Any], excerpt: list[str]) -> None:
    table = Table()
    for heading in ("verdict", "flows", "expected"):
        table.add_column(heading, justify="left" if heading == "verdict" else "right")
    for verdict in sorted(result["verdicts"].keys() | result["expected"].keys()):
        flows, expected = (result[of].get(verdict, 0) for of in ("verdicts", "expected"))
        table.add_row(
            verdict, str(flows), str(expected), style=None if flows == expected else "red"
        )
    console.print(table)
    share = result["controller_packets"] / max(result["switch_packets"], 1)
    delay = result["verdict_delay_ms"]
    console.print(f"packets through the switch     {result['switch_packets']}")
    console.print(f"packets to the controller      {result['controller_packets']} ({share:.1%})")
    console.print(f"packets to the logger          {result['logger_packets']}")
    console.print(f"redirect rules installed       {result['redirect_rules_installed']}")
    console.print(f"deadline to rule confirmed     p50 {delay['p50']} ms, p99 {delay['p99']} ms")
    for path in result["files"]:
        console.print(f"written                        {path}", soft_wrap=True)
    for cause in result["findings"]:
        console.print(f"found                          {cause}", soft_wrap=True)
    console.print(f"report                         {result['report']}", soft_wrap=True)
    console.print("metrics, an excerpt:")
    for line in excerpt:
        console.print(f"  {line}", soft_wrap=True, markup=False, highlight=False)
