"""Table 13: how the applications fare, by server port.

The categories are those of R. Pang et al., "A First Look at Modern Enterprise Traffic", IMC 2005;
the split into popular and rare ports is after S. Guha et al., "How Healthy are Today's Enterprise
Networks?", IMC 2008.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ibis
import pyarrow as pa

from chamaleonet.analysis.ports import CATEGORIES, OTHER, category
from chamaleonet.analysis.shares import share
from chamaleonet.analysis.source import ASKED, FAILED, split_service
from chamaleonet.analysis.table import Options, Table

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from chamaleonet.analysis.source import Logs

POPULAR = 20  # clients that make a port popular
LISTED = 100  # ports, those with most failed flows
BEGUN_INSIDE = ("outbound", "internal")

_NOTE = (
    "A flow's application is that of its protocol and server port, in the eleven categories of"
    " Pang et al. (IMC 2005); other has the ports that are in none and protocols without ports. A"
    " port is no proof of what runs on it. A flow failed if it was refused, got an ICMP error or no"
    " reply; pending and midstream flows are in no total. Clients are internal addresses; those of"
    f" healthy flows are in the counters. A port with under {POPULAR} clients is rare."
)


def table(logs: Logs, options: Options) -> Table:  # noqa: ARG001
    """Return flows and failures by category, by popularity of ports, and of single ports."""
    services = _services(logs)
    return Table(
        name="applications",
        title="Applications",
        unit="flow",
        vantage="flows that internal hosts began, by where the server is",
        note=_NOTE if logs.has_healthy else f"{_NOTE} Healthy flows were not counted: no totals.",
        value={
            "categories": _categories(logs, services),
            "popularity": _popularity(logs, services),
            "ports": _ports(logs, services),
        },
        columns={
            "category": ("application", ""),
            "direction": ("direction", ""),
            "popularity": ("ports", ""),
            "protocol": ("protocol", ""),
            "server_port": ("server port", ""),
            "ports": ("ports", ""),
            "clients": ("clients", "hosts"),
            "flows": ("flows", "flows"),
            "failed": ("failed", "flows"),
            "failed_share": ("of the flows, failed", "share"),
            "share": ("of all failed flows", "share"),
        },
    )


def _services(logs: Logs) -> list[dict[str, Any]]:
    """Return flows and clients by protocol and port: at most 65536 for each protocol."""
    counts = _judged(logs)
    failed, outbound = counts.verdict.isin(FAILED), counts.direction == "outbound"
    services = counts.group_by("service").aggregate(
        clients=counts.host.nunique(),
        outbound=counts.flows.sum(where=outbound).fill_null(0),
        outbound_failed=counts.flows.sum(where=outbound & failed).fill_null(0),
        internal=counts.flows.sum(where=~outbound).fill_null(0),
        internal_failed=counts.flows.sum(where=~outbound & failed).fill_null(0),
    )
    rows = logs.rows(services.order_by("service"))
    for row in rows:
        row["protocol"], row["server_port"] = split_service(row["service"])
        row["category"] = category(row["protocol"], row["server_port"])
    return rows


def _judged(logs: Logs) -> ir.Table:
    """Return counts of flows that hosts inside began and that came to a verdict."""
    counts = logs.counts
    return counts.filter(counts.direction.isin(BEGUN_INSIDE), counts.verdict.isin(ASKED))


def _categories(logs: Logs, services: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a row for each direction and category that has flows."""
    clients = _clients(logs, services)
    failed = _failed(services)
    rows = []
    for direction in BEGUN_INSIDE:
        for name in (*CATEGORIES, OTHER):
            its = [row for row in services if row["category"] == name and row[direction]]
            if its:
                rows.append(
                    {
                        "direction": direction,
                        "category": name,
                        "ports": len(its),
                        "clients": clients[direction, name],
                        **_failures(logs, its, (direction,), failed),
                    }
                )
    return rows


def _clients(logs: Logs, services: list[dict[str, Any]]) -> dict[tuple[str, str], int]:
    """Return the number of clients by direction and category."""
    if not services:
        return {}
    names = {name: [row[name] for row in services] for name in ("service", "category")}
    counts = _judged(logs).inner_join(ibis.memtable(pa.table(names)), "service")
    clients = counts.group_by("direction", "category").aggregate(clients=counts.host.nunique())
    rows = logs.rows(clients.order_by("direction", "category"))
    return {(row["direction"], row["category"]): row["clients"] for row in rows}


def _popularity(logs: Logs, services: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a row for popular and one for rare ports."""
    failed = _failed(services)
    split = {
        "popular": [row for row in services if row["clients"] >= POPULAR],
        "rare": [row for row in services if row["clients"] < POPULAR],
    }
    return [
        {
            "popularity": name,
            "ports": len(its),
            **_failures(logs, its, BEGUN_INSIDE, failed),
        }
        for name, its in split.items()
    ]


def _ports(logs: Logs, services: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the ports with most failed flows."""
    failed = _failed(services)
    rows = [
        {
            "protocol": row["protocol"],
            "server_port": row["server_port"],
            "category": row["category"],
            "clients": row["clients"],
            **_failures(logs, [row], BEGUN_INSIDE, failed),
        }
        for row in services
    ]
    rows = [row for row in rows if row["failed"]]
    return sorted(rows, key=lambda row: -row["failed"])[:LISTED]


def _failed(services: list[dict[str, Any]]) -> int:
    return sum(row["outbound_failed"] + row["internal_failed"] for row in services)


def _failures(
    logs: Logs, services: list[dict[str, Any]], directions: tuple[str, ...], all_failed: int
) -> dict[str, Any]:
    """Return what is counted of some services together."""
    flows, failed = (
        sum(row[f"{direction}{suffix}"] for row in services for direction in directions)
        for suffix in ("", "_failed")
    )
    return {
        "flows": flows if logs.has_healthy else None,
        "failed": failed,
        "failed_share": share(failed, flows) if logs.has_healthy else None,
        "share": share(failed, all_failed),
    }
