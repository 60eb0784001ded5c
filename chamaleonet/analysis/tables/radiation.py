"""Table 14: what comes in unasked and finds nobody, and the echo of others' attacks.

R. Pang et al., "Characteristics of Internet Background Radiation", IMC 2004; backscatter after
D. Moore, G. Voelker, S. Savage, "Inferring Internet Denial-of-Service Activity", USENIX Security
2001.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chamaleonet.analysis.addresses import aggregate, cidr
from chamaleonet.analysis.source import split_service
from chamaleonet.analysis.table import Options, Table

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from chamaleonet.analysis.source import Logs

TARGETS = 25  # of a campaign at least: the default threshold of Zeek's address scan detector
LISTED = 100  # rows of each list, those with most flows

_NOTE = (
    "Radiation are inbound flows that got no answer at all; those to a host that also answers some"
    " (by the counters) may be failures of that host, and dark targets are the others. A campaign"
    " is what one /24 (or /48 of IPv6) sends to one protocol and port, if it goes to at least"
    f" {TARGETS} addresses; flows of no campaign are stray. Backscatter is answers that nobody here"
    " asked for: inbound flows that begin with a SYN+ACK or an ICMP reply, by who sent them, rather"
    " the victim of an attack with spoofed sources than an attacker. Resets and ICMP errors that"
    " answer spoofed packets cannot be told in the flow log: a reset opens a midstream flow, which"
    " is only counted, and an ICMP error belongs to no flow. Refused flows and those that got an"
    f" ICMP error are not in this table. Lists have the {LISTED} rows with most flows."
)


def table(logs: Logs, options: Options) -> Table:  # noqa: ARG001
    """Return inbound unanswered flows by source, port and campaign, and backscatter."""
    inbound = logs.flows.filter(logs.flows.direction == "inbound")
    radiation = inbound.filter(inbound.verdict == "unanswered")
    backscatter = inbound.filter(inbound.verdict == "unsolicited")
    campaigns = _campaigns(radiation)
    return Table(
        name="radiation",
        title="External radiation",
        unit="flow",
        vantage="inbound flows",
        note=_NOTE,
        value={
            "summary": _summary(logs, radiation, backscatter, campaigns),
            "sources": _sources(logs, radiation),
            "ports": _ports(logs, radiation),
            "campaigns": _listed_campaigns(logs, campaigns),
            "backscatter": _backscatter(logs, backscatter),
        },
        columns={
            "kind": ("kind", ""),
            "source": ("source", ""),
            "network": ("source network", ""),
            "protocol": ("protocol", ""),
            "port": ("port", ""),
            "flows": ("flows", "flows"),
            "packets": ("packets", "packets"),
            "sources": ("sources", "hosts"),
            "targets": ("addresses inside", "hosts"),
            "dark_targets": ("of them, without a host that answers", "hosts"),
            "ports": ("ports", ""),
            "first": ("first", "UTC"),
            "last": ("last", "UTC"),
        },
    )


def _summary(
    logs: Logs, radiation: ir.Table, backscatter: ir.Table, campaigns: ir.Table
) -> list[dict[str, Any]]:
    """Return totals: of radiation, of the campaigns in it, and of backscatter."""
    well = logs.healthy
    alive = well.filter(well.direction == "inbound", well.verdict == "answered")
    alive = alive.select(server=alive.host).distinct()
    dark = radiation.select("server").distinct().anti_join(alive, "server")
    rows = []
    for kind, flows in (("radiation", radiation), ("backscatter", backscatter)):
        totals = logs.row(
            flows.aggregate(
                flows=flows.count(),
                packets=flows.client_packets.sum().fill_null(0),
                sources=flows.client.nunique(),
                targets=flows.server.nunique(),
            )
        )
        rows.append({"kind": kind, **totals, "dark_targets": None})
    if logs.has_healthy:
        rows[0]["dark_targets"] = logs.row(dark.aggregate(targets=dark.count()))["targets"]
    of_campaigns = logs.row(
        campaigns.aggregate(
            flows=campaigns.flows.sum().fill_null(0), packets=campaigns.packets.sum().fill_null(0)
        )
    )
    unknown = dict.fromkeys(("sources", "targets", "dark_targets"))
    return [rows[0], {"kind": "campaigns", **of_campaigns, **unknown}, rows[1]]


def _sources(logs: Logs, radiation: ir.Table) -> list[dict[str, Any]]:
    # Sources can be millions: only those listed are looked at closer.
    most = radiation.group_by("client").aggregate(flows=radiation.count())
    most = most.order_by(most.flows.desc(), "client").limit(LISTED)
    flows = radiation.semi_join(most, "client")
    found = flows.group_by(source="client").aggregate(
        flows=flows.count(),
        packets=flows.client_packets.sum(),
        targets=flows.server.nunique(),
        ports=flows.service.nunique(),
        first=flows.first.min(),
        last=flows.last.max(),
    )
    return logs.rows(found.order_by(found.flows.desc(), "source"), times=("first", "last"))


def _ports(logs: Logs, radiation: ir.Table) -> list[dict[str, Any]]:
    found = radiation.group_by("service").aggregate(
        flows=radiation.count(),
        packets=radiation.client_packets.sum(),
        sources=radiation.client.nunique(),
        targets=radiation.server.nunique(),
    )
    return _split(logs.rows(found.order_by(found.flows.desc(), "service").limit(LISTED)))


def _campaigns(radiation: ir.Table) -> ir.Table:
    flows = radiation.mutate(network=aggregate(radiation.client))
    key = ("network", "service")
    # So many targets take as many flows: that is sooner found out.
    counted = flows.group_by(key).aggregate(flows=flows.count())
    flows = flows.semi_join(counted.filter(counted.flows >= TARGETS), key)
    found = flows.group_by(key).aggregate(
        flows=flows.count(),
        packets=flows.client_packets.sum(),
        sources=flows.client.nunique(),
        targets=flows.server.nunique(),
        first=flows.first.min(),
        last=flows.last.max(),
    )
    return found.filter(found.targets >= TARGETS)


def _listed_campaigns(logs: Logs, campaigns: ir.Table) -> list[dict[str, Any]]:
    ordered = campaigns.order_by(campaigns.flows.desc(), "network", "service").limit(LISTED)
    rows = logs.rows(ordered, times=("first", "last"))
    return _split([{**row, "network": cidr(row["network"])} for row in rows])


def _backscatter(logs: Logs, backscatter: ir.Table) -> list[dict[str, Any]]:
    """Return who answers, and from which port: the one that the attack is on."""
    key = ("client", "protocol", "client_port")
    found = backscatter.group_by(key).aggregate(
        flows=backscatter.count(),
        packets=backscatter.client_packets.sum(),
        targets=backscatter.server.nunique(),
        first=backscatter.first.min(),
        last=backscatter.last.max(),
    )
    ordered = found.order_by(found.flows.desc(), *key).limit(LISTED)
    return logs.rows(ordered.rename(source="client", port="client_port"), times=("first", "last"))


def _split(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows with protocol and port in the place of the service."""
    split = []
    for row in rows:
        protocol, port = split_service(row.pop("service"))
        split.append({"protocol": protocol, "port": port, **row})
    return split
