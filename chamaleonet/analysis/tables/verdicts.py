"""Table 1: what became of the flows."""

from __future__ import annotations

from collections import Counter
from itertools import product
from typing import TYPE_CHECKING, Any

from chamaleonet.analysis.shares import share
from chamaleonet.analysis.table import Options, Table
from chamaleonet.flows.records import Direction
from chamaleonet.flows.transitions import ERRONEOUS, VERDICTS

if TYPE_CHECKING:
    from chamaleonet.analysis.source import Logs

ALL = "all"
_ERRONEOUS = [state.label for state in ERRONEOUS]
_VERDICTS = [state.label for state in VERDICTS]
_DIRECTIONS = [direction.label for direction in Direction]
_NOTE = (
    "Shares are of the row's direction and protocol. The rows “erroneous” add up unanswered and"
    " icmp_error, and “all” adds up directions or protocols. Where healthy flows were not counted"
    " there is no share, and no row of theirs."
)


def table(logs: Logs, options: Options) -> Table:  # noqa: ARG001
    """Return flows and packets by direction, protocol and verdict."""
    keys = ["direction", "protocol", "verdict"]
    grouped = logs.counts.group_by(keys).aggregate(
        flows=logs.counts.flows.sum(), packets=logs.counts.packets.sum()
    )
    rows = logs.rows(grouped.order_by(keys))  # at most 4 directions x 256 protocols x 8 verdicts
    return Table(
        name="verdicts",
        title="Verdicts",
        unit="flow, packet",
        vantage="all flows that the monitor saw, by where client and server are",
        note=_NOTE,
        value=_with_totals(rows, known=logs.has_healthy),
        columns={
            "direction": ("direction", ""),
            "protocol": ("protocol", ""),
            "verdict": ("verdict", ""),
            "flows": ("flows", "flows"),
            "share": ("share of flows", "share"),
            "packets": ("packets", "packets"),
            "packet_share": ("share of packets", "share"),
        },
    )


def _with_totals(rows: list[dict[str, Any]], *, known: bool) -> list[dict[str, Any]]:
    """Return rows with their shares, and the rows that add them up."""
    flows: Counter[tuple[str, str, str]] = Counter()
    packets: Counter[tuple[str, str, str]] = Counter()
    for row in rows:
        verdicts = [row["verdict"], ALL]
        if row["verdict"] in _ERRONEOUS:
            verdicts.append("erroneous")
        for key in product((row["direction"], ALL), (row["protocol"], ALL), verdicts):
            flows[key] += row["flows"]
            packets[key] += row["packets"]
    protocols = sorted({protocol for _, protocol, _ in flows} - {ALL})
    return [
        {
            "direction": direction,
            "protocol": protocol,
            "verdict": verdict,
            "flows": flows[key],
            "share": share(flows[key], flows[direction, protocol, ALL]) if known else None,
            "packets": packets[key],
            "packet_share": share(packets[key], packets[direction, protocol, ALL])
            if known
            else None,
        }
        for direction, protocol, verdict in product(
            (*_DIRECTIONS, ALL), (*protocols, ALL), (*_VERDICTS, "erroneous", ALL)
        )
        if (key := (direction, protocol, verdict)) in flows
    ]
