"""The controller and the logger as processes."""

from __future__ import annotations

import random
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from chamaleonet import config as configuration
from chamaleonet.errors import UserError
from chamaleonet.lab.probe import logger_interface
from chamaleonet.lab.scrape import Metrics, parsed, scrape, total

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from chamaleonet.config import Config
    from chamaleonet.lab.probe import Probe

_START_SECONDS = 180  # the first start on a machine compiles
_STOP_SECONDS = 15


def free_ports(number: int) -> list[int]:
    """Return TCP ports of 127.0.0.1 that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def keys(probes: Sequence[Probe], pipeline: str, directory: Path, private: Path) -> dict[str, Any]:
    """Return the configuration for switches of this machine, as keys and values.

    Args:
        probes: the switches.
        pipeline: ``conntrack`` or ``reactive``.
        directory: the logger writes to ``log`` in it.
        private: where the stream's socket and spool are; a path that is short enough for sockets.
    """
    openflow, controller, logger = free_ports(3)
    # The tracker outlives the bridge: zones of their own keep earlier runs' connections out.
    zones = random.sample(range(1, 1 << 16), len(probes))
    return {
        "openflow": {"listen": f"127.0.0.1:{openflow}"},
        "switches": [
            probe.settings(pipeline) | {"conntrack": {"zone": zone}}
            for probe, zone in zip(probes, zones, strict=True)
        ],
        "logger": {
            "interface": logger_interface(tuple(probes)),
            "directory": directory / "log",
            "anonymise": {"addresses": "none"},
        },
        "stream": {
            "address": f"unix:{private}/verdicts.sock",
            "spool": {"directory": private / "spool"},
        },
        "checkpoint": None,
        "metrics": {"controller": f"127.0.0.1:{controller}", "logger": f"127.0.0.1:{logger}"},
    }


class Programs:
    """Controller and logger of one configuration.

    Args:
        config: what ``keys`` has made.
        directory: for ``chamaleonet.yaml``, and what they say, in ``said``.

    Attributes:
        config: the same.
        logs: what the logger writes.
    """

    def __init__(self, config: Config, directory: Path) -> None:
        self.config = config
        self.logs = config.logger.directory
        self._said = directory / "said"
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._file = directory / "chamaleonet.yaml"
        self._file.write_text(configuration.dump(config))

    @property
    def openflow_port(self) -> int:
        """Where the controller awaits the switches."""
        return self.config.openflow.listen.port

    @property
    def metrics_ports(self) -> tuple[int, int]:
        """Where the controller and the logger are scraped."""
        return self.config.metrics.controller.port, self.config.metrics.logger.port

    def start(self, pause: Callable[[float], None] = time.sleep) -> None:
        """Start both and wait until the switches and the stream are connected.

        Args:
            pause: sleeps for so many seconds.

        Raises:
            UserError: one of them ended, or they did not connect in time.
        """
        for directory in (self.logs, self._said):
            directory.mkdir(exist_ok=True)
        for name in ("log", "run"):
            command = [sys.executable, "-m", "chamaleonet", name, "--config", str(self._file)]
            with (self._said / f"{name}.txt").open("wb") as said:
                # In a group of its own: Ctrl-C is for us, who end one after the other.
                self._running[name] = subprocess.Popen(
                    command, stdout=said, stderr=said, process_group=0
                )
        deadline = time.monotonic() + _START_SECONDS
        while not self._connected():
            self.check()
            if time.monotonic() > deadline:
                raise UserError(f"the switch did not connect in {_START_SECONDS} s")
            pause(0.1)

    def _connected(self) -> bool:
        try:
            switches = total(self.controller(), "switch_connected")
            streams = total(self.logger(), "logger_stream_connected")
        except OSError:
            return False
        return switches == len(self.config.switches) and streams == 1

    def check(self) -> None:
        """Make sure that both go on.

        Raises:
            UserError: one of them ended; with what it said last.
        """
        for name, process in self._running.items():
            if process.poll() is not None:
                said = (self._said / f"{name}.txt").read_text(errors="replace").strip()
                last = said.splitlines()[-1] if said else f"status {process.returncode}"
                raise UserError(f"chamaleonet {name} ended: {last}")

    def controller(self) -> Metrics:
        """Return the controller's metrics."""
        return parsed(scrape(self.metrics_ports[0]))

    def logger(self) -> Metrics:
        """Return the logger's metrics."""
        return parsed(scrape(self.metrics_ports[1]))

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
