"""The packet logger's metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chamaleonet.flows.transitions import HEALTHY, State
from chamaleonet.metrics.causes import causes_of
from chamaleonet.metrics.registry import Declared

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry


class LoggerMetrics(Declared):
    """What the packet logger tells."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        self.packets = self._counter(
            "logger_packets_total",
            "Packets written, by the verdict of their flow; orphan: an ICMP error that is tied to"
            " no flow; none: one about a flow that is not known to be erroneous.",
            "verdict",
        )
        self.flows = self._counter("logger_flows_total", "Ended flows written.", "verdict")
        failed = [state.label for state in State if state not in (State.NONE, *HEALTHY)]
        for verdict in failed:
            self.flows.labels(verdict)
        for verdict in (*failed, "orphan", "none"):
            self.packets.labels(verdict)
        self.port_packets = self._counter(
            "logger_port_packets_total", "Packets that came in by the logger port."
        )
        self.known_flows = self._gauge("logger_known_flows", "Flows known to be erroneous.")
        self.held_packets = self._gauge(
            "logger_held_packets", "Packets that wait for their verdict."
        )
        self.stream_connected = self._gauge(
            "logger_stream_connected", "1 while the controller's stream is connected, else 0."
        )
        self.written = self._counter(
            "logger_written_bytes_total", "Bytes written to files not yet complete.", "kind"
        )
        self.disk_full = self._gauge(
            "logger_disk_full",
            "1 while the disk takes nothing, being full or failing: packets are lost, verdicts wait"
            " at the controller's; else 0.",
        )
        self.uncommitted = self._gauge(
            "logger_uncommitted_bytes", "Bytes decided on, not yet in a file."
        )
        self.unfinished = self._gauge(
            "logger_unfinished_files", "Files that are being compressed or made Parquet."
        )
        self.files = self._gauge("logger_files_bytes", "Size of all files in the directory.")
        self.disk_available = self._gauge(
            "logger_disk_available_bytes", "Room that the directory's file system has for us."
        )
        self.disk_size = self._gauge(
            "logger_disk_size_bytes", "Size of the file system that the directory lies on."
        )
        self.files_removed = self._counter(
            "logger_files_removed_total", "Complete files removed by `retention`.", "cause"
        )
        for cause in ("age", "size"):
            self.files_removed.labels(cause)
        self.dropped = self._counter(
            "dropped_total", "What was not written, by cause; docs/metrics.md tells them.", "cause"
        )
        for cause in causes_of("logger"):
            self.dropped.labels(cause)
