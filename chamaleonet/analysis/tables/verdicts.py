"""Table 1: what became of the flows."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from chamaleonet.analysis.shares import share
from chamaleonet.analysis.table import Options, Table
from chamaleonet.flows.records import Direction
from chamaleonet.flows.transitions import ERRONEOUS, VERDICTS

if TYPE_CHECKING:
    from chamaleonet.analysis.source import Logs

_ERRONEOUS = [state.label for state in ERRONEOUS]
_VERDICTS = [state.label for state in VERDICTS]
_DIRECTIONS = [direction.label for direction in Direction]
_NOTE = (
    "Shares are of all flows, and of all packets, of the row's direction and protocol; those of"
    " erroneous ones add up unanswered and icmp_error. Where healthy flows were not counted"
    " there is no share, and no row of theirs. A switch that sends first packets only leaves the"
    " packets of healthy flows, and so all shares of packets, unknown. Flows whose verdict is"
    " suspect, because replies were out of sight, are left out here and in all tables."
)


def table(logs: Logs, options: Options) -> Table:  # noqa: ARG001
    """Return flows and packets by direction, protocol and verdict."""
    keys = ["direction", "protocol", "verdict"]
    grouped = logs.counts.group_by(keys).aggregate(
        flows=logs.counts.flows.sum(),
        packets=logs.counts.packets.sum(),
        unseen=logs.counts.packets.isnull().any(),
    )
    rows = logs.rows(grouped.order_by(keys))  # at most 4 directions x 256 protocols x 8 verdicts
    return Table(
        name="verdicts",
        title="Verdicts",
        unit="flow, packet",
        vantage="all flows that the monitor saw, by where client and server are",
        note=_NOTE,
        value=_with_shares(rows, known=logs.has_healthy),
        columns={
            "direction": ("direction", ""),
            "protocol": ("protocol", ""),
            "verdict": ("verdict", ""),
            "flows": ("flows", "flows"),
            "share": ("share of flows", "share"),
            "erroneous_share": ("erroneous flows", "share"),
            "packets": ("packets", "packets"),
            "packet_share": ("share of packets", "share"),
            "erroneous_packet_share": ("erroneous packets", "share"),
        },
    )


def _with_shares(rows: list[dict[str, Any]], *, known: bool) -> list[dict[str, Any]]:
    """Return rows with their shares of what has the same direction and protocol."""
    sums: Counter[tuple[str, ...]] = Counter()
    unseen = set()
    for row in rows:
        key = row["direction"], row["protocol"]
        for what in ("flows", "packets"):
            sums[(*key, what)] += row[what] or 0
            if row["verdict"] in _ERRONEOUS:
                sums[(*key, what, "erroneous")] += row[what]
        if row["unseen"]:
            unseen.add(key)
            row["packets"] = None
    rows.sort(
        key=lambda row: (
            _DIRECTIONS.index(row["direction"]), row["protocol"], _VERDICTS.index(row["verdict"]),
        )
    )  # fmt: skip

    def shares(row: dict[str, Any], what: str) -> tuple[float | None, float | None]:
        key = row["direction"], row["protocol"]
        if not known or (what == "packets" and key in unseen):
            return None, None
        total = sums[(*key, what)]
        return share(row[what], total), share(sums[(*key, what, "erroneous")], total)

    made = []
    for row in rows:
        (of_flows, erroneous), (of_packets, erroneous_packets) = (
            shares(row, what) for what in ("flows", "packets")
        )
        made.append(
            {
                "direction": row["direction"],
                "protocol": row["protocol"],
                "verdict": row["verdict"],
                "flows": row["flows"],
                "share": of_flows,
                "erroneous_share": erroneous,
                "packets": row["packets"],
                "packet_share": of_packets,
                "erroneous_packet_share": erroneous_packets,
            }
        )
    return made
