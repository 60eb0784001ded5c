"""A scanner or a worm inside: a host that tries address after address, or port after port."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import ibis

from chamaleonet.analysis.findings.finding import Diagnosis, Evidence, Group, by_flows, grown
from chamaleonet.analysis.findings.words import count, listing
from chamaleonet.analysis.source import split_service
from chamaleonet.analysis.tables import scanners
from chamaleonet.analysis.tables.scanners import FEW_SERVERS
from chamaleonet.analysis.times import SECOND

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from chamaleonet.analysis.findings.case import Case

KIND = "internal_scanner"
# Who fails on more than FEW_SERVERS of a service scans if it takes them in the order of their
# addresses (Pang et al., IMC 2005; table `scanners`), or if most of what it tries there fails
FAILING = 0.8
# and most of what it fails on is there: a peer-to-peer program knows many dead peers, but each on
# a port of its own.
FOCUS = 0.5
# Where healthy flows are not counted, nobody knows how many servers answered: it must be fast too.
_UNCOUNTED = 0.6
SECONDS_EACH = 10  # from one server or port to the next: what is slower may be chance
# Ports of one server: nothing but a scan tries so many, so fast, and well-known ones among them.
# What opens many high ports may be FTP behind a firewall, or a trace of the route.
PORTS, WELL_KNOWN = 30, 5
_WELL_KNOWN_PORTS = 1024
MOST = 1000  # rows of evidence, those of most servers or ports


def find(case: Case) -> list[Group]:
    """Return internal hosts that scan, those that scan for the same together."""
    sweeps = case.logs.rows(_sweeps(case))
    in_order = _in_order(case) if sweeps else set()
    found: dict[str, list[tuple[float, Evidence]]] = {}
    for row in sweeps:
        ordered = row["client"] in in_order
        sure = 0.95 if ordered else _likely(row, counted=case.logs.has_healthy)
        if sure > 0:
            detail = f"{count(row['servers'], 'server')}{' in order' if ordered else ''}"
            found.setdefault(row["client"], []).append(
                (sure * grown(row["servers"], FEW_SERVERS / 4), _evidence(row, detail))
            )
    for row in case.logs.rows(_port_scans(case)):
        found.setdefault(row["client"], []).append(
            (0.9 * grown(row["ports"], PORTS / 4), _evidence(row, count(row["ports"], "port")))
        )
    alike: dict[tuple[str, ...], list[tuple[float, Evidence]]] = {}
    for client, its in found.items():
        swept = tuple(sorted({row.service for _, row in its if row.service is not None}))
        alike.setdefault(swept or (client,), []).extend(its)
    return [
        Group([row for _, row in its], {"confidence": max(sure for sure, _ in its)})
        for its in alike.values()
    ]


def _evidence(row: dict[str, Any], detail: str) -> Evidence:
    return Evidence.of(row, host=row["client"], detail=detail)


def _sums(pairs: ir.Table) -> dict[str, ir.IntegerScalar]:
    return {
        "flows": pairs.flows.sum(),
        "erroneous": pairs.erroneous.sum(),
        "requests": pairs.requests.sum(),
        "first": pairs["first"].min(),
        "last": pairs["last"].max(),
    }


def _many(case: Case) -> ir.Table:
    """Return clients and services with more than FEW_SERVERS servers that failed."""
    pairs = case.pairs
    by = pairs.group_by("client", "service").having(pairs.count() > FEW_SERVERS)
    return by.aggregate(servers=pairs.count(), **_sums(pairs))


def _sweeps(case: Case) -> ir.Table:
    """Return these with ``all_servers``, on any service, and ``answered``, flows on the service."""
    sweeps, pairs = _many(case), case.pairs
    servers = pairs.group_by("client").aggregate(all_servers=pairs.server.nunique())
    sweeps = sweeps.inner_join(servers, "client")
    sweeps = sweeps.left_join(case.answered, ["client", "service"])
    sweeps = sweeps.drop("client_right", "service_right")
    return sweeps.order_by(ibis.desc("servers"), "client", "service").limit(MOST)


def _in_order(case: Case) -> set[str]:
    """Return clients that take their servers in order."""
    listed = case.tables["scanners"]["list"]
    if len(listed) < scanners.MOST:
        return {row["client"] for row in listed}
    # The table lists the largest, and those outside may have left no place for ours.
    few = copy.copy(case.logs)
    few.tried = case.flows.semi_join(_many(case), ["client", "service"])
    return set(scanners.clients(few))


def _likely(row: dict[str, Any], *, counted: bool) -> float:
    """Return how likely a client scans that takes its servers in no order."""
    if row["servers"] < FOCUS * row["all_servers"]:
        return 0.0
    if not counted:
        fast = row["last"] - row["first"] <= row["servers"] * SECONDS_EACH * SECOND
        return _UNCOUNTED if fast else 0.0
    failing = row["flows"] / (row["flows"] + (row["answered"] or 0))
    return float(failing) if failing >= FAILING else 0.0


def _port_scans(case: Case) -> ir.Table:
    """Return clients and servers of which many ports failed in a short time."""
    pairs = case.pairs.filter(case.pairs.service.contains("/"))
    port = pairs.service.split("/")[1].cast("int64")
    pairs = pairs.mutate(well_known=port < _WELL_KNOWN_PORTS)
    found = pairs.group_by("client", "server").aggregate(
        ports=pairs.count(), well_known=pairs.well_known.sum(), **_sums(pairs)
    )
    return (
        found.filter(
            found.ports > PORTS,
            found.well_known >= WELL_KNOWN,
            found.last - found["first"] <= found.ports * SECONDS_EACH * SECOND,
        )
        .order_by(ibis.desc("ports"), "client", "server")
        .limit(MOST)
    )


def tell(group: Group) -> Diagnosis:
    """Return what a scan from inside means."""
    clients = by_flows(group.evidence, "client")
    services, servers = by_flows(group.evidence, "service"), group.servers
    tried = []
    if services:
        ports = [service for service in services if split_service(service)[1] is not None]
        most = max(group.evidence, key=lambda row: row.flows if row.service else 0)
        tried.append(
            f"address after address{f' for {listing(ports)}' if ports else ''} ({most.detail})"
        )
    if servers:
        tried.append(f"port after port of {listing(servers)}")
    return Diagnosis(
        group.about["confidence"],
        f"{listing(clients)} tried {' and '.join(tried)}, {count(group.flows, 'flow')} in vain:"
        " a scanner or a worm.",
        f"Ask who runs a scan on {listing(clients)}; if nobody does, isolate the"
        f" {'host' if len(clients) == 1 else 'hosts'} and treat it as an infection.",
    )
