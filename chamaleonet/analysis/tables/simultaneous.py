"""Table 10: servers that begin to fail at the same time, more of them than chance allows.

R. Padmanabhan, A. Schulman, A. Dainotti, D. Levin, N. Spring, "How to Find Correlated Internet
Failures", PAM 2019.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import ibis

from chamaleonet.analysis.addresses import aggregate, cidr
from chamaleonet.analysis.binomial import LEVEL
from chamaleonet.analysis.onsets import (
    BIN,
    LISTED,
    NETWORK,
    PORT,
    QUIET,
    Aggregate,
    events,
    histories,
    members,
)
from chamaleonet.analysis.source import split_service
from chamaleonet.analysis.spans import observed
from chamaleonet.analysis.table import Options, Table
from chamaleonet.analysis.times import MINUTE, SECOND, iso

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pyarrow as pa

    from chamaleonet.analysis.source import Logs

__all__ = ["BIN", "QUIET", "table"]

SWEPT, SWEEP_SHARE = 50, 0.9  # servers of a sweep at least, and how many of them one client tried

_NEVER = 1 << 62
_NOTE = (
    f"A server newly fails in a bin of {BIN // MINUTE} minutes if a flow to it is unanswered or"
    f" gets an ICMP error there, and none did in the {QUIET // MINUTE} minutes before; the log's"
    " begin, as long as that or a quarter of the log, tells nothing. Servers are aggregated by"
    " network (/24, or /48 of IPv6) and by protocol and server port. Where the N servers of an"
    " aggregate that ever fail begin to do so S times in B bins, one does in a bin with"
    " p = S / (N B); an event is a bin in which D or more do, D the smallest number, and at least"
    f" 2, with binomial tail P[X >= D] < {LEVEL:g} (Padmanabhan et al., PAM 2019): among many"
    " aggregates and bins a few are chance all the same. A port's event is only shown if it were"
    " one without the events of networks on that port. The log has no"
    " addresses of servers that never fail, so N is what can be seen. Of inbound flows only those"
    " to hosts that also answered some are taken: what comes in to addresses without a host is"
    f" radiation. A sweep is an event of more than {SWEPT} servers of which one client tried"
    f" {SWEEP_SHARE:.0%} or more: rather a scan than an outage. Recovery is from a server's first"
    " failure in the bin to the first sign of life after it (a late reply or a refusal) or to the"
    " last failure of the row, whichever is earlier; a row has ended where"
    f" {QUIET // MINUTE} minutes without a failure follow in the log. Others are still failing."
    f" Listed are the {LISTED} largest of each kind."
)


def table(logs: Logs, options: Options) -> Table:  # noqa: ARG001
    """Return the simultaneous failures and how long the servers took to recover."""
    return Table(
        name="simultaneous",
        title="Simultaneous failures",
        unit="server",
        vantage="servers inside and outside, by the failing flows to them",
        note=_NOTE,
        value=_rows(logs),
        columns={
            "time": ("begin of the bin", "UTC"),
            "aggregate": ("aggregated by", ""),
            "network": ("network", ""),
            "protocol": ("protocol", ""),
            "server_port": ("server port", ""),
            "failing_servers": ("newly failing", "servers"),
            "minimum": ("no chance from", "servers"),
            "servers": ("ever failing in the aggregate", "servers"),
            "repeated": ("had failed before", "servers"),
            "clients": ("clients", "hosts"),
            "sweep": ("one client's sweep", ""),
            "flows": ("failing flows in the bin", "flows"),
            "recovered": ("recovered", "servers"),
            "failing": ("still failing", "servers"),
            "median_recovery": ("median recovery", "seconds"),
            "longest_recovery": ("longest recovery", "seconds"),
        },
    )


def _rows(logs: Logs) -> list[dict[str, Any]]:
    span = observed(logs)
    if span is None:
        return []
    begin, end = span
    # The first bin with something before it that tells what is new.
    first = begin + min(QUIET, (end - begin) // 4)
    first += BIN - first % BIN
    of_networks, of_ports = (
        _described(logs, by, events(logs, by, first, end), end) for by in (NETWORK, PORT)
    )
    covered: Counter[tuple[Any, ...]] = Counter()
    for row in of_networks:
        covered[_when_and_what(row)] += row["failing_servers"]
    rest = (
        row
        for row in of_ports
        if row["failing_servers"] - covered[_when_and_what(row)] >= row["minimum"]
    )
    return sorted(
        (*of_networks, *rest),
        key=lambda row: (row["time"], -row["failing_servers"], row["aggregate"], str(row)),
    )


def _when_and_what(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["time"], row["protocol"], row["server_port"]


def _described(logs: Logs, by: Aggregate, found: pa.Table, end: int) -> list[dict[str, Any]]:
    """Return the rows of events."""
    if not found.num_rows:
        return []
    seen = _seen(logs, by, found)
    tried = seen.filter(seen.fails & (seen.bin == seen.event))
    clients = tried.group_by("aggregate", "event", "client").aggregate(
        servers=tried.server.nunique()
    )
    clients = clients.group_by("aggregate", "event").aggregate(
        clients=clients.count(), most=clients.servers.max()
    )
    tries, recoveries = (
        {
            (row.pop("aggregate"), row.pop("event")): row
            for row in logs.rows(query.order_by("aggregate", "event"))
        }
        for query in (clients, _recoveries(seen, by, end))
    )
    return [
        _row(by, event, tries[key], recoveries[key])
        for event in found.to_pylist()
        for key in [(event["aggregate"], event["bin"])]
    ]


def _seen(logs: Logs, by: Aggregate, found: pa.Table) -> ir.Table:
    """Return all flows of the servers of events: one row for each event and flow."""
    these = ibis.memtable(members(logs, by, found))
    seen = these.inner_join(histories(logs), by.member)
    of_member = ibis.window(group_by=("aggregate", "event", *by.member))
    begun = ibis.ifelse(seen.fails & (seen.bin == seen.event), seen.first, ibis.null("int64"))
    return seen.mutate(begin=begun.min().over(of_member))


def _recoveries(seen: ir.Table, by: Aggregate, end: int) -> ir.Table:
    """Return of each event what its servers did afterwards."""
    member = ("aggregate", "event", *by.member)
    in_order = ibis.window(group_by=(*member, "fails"), order_by=("first", "last"))
    seen = seen.mutate(next=seen.first.lead().over(in_order), network=aggregate(seen.server))
    seen = seen.mutate(now=seen.fails & (seen.bin == seen.event))
    ends = seen.fails & (seen.first >= seen.begin) & (end - seen.first > QUIET)
    ends &= seen.next.isnull() | (seen.next - seen.first > QUIET)
    servers = seen.group_by(member).aggregate(
        begin=seen.begin.min(),
        repeated=(seen.fails & (seen.bin < seen.event)).any(),
        flows=seen.now.sum(),
        first_service=seen.service.min(where=seen.now),
        last_service=seen.service.max(where=seen.now),
        first_network=seen.network.min(),
        alive=seen.judged.min(where=~seen.fails & (seen.judged > seen.begin)),
        ended=seen.last.min(where=ends),
    )
    recovered = ibis.least(servers.alive.fill_null(_NEVER), servers.ended.fill_null(_NEVER))
    servers = servers.mutate(
        recovery=ibis.ifelse(recovered < _NEVER, recovered - servers.begin, ibis.null("int64"))
    )
    event = ("aggregate", "event")
    servers = servers.mutate(
        rank=ibis.row_number().over(
            ibis.window(group_by=event, order_by=servers.recovery.asc(nulls_first=False))
        ),
        known=servers.recovery.count().over(ibis.window(group_by=event)),
    )
    return servers.group_by(event).aggregate(
        repeated=servers.repeated.sum(),
        flows=servers.flows.sum(),
        first_service=servers.first_service.min(),
        last_service=servers.last_service.max(),
        first_network=servers.first_network.min(),
        last_network=servers.first_network.max(),
        recovered=servers.recovery.count(),
        failing=servers.recovery.isnull().sum(),
        median=servers.recovery.max(where=servers.rank * 2 < servers.known),
        longest=servers.recovery.max(),
    )


def _row(
    by: Aggregate, event: dict[str, Any], tries: dict[str, Any], later: dict[str, Any]
) -> dict[str, Any]:
    protocol = port = None
    if later["first_service"] == later["last_service"]:
        protocol, port = split_service(later["first_service"])
    many = event["failing_servers"] > SWEPT
    return {
        "time": iso(event["bin"]),
        "aggregate": by.name,
        "network": cidr(later["first_network"])
        if later["first_network"] == later["last_network"]
        else None,
        "protocol": protocol,
        "server_port": port,
        "failing_servers": event["failing_servers"],
        "minimum": event["minimum"],
        "servers": event["servers"],
        "repeated": later["repeated"],
        "clients": tries["clients"],
        "sweep": many and tries["most"] >= SWEEP_SHARE * event["failing_servers"],
        "flows": later["flows"],
        "recovered": later["recovered"],
        "failing": later["failing"],
        "median_recovery": _seconds(later["median"]),
        "longest_recovery": _seconds(later["longest"]),
    }


def _seconds(nanoseconds: int | None) -> float | None:
    return None if nanoseconds is None else nanoseconds / SECOND
