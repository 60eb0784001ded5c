"""Who watches a run from beside: captures at the taps, and the coming and going of rules."""

from __future__ import annotations

import os
import subprocess
import time
from typing import TYPE_CHECKING

from chamaleonet.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from chamaleonet.lab.network import Network
    from chamaleonet.lab.topology import Topology

PROGRAMS = ("tcpdump", "ovs-ofctl")
_SNAPLEN = 256  # headers, and what ICMP errors quote
_START_SECONDS = 10


class Observers:
    """Captures and rule monitors, one for each tap and probe.

    Args:
        topology: says where.
        network: the same, running.
        directory: for ``trace-NODE-INTERFACE.pcap`` and ``rules-SWITCH.txt``.
        pause: sleeps for so many seconds.
    """

    def __init__(
        self, topology: Topology, network: Network, directory: Path,
        pause: Callable[[float], None],
    ) -> None:  # fmt: skip
        self._topology, self._network, self._directory = topology, network, directory
        self._pause = pause
        self._running: dict[Path, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Start all, and wait until they see what happens.

        Raises:
            UserError: one of them ended, or did not begin in time.
        """
        for node, interface in self._topology.taps:
            trace = self._directory / f"trace-{node}-{interface}.pcap"
            command = [
                "tcpdump", "-n", "-p", "-U", "-s", str(_SNAPLEN), "-B", "16384", "-Z", "root",
                "-i", interface, "-w", str(trace),
            ]  # fmt: skip
            said = self._directory / "said" / f"{trace.stem}.txt"
            with said.open("wb") as file:
                process = self._network.start(node, command, stdout=file, stderr=file)
            self._await(said, process, lambda text: "listening on" in text)
        for probe in self._topology.probes:
            # It says with times when rules come and go; times are local, so be that UTC.
            command = ["ovs-ofctl", "-O", "OpenFlow13", "--timestamp", "monitor", probe.name]
            rules = self._directory / f"rules-{probe.name}.txt"
            with rules.open("wb") as file:
                process = subprocess.Popen(
                    [*command, "watch:"], stdin=subprocess.DEVNULL, stdout=file, stderr=file,
                    env=os.environ | {"TZ": "UTC"}, process_group=0,
                )  # fmt: skip
            self._await(rules, process, lambda text: "FLOW_MONITOR reply" in text)

    def _await(
        self, said: Path, process: subprocess.Popen[bytes], begun: Callable[[str], bool]
    ) -> None:
        self._running[said] = process
        deadline = time.monotonic() + _START_SECONDS
        while not begun(said.read_text(errors="replace")):
            self.check()
            if time.monotonic() > deadline:
                raise UserError(f"{said.stem}: did not begin in {_START_SECONDS} s: {said}")
            self._pause(0.02)

    def check(self) -> None:
        """Make sure that all go on.

        Raises:
            UserError: one of them ended; with what it said last.
        """
        for said, process in self._running.items():
            if process.poll() is not None:
                last = said.read_text(errors="replace").strip().splitlines()[-1:]
                raise UserError(f"{said.stem}: ended: {''.join(last) or process.returncode}")

    def stop(self) -> None:
        """End all; what they have seen is written."""
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            process.wait()
        self._running.clear()
