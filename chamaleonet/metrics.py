"""All metrics, in one place, and the HTTP server that Prometheus scrapes.

Labels never name a host or a port; units are base units. Label children are cached: looking one
up costs twice the increment itself.
"""

from __future__ import annotations

import hashlib
import platform
from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    start_http_server,
)

from chamaleonet import __version__
from chamaleonet.errors import UserError
from chamaleonet.flows.transitions import HEALTHY, State

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from prometheus_client import Metric

    from chamaleonet.config import Endpoint

_PREFIX = "chamaleonet"

# The causes of chamaleonet_dropped_total.
CAUSES = {
    "ring_full": "either: packets that the ring on its port had no room for",
    "packet_in_early": "controller: packet-ins before it was known from which switch",
    "malformed_packet_in": "controller: packet-ins that cannot be read",
    "flow_table_full": "controller: packets whose new flow found no place (`max_flows`)",
    "detector_died": "controller: flows that waited for their reply in a detector that died",
    "unexpected_packet_in": "controller: packet-ins of a switch whose candidates go to detectors",
    "shed": "controller: packets whose flow was not opened in a flood (`flood.new_flows`)",
    "flow_evicted": "controller: judged flows that lost their place to others (`max_flows`)",
    "metered": "controller: packet-ins that the switch's meters held back (`meters.rate`)",
    "packet_in_lost": "controller: packet-ins that passed a meter, but never came: the switch's"
    " queues were full",
    "redirect_rules_full": "controller: redirect rules that found no room in their budget, all"
    " aggregation done",
    "stream_queue_full": "controller: records beyond `stream.queue`, where there is no spool",
    "stream_spool_full": "controller: records beyond `stream.spool.size`",
    "stream_spool_failed": "controller: records that the spool's disk did not take",
    "stream_spool_damaged": "controller: records in the spool that cannot be read",
    "stream_undelivered": "controller: records not acknowledged when it ended, for which the spool"
    " had no room (the logger may have some)",
    "stream_follower_slow": "controller: records that a follower did not take in time",
    "stream_connection": "either: connections of the stream that broke in their handshake",
    "stream_malformed": "either: connections closed for a message that is not as documented",
    "stream_oversized": "either: connections closed for a frame that is too long",
    "stream_version": "either: connections closed for another version of the stream",
    "stream_truncated": "either: connections that ended inside a frame",
    "stream_busy": "controller: connections refused: too many, or another consumer acknowledges",
    "not_erroneous": "logger: packets of flows that are not (or no longer) erroneous",
    "disk_full": "logger: packets at its port while the disk took nothing",
    "syslog_queue_full": "logger: messages beyond what waits for the syslog daemon",
    "syslog_failed": "logger: messages that the syslog daemon did not take",
    "hold_full": "logger: packets not written, for too many waited for their verdict",
    "flows_full": "logger: verdicts ignored, for too many flows are erroneous at once",
    **{
        kind: f"logger: packets at its port that docs/verdicts.md counts as `{kind}`"
        for kind in ("non_ip", "malformed", "fragments", "excluded", "icmp_info")
    },
}
# The causes of chamaleonet_openflow_errors_total.
OPENFLOW_ERRORS = {
    "version": "another version than OpenFlow 1.3, or one that changed",
    "type": "a message that no switch sends",
    "length": "a length that no message of its type has",
    "order": "a message at a time when it makes no sense, such as before the hello",
    "malformed": "a message that cannot be parsed",
    "multipart": "a reply in parts without end",
    "truncated": "the connection ended within a message",
    "tls": "TLS that failed: no TLS at all, no certificate, one of another authority",
    "certificate": "a certificate without the name that `switches[].certificate` asks for",
    "unread": "the switch does not take what it is sent",
    "silent": "the switch connected anew, and its former connection did not answer",
    "auxiliary": "an auxiliary connection: all is said on the main one",
    "unknown_datapath": "a switch that is not configured (`chamaleonet run` alone)",
    "duplicate_datapath": "a switch that is connected already, and answers there",
    "handshake_timeout": "a handshake that took longer than `openflow.handshake_timeout`",
    "handshake_flood": "the oldest of too many unfinished handshakes",
}


def causes_of(process: str) -> list[str]:
    """Return the causes that a process (``controller`` or ``logger``) can drop by."""
    return [cause for cause, text in CAUSES.items() if text.startswith((process, "either"))]


# From a flow-mod on an idle switch to a switch that takes a second.
_DELAYS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Registry(CollectorRegistry):
    """A registry that tells by which configuration the process runs."""

    def __init__(self) -> None:
        super().__init__()
        self._config = Info(f"{_PREFIX}_config", "The configuration in force.", registry=self)

    def configured(self, configuration: str) -> None:
        """Tell the digest of the effective configuration's text."""
        self._config.info({"sha256": hashlib.sha256(configuration.encode()).hexdigest()[:16]})


def new_registry(configuration: str) -> Registry:
    """Return a registry that tells about the process, the build and the configuration.

    Args:
        configuration: the effective configuration's text; its digest tells whether two processes
            run with the same one.
    """
    disable_created_metrics()  # type: ignore[no-untyped-call]  # the process's start tells enough
    registry = Registry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    build = Info(f"{_PREFIX}_build", "The version that runs.", registry=registry)
    build.info({"version": __version__, "python": platform.python_version()})
    registry.configured(configuration)
    return registry


class BeforeScrape:
    """Calls back before the metrics registered after it are collected."""

    def __init__(self, registry: CollectorRegistry, update: Callable[[], None]) -> None:
        self._update = update
        registry.register(self)

    def describe(self) -> list[Metric]:
        """Tell, as asked when it is registered, that it has no metrics of its own."""
        return []

    def collect(self) -> list[Metric]:
        """Bring the others up to date."""
        self._update()
        return []


class Total:
    """A counter that follows a total which somebody else counts."""

    def __init__(self, increase: Callable[[float], None]) -> None:
        self._increase = increase
        self._last = 0.0

    def follow(self, total: float) -> None:
        """Raise the counter to ``total``."""
        if total > self._last:
            self._increase(total - self._last)
            self._last = total


class Totals:
    """A counter with one label that follows totals which somebody else counts."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._totals: dict[str, Total] = {}

    def follow(self, totals: Mapping[str, int]) -> None:
        """Raise the counter's children to ``totals``."""
        for label, total in totals.items():
            if label not in self._totals:
                self._totals[label] = Total(self._counter.labels(label).inc)
            self._totals[label].follow(total)


class ControllerMetrics:
    """What the controller tells."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"{_PREFIX}_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"{_PREFIX}_{name}", text, labels, registry=registry)

        self.flows = counter(
            "flows_total",
            "Flows that entered a verdict; one that recovers is counted under both verdicts.",
            "verdict", "direction", "protocol",
        )  # fmt: skip
        self.unsound = counter(
            "flows_unsound_total",
            "Flows that entered a verdict which is not sound: degraded, for packets were shed, or"
            " suspect, for replies were out of sight.",
            "quality",
        )
        self.top_host = gauge(
            "erroneous_top_host_ratio",
            "Part of the erroneous flows of the last minutes (half-life 5 min) that the internal"
            " host with most of them has, 0 to 1; at most 1/256 too low.",
            "direction",
        )
        self.suspect = gauge(
            "suspect_prefixes",
            "Above 0 while verdicts are suspect: for how many internal prefixes, and one more where"
            " it is so for all of them together.",
            "direction", "reason",
        )  # fmt: skip
        self.pending_flows = gauge("pending_flows", "Flows that wait for their first reply.")
        self.tracked_flows = gauge("tracked_flows", "Flows in the flow table.")
        self.candidate_packets = counter(
            "candidate_packets_total",
            "Packets that left the switch to be judged, by their way: ring or packet_in.",
            "source",
        )
        self.packet_ins = counter(
            "packet_ins_total", "Packet-ins from our rules, by datapath.", "dp_id"
        )
        self.redirect_rules = gauge(
            "redirect_rules", "Redirect rules that the switch has confirmed.", "dp_id"
        )
        self.redirect_rule_changes = counter(
            "redirect_rule_changes_total",
            "Redirect rules added, deleted, failed (refused by the switch) and expired (idle).",
            "dp_id", "change",
        )  # fmt: skip
        self.reconciled_rules = counter(
            "reconciled_rules_total",
            "Rules of ours that a switch had when it connected, or lacked: kept, added or deleted.",
            "dp_id", "outcome",
        )  # fmt: skip
        self.redirect_budget = gauge(
            "redirect_budget_rules",
            "Redirect rules that there may be; fewer than configured while the table is full.",
            "dp_id",
        )
        self.redirect_aggregates = gauge(
            "redirect_aggregate_rules", "Redirect rules that stand for many flows each.", "dp_id"
        )
        self.redirect_aggregations = counter(
            "redirect_aggregations_total",
            "Aggregate redirect rules put in force (aggregated) and given up (dissolved).",
            "dp_id", "change",
        )  # fmt: skip
        self.redirect_uncovered = gauge(
            "redirect_uncovered_flows",
            "Erroneous flows whose redirect rule found no room or was refused by the switch.",
            "dp_id",
        )
        self.table_rules = gauge(
            "switch_table_rules",
            "Rules in a table of the switch, anybody's, by its role: redirect or filter.",
            "dp_id", "table",
        )  # fmt: skip
        self.table_most = gauge(
            "switch_table_max_rules",
            "Rules that the table can hold by the switch's word; 0: it has not said.",
            "dp_id", "table",
        )  # fmt: skip
        self.switch_connected = gauge(
            "switch_connected", "1 while a configured switch is connected, else 0.", "dp_id"
        )
        self.openflow_connections = counter(
            "openflow_connections_total", "OpenFlow connections, whoever opened them."
        )
        self.openflow_errors = counter(
            "openflow_errors_total",
            "OpenFlow connections closed for what their other end did; docs/metrics.md tells the"
            " causes.",
            "cause",
        )
        for cause in OPENFLOW_ERRORS:
            self.openflow_errors.labels(cause)
        self.detectors = gauge(
            "detectors", "Detectors that work, of a switch that has some.", "dp_id"
        )
        self.detector_restarts = counter(
            "detector_restarts_total", "Detectors that died and were started again.", "dp_id"
        )
        self.detector_queue = gauge(
            "detector_queue_bytes",
            "What detectors have to tell and the controller has not taken yet.",
            "dp_id",
        )
        self.detector_cpu = counter(
            "detector_cpu_seconds_total", "Processor time that detectors used.", "dp_id"
        )
        self.reloads = counter(
            "reloads_total",
            "Times that the configuration was read again, by outcome: applied, unchanged, refused.",
            "outcome",
        )
        self.shedding = gauge(
            "shedding",
            "1 while flows are lost to a flood, and verdicts are degraded for it, else 0.",
            "dp_id",
        )
        self.tracked_connections = gauge(
            "tracked_connections", "Connections in the switch's tracking zone.", "dp_id"
        )
        self.verdict_delay = Histogram(
            f"{_PREFIX}_verdict_delay_seconds",
            "Time from when a verdict was due until the switch confirmed its redirect rule.",
            buckets=_DELAYS,
            registry=registry,
        )
        self.master = gauge(
            "controller_master", "1 while this controller is the master, or is alone; else 0."
        )
        self.takeovers = counter("takeovers_total", "How often a standby became the master here.")
        self.restored_flows = counter(
            "restored_flows_total", "Live flows that an earlier controller left."
        )
        self.checkpoint_bytes = gauge(
            "checkpoint_bytes", "Size of the saved flows on disk; 0 while they cannot be written."
        )
        self.checkpoint_time = gauge(
            "checkpoint_timestamp_seconds", "When all flows were saved last, since 1970."
        )
        self.logger_queue = gauge(
            "logger_queue_records",
            "Records in memory that the packet logger has not acknowledged.",
        )
        self.logger_spool = gauge(
            "logger_spool_records", "Records in the spool, which wait for room in the queue."
        )
        self.logger_spool_bytes = gauge("logger_spool_bytes", "Size of the spool on disk.")
        self.dropped = counter(
            "dropped_total", "What was lost, by cause; docs/metrics.md tells them.", "cause"
        )
        for cause in causes_of("controller"):  # from 0, so that the first one is an increase
            self.dropped.labels(cause)
        self.handler_failures = counter(
            "handler_failures_total", "Exceptions in event handlers; each ends the process."
        )


class LoggerMetrics:
    """What the packet logger tells."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"{_PREFIX}_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str) -> Gauge:
            return Gauge(f"{_PREFIX}_{name}", text, registry=registry)

        self.packets = counter(
            "logger_packets_total",
            "Packets written, by the verdict of their flow; orphan: an ICMP error that is tied to"
            " no flow; none: one about a flow that is not known to be erroneous.",
            "verdict",
        )
        self.flows = counter("logger_flows_total", "Ended flows written.", "verdict")
        failed = [state.label for state in State if state not in (State.NONE, *HEALTHY)]
        for verdict in failed:
            self.flows.labels(verdict)
        for verdict in (*failed, "orphan", "none"):
            self.packets.labels(verdict)
        self.port_packets = counter(
            "logger_port_packets_total", "Packets that came in by the logger port."
        )
        self.known_flows = gauge("logger_known_flows", "Flows known to be erroneous.")
        self.held_packets = gauge("logger_held_packets", "Packets that wait for their verdict.")
        self.stream_connected = gauge(
            "logger_stream_connected", "1 while the controller's stream is connected, else 0."
        )
        self.written = counter(
            "logger_written_bytes_total", "Bytes written to files not yet complete.", "kind"
        )
        self.disk_full = gauge(
            "logger_disk_full",
            "1 while the disk takes nothing, being full or failing: packets are lost, verdicts wait"
            " at the controller's; else 0.",
        )
        self.uncommitted = gauge("logger_uncommitted_bytes", "Bytes decided on, not yet in a file.")
        self.unfinished = gauge(
            "logger_unfinished_files", "Files that are being compressed or made Parquet."
        )
        self.files = gauge("logger_files_bytes", "Size of all files in the directory.")
        self.disk_available = gauge(
            "logger_disk_available_bytes", "Room that the directory's file system has for us."
        )
        self.disk_size = gauge(
            "logger_disk_size_bytes", "Size of the file system that the directory lies on."
        )
        self.files_removed = counter(
            "logger_files_removed_total", "Complete files removed by `retention`.", "cause"
        )
        for cause in ("age", "size"):
            self.files_removed.labels(cause)
        self.dropped = counter(
            "dropped_total", "What was not written, by cause; docs/metrics.md tells them.", "cause"
        )
        for cause in causes_of("logger"):
            self.dropped.labels(cause)


def serve(registry: CollectorRegistry, endpoint: Endpoint) -> Callable[[], None]:
    """Serve a registry over HTTP, in the background; return what stops it.

    Under eventlet's monkey-patching the background thread is a greenlet.

    Raises:
        UserError: the address cannot be listened on.
    """
    try:
        server, thread = start_http_server(endpoint.port, endpoint.host, registry)
    except OSError as error:
        raise UserError(f"metrics: cannot listen on {endpoint}: {error.strerror}") from None

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return stop
