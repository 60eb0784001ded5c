"""What the rules look at: the flows that no rule before them has explained.

A rule is asked after those that know better: a scan is no hundred stale servers. What a rule has
explained is taken away, so that no flow is explained twice and shares add up.
"""

from __future__ import annotations

from functools import cached_property, reduce
from typing import TYPE_CHECKING, Any

import ibis
import pyarrow as pa

from chamaleonet.analysis.source import FAILED
from chamaleonet.analysis.times import MINUTE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import ibis.expr.types as ir

    from chamaleonet.analysis.findings.dead import Pair
    from chamaleonet.analysis.findings.finding import Evidence
    from chamaleonet.analysis.source import Logs
    from chamaleonet.analysis.table import Options

PAIR = ("client", "server", "service")
BEGUN_INSIDE = ("outbound", "internal")
REPLIED = ("answered", "recovered")


class Case:
    """A log, and how much of it is explained.

    Args:
        logs: the log.
        options: what the operator chose.
        tables: values of the report's tables, by name.

    Attributes:
        begin, end: of the log, ns since 1970.
        erroneous: erroneous flows of the whole log.
        flows: ``logs.tried`` that internal clients began.
        from_outside: unexplained flows that began outside, of ``logs.flows``.
        pairs: the unexplained failures of ``flows`` by PAIR, a row each, with
            ``flows``, ``erroneous``, ``refused`` and ``icmp``, failed flows since the last reply,
            and of these ``requests``, the clients' packets; ``first`` and ``began``, when the
            first and the last of them began; ``last``, their last packet; ``active``, how long
            they lasted together (ns); ``sender``, who sent ICMP errors;
            ``outbound``, how many of them left the network; and
            ``replied``, when the last flow that got a reply began, null if none is logged.
        replies: ``replied`` by PAIR, of all that ever got a logged reply.
        well: counters of answered flows that internal clients began: ``client``, ``service``,
            ``minute``, ``flows``.
        answered: how many they are by ``client`` and ``service``.
    """

    def __init__(self, logs: Logs, options: Options, tables: Mapping[str, Any]) -> None:
        self.logs, self.options, self.tables = logs, options, tables
        self.begin, self.end = _span(logs)
        self.erroneous = _erroneous(logs, logs.flows)
        tried = logs.tried
        self.flows = tried.filter(tried.direction.isin(BEGUN_INSIDE))
        self.from_outside = logs.flows.filter(logs.flows.direction == "inbound")
        replied = self.flows.filter(self.flows.verdict.isin(REPLIED))
        self.replies = logs.keep(replied.group_by(PAIR).aggregate(replied=replied["first"].max()))
        self.pairs = logs.keep(_pairs(self.flows, self.replies))
        well = logs.healthy
        well = well.filter(well.verdict == "answered", well.direction.isin(BEGUN_INSIDE))
        self.well = well.select("service", "minute", "flows", client=well.host)
        self.answered = logs.keep(
            self.well.group_by("client", "service").aggregate(answered=self.well.flows.sum())
        )
        self._explained: _Keys = []

    def unexplained(self) -> ir.Table:
        """Return the flows that internal clients began and that nothing has explained."""
        return _without(self.flows, self._explained)

    @cached_property
    def dead(self) -> list[Pair]:
        """Pairs without a reply, as they are when a rule first asks for them.

        The rules that do look at services of their own.
        """
        from chamaleonet.analysis.findings.dead import dead_pairs

        return dead_pairs(self)

    def radiation(self) -> int:
        """Return how many erroneous flows from outside nothing has explained."""
        return _erroneous(self.logs, self.from_outside)

    def explain(self, evidence: Iterable[Evidence]) -> None:
        """Take away the flows of evidence, but late replies, for which one rule alone asks."""
        rows = [row for row in evidence if not row.late]
        timed = [row for row in rows if row.timed]
        if timed:
            # Pairs tell no times: they are made again of the flows that are left.
            self.flows = _without_times(self.flows, timed)
            self.pairs = self.logs.keep(_without(_pairs(self.flows, self.replies), self._explained))
        untimed = [row for row in rows if not row.timed]
        inside = _keys(row for row in untimed if row.host != row.server)
        self._explained += inside
        self.pairs = _without(self.pairs, inside)
        outside = _keys(row for row in untimed if row.host == row.server)
        self.from_outside = _without(self.from_outside, outside)


def _span(logs: Logs) -> tuple[int, int]:
    """Return what time a log surely covers, ns: where all is well it has no flows but counters."""
    begin, end = logs.span or (0, 0)
    minutes = logs.row(
        logs.healthy.aggregate(first=logs.healthy.minute.min(), last=logs.healthy.minute.max())
    )
    if minutes["first"] is None:
        return begin, end
    return min(begin, minutes["first"] + MINUTE), max(end, minutes["last"])


def _erroneous(logs: Logs, flows: ir.Table) -> int:
    return int(logs.row(flows.aggregate(flows=flows.erroneous.sum().fill_null(0)))["flows"])


_Keys = list[tuple[tuple[str, ...], "ir.Table"]]


def _keys(evidence: Iterable[Evidence]) -> _Keys:
    """Return tables of what flows of evidence have in common, each with its columns."""
    keys: dict[tuple[str, ...], set[tuple[str, ...]]] = {}
    for row in evidence:
        columns = tuple(name for name in PAIR if getattr(row, name) is not None)
        keys.setdefault(columns, set()).add(tuple(getattr(row, name) for name in columns))
    return [
        (
            columns,
            rows_of(
                [dict(zip(columns, values, strict=True)) for values in sorted(these)],
                dict.fromkeys(columns, pa.string()),
            ),
        )
        for columns, these in keys.items()
    ]


def rows_of(records: list[dict[str, Any]], schema: Mapping[str, pa.DataType]) -> ir.Table:
    """Return a few rows of this process as a table for queries."""
    return ibis.memtable(pa.Table.from_pylist(records, pa.schema(list(schema.items()))))


def _without(flows: ir.Table, keys: _Keys) -> ir.Table:
    return reduce(lambda left, these: left.anti_join(these[1], these[0]), keys, flows)


def _without_times(flows: ir.Table, evidence: list[Evidence]) -> ir.Table:
    """Return flows without those of services in certain spans of time."""
    spans = rows_of(
        [
            {"server": row.server, "service": row.service, "since": row.first, "until": row.last}
            for row in evidence
        ],
        {"server": pa.string(), "service": pa.string(), "since": pa.int64(), "until": pa.int64()},
    )
    return flows.anti_join(
        spans,
        [
            "server",
            "service",
            flows["first"] >= spans.since,
            flows["first"] <= spans.until,
        ],
    )


def _pairs(flows: ir.Table, replies: ir.Table) -> ir.Table:
    """Return the failures of flows by PAIR."""
    failed = flows.filter(flows.verdict.isin(FAILED)).left_join(replies, PAIR)
    failed = failed.filter(failed.replied.isnull() | (failed["first"] > failed.replied))
    return failed.group_by(PAIR).aggregate(
        flows=failed.count(),
        erroneous=failed.erroneous.sum(),
        refused=(failed.verdict == "refused").sum(),
        icmp=(failed.verdict == "icmp_error").sum(),
        requests=failed.attempts.sum(),
        first=failed["first"].min(),
        began=failed["first"].max(),
        last=failed["last"].max(),
        active=(failed["last"] - failed["first"]).sum(),
        sender=failed.icmp_sender.min(),
        outbound=(failed.direction == "outbound").sum(),
        replied=failed.replied.max(),
    )
