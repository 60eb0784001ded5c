"""`chamaleonet demo`: builds, runs, shows and compares with what must come out."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from chamaleonet.analysis import missing
from chamaleonet.demo.campus import SWITCH, Campus, switch_runs
from chamaleonet.demo.programs import Metrics, Programs, quantile, total
from chamaleonet.demo.traffic import LONGEST, TIMEOUT, Traffic
from chamaleonet.errors import UserError

if TYPE_CHECKING:
    from types import FrameType

_ROUND_SECONDS = 3
_SETTLE_SECONDS = 2  # from the last deadline until everything is told and written
_TOOLS = ("ovs-vsctl", "mnexec", "ethtool", "ip", "ping", "curl", "dig", "dnsmasq")
_VERDICTS = ("answered", "recovered", "refused", "icmp_error", "unanswered")
_PROTOCOLS = ("tcp", "udp", "icmp", "icmpv6")


def demo(seconds: int, pipeline: str, json_file: Path | None) -> int:
    """Run the demonstration; return 0 if the verdicts are those that they must be, else 1.

    Args:
        seconds: how long, from the first packet on; it is never shorter than one round takes.
        pipeline: ``conntrack`` or ``reactive``.
        json_file: where to write the result.

    Raises:
        UserError: what is missing on this machine, or what went wrong.
    """
    _check_machine()
    if json_file is not None and not os.access(json_file.absolute().parent, os.W_OK):
        raise UserError(f"--json {json_file}: cannot write there")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    directory = Path(tempfile.mkdtemp(prefix="chamaleonet-demo-"))
    console = Console()
    try:
        result = _run(console, directory, seconds, pipeline)
    except KeyboardInterrupt:
        console.print("interrupted: everything is removed")
        return 130
    excerpt = result.pop("metrics")
    if json_file is not None:
        json_file.write_text(json.dumps(result) + "\n")
    _print(console, result, excerpt)
    return 0 if result["verdicts"] == result["expected"] else 1


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _check_machine() -> None:
    if os.geteuid() != 0:
        command = " ".join(["sudo", sys.executable, "-m", "chamaleonet", *sys.argv[1:]])
        raise UserError(f"demo: network namespaces and Open vSwitch need root; run: {command}")
    if absent := [tool for tool in _TOOLS if shutil.which(tool) is None]:
        raise UserError(f"demo: not installed: {', '.join(absent)} (make demo installs them)")
    if not switch_runs():
        raise UserError("demo: Open vSwitch does not run: service openvswitch-switch start")


def _run(console: Console, directory: Path, seconds: int, pipeline: str) -> dict[str, Any]:
    programs = Programs(directory, pipeline)
    try:
        console.print(f"building the campus: switch {SWITCH}, pipeline {pipeline}")
        with ExitStack() as stack:
            pages = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            traffic = Traffic(stack.enter_context(Campus(programs.openflow_port)), pages)
            stack.callback(programs.stop)
            stack.callback(traffic.stop)
            programs.start()
            traffic.start_servers()
            time.sleep(1)
            _make_traffic(console, traffic, programs, seconds)
            metrics, logged = programs.controller(), programs.logger()
            excerpt = programs.excerpt()
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


def _make_traffic(console: Console, traffic: Traffic, programs: Programs, seconds: int) -> None:
    """Start rounds until the last can still end, and show what the controller finds."""
    begun = time.monotonic()
    end = begun + max(seconds, LONGEST + TIMEOUT + _SETTLE_SECONDS)
    last_start = end - LONGEST - TIMEOUT - _SETTLE_SECONDS
    rounds = 0
    said: dict[str, int] = {}
    with Live(console=console, auto_refresh=False) as live:
        while (now := time.monotonic()) < end:
            if now >= begun + rounds * _ROUND_SECONDS and (rounds == 0 or now <= last_start):
                traffic.start_round(rounds)
                rounds += 1
            metrics = programs.controller()
            if console.is_terminal:
                live.update(_table(metrics, end - now), refresh=True)
            elif (entered := _entered(metrics)) != said:
                said = entered
                counts = ", ".join(f"{verdict} {count}" for verdict, count in said.items())
                console.print(f"{end - now:3.0f} s left: {counts}")
            time.sleep(0.5)


def _entered(metrics: Metrics) -> dict[str, int]:
    return {verdict: total(metrics, "flows_total", verdict=verdict) for verdict in _VERDICTS}


def _table(metrics: Metrics, left: float) -> Table:
    table = Table(title=f"flows that entered a verdict ({left:.0f} s left)", title_justify="left")
    table.add_column("verdict")
    for name in (*_PROTOCOLS, "all"):
        table.add_column(name, justify="right")
    for verdict in _VERDICTS:
        flows = [
            total(metrics, "flows_total", verdict=verdict, protocol=protocol)
            for protocol in _PROTOCOLS
        ]
        table.add_row(verdict, *map(str, (*flows, sum(flows))))
    table.add_section()
    table.add_row("pending", *[""] * len(_PROTOCOLS), str(total(metrics, "pending_flows")))
    rules = total(metrics, "redirect_rules")
    table.add_row("redirect rules", *[""] * len(_PROTOCOLS), str(rules))
    return table


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
    command = ["ovs-ofctl", "-O", "OpenFlow13", "dump-ports", SWITCH]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return sum(int(count) for count in re.findall(r"rx pkts=(\d+)", done.stdout))


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
