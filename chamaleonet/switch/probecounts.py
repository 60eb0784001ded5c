"""A probe's metrics, their label children cached."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chamaleonet.config import datapath_text
from chamaleonet.metrics import Total
from chamaleonet.switch.flowcounts import FlowCounts
from chamaleonet.switch.rulebook import Reconciled

if TYPE_CHECKING:
    from chamaleonet.config import Switch
    from chamaleonet.metrics import ControllerMetrics
    from chamaleonet.switch.capacity import Capacity
    from chamaleonet.switch.pipeline import Change


class ProbeCounts:
    """What is counted of one switch."""

    def __init__(self, metrics: ControllerMetrics, switch: Switch) -> None:
        dp_id = datapath_text(switch.dp_id)
        changes = metrics.redirect_rule_changes
        self.packet_ins = metrics.packet_ins.labels(dp_id)
        self.candidates_packet_in = metrics.candidate_packets.labels("packet_in")
        self.candidates_ring = metrics.candidate_packets.labels("ring")
        self.redirects = metrics.redirect_rules.labels(dp_id)
        self.failed = changes.labels(dp_id, "failed")
        self.expired = changes.labels(dp_id, "expired")
        self._added = changes.labels(dp_id, "added")
        self._deleted = changes.labels(dp_id, "deleted")
        self._reconciled = [
            metrics.reconciled_rules.labels(dp_id, outcome) for outcome in Reconciled._fields
        ]
        self.budget = metrics.redirect_budget.labels(dp_id)
        self.aggregates = metrics.redirect_aggregates.labels(dp_id)
        self.uncovered = metrics.redirect_uncovered.labels(dp_id)
        self.aggregated = Total(metrics.redirect_aggregations.labels(dp_id, "aggregated").inc)
        self.dissolved = Total(metrics.redirect_aggregations.labels(dp_id, "dissolved").inc)
        self._tables = {
            table: (metrics.table_rules.labels(dp_id, name), metrics.table_most.labels(dp_id, name))
            for name, table in (
                ("redirect", switch.tables.redirect), ("filter", switch.tables.filter),
            )
        }  # fmt: skip
        self.refused = Total(metrics.dropped.labels("redirect_rules_full").inc)
        self.untracked = Total(metrics.dropped.labels("flow_table_full").inc)
        self.shed = Total(metrics.dropped.labels("shed").inc)
        self.packet_ins_lost = Total(metrics.dropped.labels("packet_in_lost").inc)
        self.metered = Total(metrics.dropped.labels("metered").inc)
        self.evicted = Total(metrics.dropped.labels("flow_evicted").inc)
        self.shedding = metrics.shedding.labels(dp_id)
        self.malformed = Total(metrics.dropped.labels("malformed_packet_in").inc)
        self._verdict_delay = metrics.verdict_delay
        self.flows = FlowCounts(metrics).add

    def reconciled(self, outcome: Reconciled) -> None:
        """Count what came of a connection."""
        for counter, rules in zip(self._reconciled, outcome, strict=True):
            counter.inc(rules)

    def confirmed(self, change: Change, now: int) -> None:
        """Count a redirect rule that the switch has added or deleted."""
        (self._added if change.add else self._deleted).inc()
        if change.due:
            self._verdict_delay.observe(max(0, now - change.due) / 1e9)

    def tables(self, capacity: Capacity) -> None:
        """Tell what the switch said of its tables."""
        for table, (active, most) in self._tables.items():
            active.set(capacity.active.get(table, 0))
            most.set(capacity.most.get(table, 0))
