"""Many servers that begin to fail at the same time: a route, a link or a firewall, not they.

Which servers begin to fail together, and more of them than chance allows, is what the table
``simultaneous`` tells. A finding asks for more, for load alone lets more fail by day than by night.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from functools import reduce
from ipaddress import ip_network
from operator import or_
from typing import TYPE_CHECKING, Any

import ibis

from chamaleonet.analysis.addresses import aggregate, cidr, within
from chamaleonet.analysis.binomial import minimum_dependent
from chamaleonet.analysis.findings.finding import Diagnosis, Evidence, Group, by_flows, grown
from chamaleonet.analysis.findings.words import count, duration, listing
from chamaleonet.analysis.source import ASKED, FAILED
from chamaleonet.analysis.tables.simultaneous import BIN, QUIET
from chamaleonet.analysis.times import SECOND, floor, iso, nanoseconds

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from chamaleonet.analysis.findings.case import Case
    from chamaleonet.units import Network

KIND = "outage"
# Servers that begin to fail, and that others see fail than the client that sees most of them:
# what one alone sees is its own trouble, or its scan.
SERVERS = 5
MOST_OF_THEM = 0.5  # of the servers of a network that ever fail
# Of all flows on a service, to any server, where it is not one network that fails.
FAILING = 0.5
# A log of less than so many bins of the table is cut into BINS instead.
SHORT, BINS = 3, 20
OUTAGES = 20  # at most, the largest ones
MOST = 5000  # rows of evidence, those of most flows


@dataclass(frozen=True)
class _Event:
    """Servers that began to fail together.

    Attributes:
        begin, end: when they began, ns.
        quiet: ns before that in which they did not fail.
        until: when the last one recovered, ns; at most the log's end.
        network: that they are in; None where they are in many.
        service: that failed; None for any.
        servers: how many began to fail.
        minimum: so many are no chance.
    """

    begin: int
    end: int
    quiet: int
    until: int
    network: Network | None
    service: str | None
    servers: int
    minimum: int

    @property
    def bins(self) -> range:
        """The begins of the table's bins that it lies in."""
        return range(self.begin, self.end, BIN)

    def joined(self, later: _Event) -> _Event:
        """Return one event of this and one that followed at once."""
        return replace(
            self,
            end=later.end,
            until=max(self.until, later.until),
            servers=self.servers + later.servers,
        )


def find(case: Case) -> list[Group]:
    """Return outages that several clients saw."""
    is_short = case.end - case.begin < SHORT * BIN
    events = _of_short_log(case) if is_short else _of_table(case)
    together: list[list[_Event]] = []
    for event in sorted(events, key=lambda event: event.begin):
        if together and event.begin <= together[-1][-1].end:
            together[-1].append(event)
        else:
            together.append([event])
    largest = sorted(together, key=lambda its: (-sum(event.servers for event in its), its[0].begin))
    groups = (_group(case, its) for its in largest[:OUTAGES])
    return [group for group in groups if group is not None]


def _of_table(case: Case) -> list[_Event]:
    """Return the events of the table that are no matter of load."""
    by_aggregate: dict[tuple[Any, ...], list[_Event]] = {}
    members: dict[tuple[Any, ...], int] = {}
    rows = case.tables["simultaneous"]
    for row in rows:
        event = _event(row, case.end)
        its = by_aggregate.setdefault((event.network, event.service), [])
        # What begins near the end of a bin goes on beginning in the next one.
        if its and event.begin <= its[-1].end:
            event = its.pop().joined(event)
        its.append(event)
        members[event.network, event.service] = row["servers"]
    failing = _still_failing(case, rows)
    return [
        event
        for key, its in by_aggregate.items()
        for event in its
        if event.servers >= SERVERS
        and (
            event.servers >= MOST_OF_THEM * members[key]
            and sum(failing.get((str(event.network), at), 0) for at in event.bins) >= SERVERS
            if event.network
            else event.service is not None and _fails(case, event)
        )
    ]


def _still_failing(case: Case, rows: list[dict[str, Any]]) -> dict[tuple[str, int], int]:
    """Return how many servers fail by network and bin, without what is explained, such as sweeps.

    One look at all bins with events: to look at each event takes long.
    """
    bins = sorted({nanoseconds(datetime.fromisoformat(row["time"])) for row in rows})
    if not bins:
        return {}
    flows = case.unexplained()
    flows = flows.mutate(bin=floor(flows["first"], BIN))
    flows = flows.filter(flows.erroneous, flows.bin.isin(bins))
    servers = flows.select("server", "bin").distinct()
    servers = servers.mutate(network=aggregate(servers.server))
    counted = servers.group_by("network", "bin").having(servers.count() > 1)
    counted = counted.aggregate(servers=servers.count())
    return {
        (cidr(row["network"]), row["bin"]): row["servers"]
        for row in case.logs.rows(counted.order_by("network", "bin"))
    }


def _event(row: dict[str, Any], log_end: int) -> _Event:
    begin = nanoseconds(datetime.fromisoformat(row["time"]))
    recovery, port, protocol = row["longest_recovery"], row["server_port"], row["protocol"]
    over = recovery is not None and not row["failing"]
    return _Event(
        begin=begin,
        end=begin + BIN,
        quiet=QUIET,
        until=begin + BIN + round(recovery * SECOND) if over else log_end,
        network=ip_network(row["network"]) if row["network"] else None,
        service=protocol if port is None else f"{protocol}/{port}",
        servers=row["failing_servers"],
        minimum=row["minimum"],
    )


def _fails(case: Case, event: _Event) -> bool:
    """Return whether most flows on an event's service failed in its bin."""
    counts = case.logs.counts
    counts = counts.filter(
        counts.service == event.service,
        counts.direction.isin(("outbound", "internal")),
        counts.minute >= event.begin,
        counts.minute < event.end,
        counts.verdict.isin(ASKED),
    )
    sums = case.logs.row(
        counts.aggregate(
            flows=counts.flows.sum().fill_null(0),
            failed=counts.flows.sum(where=counts.verdict.isin(FAILED)).fill_null(0),
        )
    )
    return case.logs.has_healthy and sums["failed"] >= FAILING * sums["flows"]


def _of_short_log(case: Case) -> list[_Event]:
    """Return events of a log in which the table's bins find no place, by the same reasoning.

    A server begins to fail once here, in one of BINS bins, and an event is of two bins in a row:
    by chance it does so there with p = 2 / BINS.
    """
    step = max(1, (case.end - case.begin) // BINS)
    quiet = BINS // 4  # in the log's first quarter nothing is known to be new
    flows = case.unexplained()
    flows = flows.filter(flows.erroneous)
    servers = flows.group_by("server").aggregate(begin=flows["first"].min() - case.begin)
    servers = servers.mutate(network=aggregate(servers.server), begin=floor(servers.begin, step))
    many = servers.group_by("network").having(servers.count() >= SERVERS).aggregate()
    servers = servers.semi_join(many, "network")
    bins = servers.group_by("network", "begin").aggregate(servers=servers.count())
    by_network: dict[str, dict[int, int]] = {}
    for row in case.logs.rows(bins.order_by("network", "begin")):
        by_network.setdefault(row["network"], {})[row["begin"] // step] = row["servers"]
    events = []
    for network, new in by_network.items():
        total = sum(new.values())
        first = max(
            range(quiet, BINS + 1), key=lambda bin_: new.get(bin_, 0) + new.get(bin_ + 1, 0)
        )
        begun = new.get(first, 0) + new.get(first + 1, 0)
        minimum = minimum_dependent(total, 2 / BINS)
        if begun >= max(SERVERS, minimum, MOST_OF_THEM * total):
            begin = case.begin + first * step
            events.append(
                _Event(
                    begin=begin,
                    end=begin + 2 * step,
                    quiet=begin - case.begin,
                    until=case.end,
                    network=ip_network(cidr(network)),
                    service=None,
                    servers=begun,
                    minimum=minimum,
                )
            )
    return events


def _group(case: Case, events: list[_Event]) -> Group | None:
    """Return the evidence of events that began together, None if too little is left of them."""
    begin, quiet = events[0].begin, events[0].quiet
    end, until = (max(getattr(event, name) for event in events) for name in ("end", "until"))
    flows = case.unexplained()
    flows = flows.filter(flows.erroneous, reduce(or_, (_is_of(flows, event) for event in events)))
    flows = flows.filter(flows["first"] >= begin - quiet, flows["first"] <= until)
    flows = case.logs.keep(
        flows.select("client", "server", "service", "direction", "attempts", "first", "last")
    )
    begun = flows.filter(flows["first"] >= begin, flows["first"] < end).select("server").distinct()
    begun = begun.anti_join(flows.filter(flows["first"] < begin), "server")
    flows = flows.filter(flows["first"] >= begin).semi_join(begun, "server")
    clients = flows.group_by("client").aggregate(
        flows=flows.count(), servers=flows.server.nunique()
    )
    clients = case.logs.rows(clients.order_by(ibis.desc("flows"), "client").limit(MOST))
    if not clients:
        return None
    busiest = max(clients, key=lambda row: row["servers"])["client"]
    others = flows.filter(flows.client != busiest)
    by_others = case.logs.row(others.aggregate(servers=others.server.nunique()))["servers"]
    evidence = [_evidence(row) for row in case.logs.rows(_servers(flows).limit(MOST))]
    servers = {row.server for row in evidence}
    minimum = max(event.minimum for event in events)
    if by_others < SERVERS or len(servers) < max(SERVERS, minimum):
        return None
    first, last = min(row.first for row in evidence), max(row.last for row in evidence)
    hosts = by_flows(evidence, "host")
    return Group(
        evidence,
        {
            "begin": first,
            "networks": [str(event.network) for event in events if event.network],
            "servers": len(servers),
            "clients": len(clients),
            "minimum": minimum,
            # Who fails no more has recovered, if the log goes on for long enough to tell.
            "seconds": (last - first) / SECOND if case.end - last > end - begin else None,
        },
        hosts=hosts or [row["client"] for row in clients],
    )


def _servers(flows: ir.Table) -> ir.Table:
    servers = flows.group_by("server", "service").aggregate(
        flows=flows.count(),
        requests=flows.attempts.sum(),
        first=flows["first"].min(),
        last=flows["first"].max(),
        inside=(flows.direction == "internal").sum(),
        clients=flows.client.nunique(),
    )
    return servers.order_by(ibis.desc("flows"), "server", "service")


def _evidence(row: dict[str, Any]) -> Evidence:
    return Evidence.of(
        row,
        host=row["server"] if row["inside"] else None,
        client=None,
        erroneous=row["flows"],
        detail=count(row["clients"], "client"),
        timed=True,
    )


def _is_of(flows: ir.Table, event: _Event) -> ir.BooleanValue:
    inside = ibis.literal(True)
    if event.network is not None:
        inside &= within(flows.server, [event.network])
    if event.service is not None:
        inside &= flows.service == event.service
    return inside


def tell(group: Group) -> Diagnosis:
    """Return what so many failures at once mean."""
    about = group.about
    where = listing(about["networks"]) if about["networks"] else "many networks"
    over = (
        f"They failed for {duration(about['seconds'])}."
        if about["seconds"] is not None
        else "They still fail at the end of the log."
    )
    return Diagnosis(
        grown(about["servers"], about["minimum"] / 4),
        f"{count(about['servers'], 'server')} in {where} began to fail within minutes of"
        f" {iso(about['begin'] // SECOND * SECOND)}, for {count(about['clients'], 'client')}: more"
        f" than chance allows, so not the servers but what leads to them failed. {over}",
        f"Look at what changed at that time on the way to {where}: routes, links, firewall rules,"
        " provider.",
    )
