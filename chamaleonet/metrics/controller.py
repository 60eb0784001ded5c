"""The controller's metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import Histogram

from chamaleonet.metrics.causes import OPENFLOW_ERRORS, causes_of
from chamaleonet.metrics.registry import PREFIX, Declared

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

# From a flow-mod on an idle switch to a switch that takes a second.
_DELAYS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class ControllerMetrics(Declared):
    """What the controller tells."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        self.flows = self._counter(
            "flows_total",
            "Flows that entered a verdict; one that recovers is counted under both verdicts.",
            "verdict", "direction", "protocol",
        )  # fmt: skip
        self.unsound = self._counter(
            "flows_unsound_total",
            "Flows that entered a verdict which is not sound: degraded, for packets were shed, or"
            " suspect, for replies were out of sight.",
            "quality",
        )
        self.top_host = self._gauge(
            "erroneous_top_host_ratio",
            "Part of the erroneous flows of the last minutes (half-life 5 min) that the internal"
            " host with most of them has, 0 to 1; at most 1/256 too low.",
            "direction",
        )
        self.suspect = self._gauge(
            "suspect_prefixes",
            "Above 0 while verdicts are suspect: for how many internal prefixes, and one more where"
            " it is so for all of them together.",
            "direction", "reason",
        )  # fmt: skip
        self.pending_flows = self._gauge("pending_flows", "Flows that wait for their first reply.")
        self.tracked_flows = self._gauge("tracked_flows", "Flows in the flow table.")
        self.candidate_packets = self._counter(
            "candidate_packets_total",
            "Packets that left the switch to be judged, by their way: ring or packet_in.",
            "source",
        )
        self.packet_ins = self._counter(
            "packet_ins_total", "Packet-ins from our rules, by datapath.", "dp_id"
        )
        self.redirect_rules = self._gauge(
            "redirect_rules", "Redirect rules that the switch has confirmed.", "dp_id"
        )
        self.redirect_rule_changes = self._counter(
            "redirect_rule_changes_total",
            "Redirect rules added, deleted, failed (refused by the switch) and expired (idle).",
            "dp_id", "change",
        )  # fmt: skip
        self.reconciled_rules = self._counter(
            "reconciled_rules_total",
            "Rules of ours that a switch had when it connected, or lacked: kept, added or deleted.",
            "dp_id", "outcome",
        )  # fmt: skip
        self.redirect_budget = self._gauge(
            "redirect_budget_rules",
            "Redirect rules that there may be; fewer than configured while the table is full.",
            "dp_id",
        )
        self.redirect_aggregates = self._gauge(
            "redirect_aggregate_rules", "Redirect rules that stand for many flows each.", "dp_id"
        )
        self.redirect_aggregations = self._counter(
            "redirect_aggregations_total",
            "Aggregate redirect rules put in force (aggregated) and given up (dissolved).",
            "dp_id", "change",
        )  # fmt: skip
        self.redirect_uncovered = self._gauge(
            "redirect_uncovered_flows",
            "Erroneous flows whose redirect rule found no room or was refused by the switch.",
            "dp_id",
        )
        self.table_rules = self._gauge(
            "switch_table_rules",
            "Rules in a table of the switch, anybody's, by its role: redirect or filter.",
            "dp_id", "table",
        )  # fmt: skip
        self.table_most = self._gauge(
            "switch_table_max_rules",
            "Rules that the table can hold by the switch's word; 0: it has not said.",
            "dp_id", "table",
        )  # fmt: skip
        self.switch_connected = self._gauge(
            "switch_connected", "1 while a configured switch is connected, else 0.", "dp_id"
        )
        self.openflow_connections = self._counter(
            "openflow_connections_total", "OpenFlow connections, whoever opened them."
        )
        self.openflow_errors = self._counter(
            "openflow_errors_total",
            "OpenFlow connections closed for what their other end did; docs/metrics.md tells the"
            " causes.",
            "cause",
        )
        for cause in OPENFLOW_ERRORS:
            self.openflow_errors.labels(cause)
        self.detectors = self._gauge(
            "detectors", "Detectors that work, of a switch that has some.", "dp_id"
        )
        self.detector_restarts = self._counter(
            "detector_restarts_total", "Detectors that died and were started again.", "dp_id"
        )
        self.detector_queue = self._gauge(
            "detector_queue_bytes",
            "What detectors have to tell and the controller has not taken yet.",
            "dp_id",
        )
        self.detector_cpu = self._counter(
            "detector_cpu_seconds_total", "Processor time that detectors used.", "dp_id"
        )
        self.reloads = self._counter(
            "reloads_total",
            "Times that the configuration was read again, by outcome: applied, unchanged, refused.",
            "outcome",
        )
        self.shedding = self._gauge(
            "shedding",
            "1 while flows are lost to a flood, and verdicts are degraded for it, else 0.",
            "dp_id",
        )
        self.tracked_connections = self._gauge(
            "tracked_connections", "Connections in the switch's tracking zone.", "dp_id"
        )
        self.verdict_delay = Histogram(
            f"{PREFIX}_verdict_delay_seconds",
            "Time from when a verdict was due until the switch confirmed its redirect rule.",
            buckets=_DELAYS,
            registry=registry,
        )
        self.master = self._gauge(
            "controller_master", "1 while this controller is the master, or is alone; else 0."
        )
        self.takeovers = self._counter(
            "takeovers_total", "How often a standby became the master here."
        )
        self.restored_flows = self._counter(
            "restored_flows_total", "Live flows that an earlier controller left."
        )
        self.checkpoint_bytes = self._gauge(
            "checkpoint_bytes", "Size of the saved flows on disk; 0 while they cannot be written."
        )
        self.checkpoint_time = self._gauge(
            "checkpoint_timestamp_seconds", "When all flows were saved last, since 1970."
        )
        self.logger_queue = self._gauge(
            "logger_queue_records",
            "Records in memory that the packet logger has not acknowledged.",
        )
        self.logger_spool = self._gauge(
            "logger_spool_records", "Records in the spool, which wait for room in the queue."
        )
        self.logger_spool_bytes = self._gauge("logger_spool_bytes", "Size of the spool on disk.")
        self.dropped = self._counter(
            "dropped_total", "What was lost, by cause; docs/metrics.md tells them.", "cause"
        )
        for cause in causes_of("controller"):  # from 0, so that the first one is an increase
            self.dropped.labels(cause)
        self.handler_failures = self._counter(
            "handler_failures_total", "Exceptions in event handlers; each ends the process."
        )
