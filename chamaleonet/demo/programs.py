"""The controller and the logger as processes, and what their metrics say."""

from __future__ import annotations

import random
import socket
import subprocess
import sys
import time
import urllib.request
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

from chamaleonet.demo.campus import (
    CANDIDATE_INTERFACE,
    CANDIDATE_PORT,
    DP_ID,
    LOGGER_INTERFACE,
    LOGGER_PORT,
    SWITCH,
)
from chamaleonet.demo.traffic import TIMEOUT
from chamaleonet.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

_START_SECONDS = 180  # the first start on a machine compiles
_STOP_SECONDS = 15


def free_ports(number: int) -> list[int]:
    """Return TCP ports of 127.0.0.1 that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class Programs:
    """Controller and logger, configured for the demonstration's switch.

    Args:
        directory: for the configuration, the stream's socket and what the logger writes.
        pipeline: ``conntrack`` or ``reactive``.

    Attributes:
        openflow_port: where the controller awaits the switch.
        metrics_ports: where the controller and the logger are scraped.
        logs: what the logger writes.
    """

    def __init__(self, directory: Path, pipeline: str) -> None:
        self.openflow_port, *self.metrics_ports = free_ports(3)
        self.logs = directory / "log"
        self._directory = directory
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        # The tracker outlives the bridge: a zone of its own keeps an earlier run's connections out.
        candidates = f"{{port: {CANDIDATE_PORT}, interface: {CANDIDATE_INTERFACE}}}"
        self._config = directory / "chamaleonet.yaml"
        self._config.write_text(
            f"""\
timeout: {TIMEOUT}s
openflow: {{listen: 127.0.0.1:{self.openflow_port}}}
switches:
  - name: {SWITCH}
    dp_id: {DP_ID:016x}
    pipeline: {pipeline}
    truncate: true
    candidates: {candidates if pipeline == "conntrack" else "{}"}
    logger_port: {LOGGER_PORT}
    conntrack: {{zone: {random.randrange(1, 1 << 16)}}}
logger: {{interface: {LOGGER_INTERFACE}, directory: {self.logs}, anonymise: {{addresses: none}}}}
stream: {{address: "unix:{directory}/verdicts.sock", spool: {{directory: {directory}/spool}}}}
checkpoint: null
metrics:
  controller: 127.0.0.1:{self.metrics_ports[0]}
  logger: 127.0.0.1:{self.metrics_ports[1]}
"""
        )

    def start(self) -> None:
        """Start both and wait until the switch is connected.

        Raises:
            UserError: one of them ended, or the switch did not connect in time.
        """
        self.logs.mkdir()
        for name in ("log", "run"):
            log = (self._directory / f"{name}.txt").open("wb")
            command = [sys.executable, "-m", "chamaleonet", name, "--config", str(self._config)]
            self._running[name] = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + _START_SECONDS
        while not (self._connected() and self._answers(1)):
            self._check_alive()
            if time.monotonic() > deadline:
                raise UserError(f"the switch did not connect in {_START_SECONDS} s")
            time.sleep(0.1)

    def _connected(self) -> bool:
        return self._answers(0) and total(self.controller(), "switch_connected") == 1

    def _answers(self, which: int) -> bool:
        try:
            self._scrape(which)
        except OSError:
            return False
        return True

    def _check_alive(self) -> None:
        for name, process in self._running.items():
            if process.poll() is not None:
                said = (self._directory / f"{name}.txt").read_text(errors="replace").strip()
                last = said.splitlines()[-1] if said else f"status {process.returncode}"
                raise UserError(f"chamaleonet {name} ended: {last}")

    def controller(self) -> Metrics:
        """Return the controller's metrics."""
        return _parsed(self._scrape(0))

    def logger(self) -> Metrics:
        """Return the logger's metrics."""
        return _parsed(self._scrape(1))

    def excerpt(self) -> list[str]:
        """Return those lines of the controller's metrics that have counted or measured."""
        return [
            line
            for line in self._scrape(0).splitlines()
            if line.startswith("chamaleonet_")
            and "_bucket" not in line
            and "_info" not in line
            and not line.endswith(" 0.0")
        ]

    def _scrape(self, which: int) -> str:
        url = f"http://127.0.0.1:{self.metrics_ports[which]}/metrics"
        with urllib.request.urlopen(url, timeout=5) as response:
            text: str = response.read().decode()
        return text

    def stop(self) -> None:
        """End the controller, which tells of its last flows, and then the logger."""
        for name in ("run", "log"):
            process = self._running.pop(name, None)
            if process is None:
                continue
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


Metrics = dict[str, list[tuple[dict[str, str], float]]]


def _parsed(text: str) -> Metrics:
    metrics: Metrics = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            name = sample.name.removeprefix("chamaleonet_")
            metrics.setdefault(name, []).append((sample.labels, sample.value))
    return metrics


def total(metrics: Metrics, name: str, **labels: str) -> int:
    """Return the sum of a metric's samples that have these labels."""
    return int(sum(value for own, value in metrics.get(name, []) if labels.items() <= own.items()))


def quantile(metrics: Metrics, name: str, share: float) -> float | None:
    """Return a quantile of a histogram, as PromQL's histogram_quantile does; None if it is empty.

    Between two buckets' bounds it is interpolated, so it is as exact as the buckets are narrow.
    """
    buckets = sorted((float(own["le"]), value) for own, value in metrics.get(f"{name}_bucket", []))
    wanted = share * buckets[-1][1] if buckets else 0.0
    if not wanted:
        return None
    below, count_below = 0.0, 0.0
    for bound, count in buckets:
        if count >= wanted:
            if bound == float("inf"):
                return below
            return below + (bound - below) * (wanted - count_below) / (count - count_below)
        below, count_below = bound, count
    return None
