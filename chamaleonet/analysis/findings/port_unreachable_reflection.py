"""Many hosts that send port unreachable to one address: somebody uses them as a mirror.

Datagrams come in to ports that nothing listens on. Their source is a scanner, or is forged: then
the address that gets all the ICMP errors asked for nothing, and is the victim.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import ibis

from chamaleonet.analysis.findings.case import PAIR
from chamaleonet.analysis.findings.finding import Diagnosis, Evidence, Group, by_flows, grown
from chamaleonet.analysis.findings.words import count, listing

if TYPE_CHECKING:
    from typing import Any

    import ibis.expr.types as ir

    from chamaleonet.analysis.findings.case import Case

KIND = "port_unreachable_reflection"
HOSTS = 20  # that answer one address
MOST = 20_000  # rows of evidence, those of most flows
_SERVER_PORTS = 1024  # below: a client has no such port, but a server that is to be hit has
_FEW_PORTS = 3


def unreachable(flows: ir.Table) -> ir.Table:
    """Return UDP flows whose server answered that nothing listens on the port (RFC 792, 4443)."""
    four = (flows.icmp_type == 3) & (flows.icmp_code == 3)
    six = (flows.icmp_type == 1) & (flows.icmp_code == 4) & flows.server.contains(":")
    return flows.filter(
        flows.protocol == "udp",
        flows.verdict == "icmp_error",
        flows.icmp_sender == flows.server,
        four | six,
    )


def find(case: Case) -> list[Group]:
    """Return outer addresses that many hosts sent port unreachable to."""
    flows = unreachable(case.from_outside)
    targets = flows.group_by("client").having(flows.server.nunique() >= HOSTS).aggregate()
    flows = flows.semi_join(targets, "client")
    pairs = flows.group_by(PAIR).aggregate(
        flows=flows.count(),
        requests=flows.attempts.sum(),
        first=flows["first"].min(),
        last=flows["last"].max(),
        lowest_port=flows.client_port.min(),
        highest_port=flows.client_port.max(),
    )
    largest = case.logs.rows(pairs.order_by(ibis.desc("flows"), *PAIR).limit(MOST))
    largest.sort(key=lambda row: row["client"])
    return [
        _group(client, list(rows)) for client, rows in groupby(largest, lambda row: row["client"])
    ]


def _group(client: str, rows: list[dict[str, Any]]) -> Group:
    ports = min(row["lowest_port"] for row in rows), max(row["highest_port"] for row in rows)
    return Group(
        [
            Evidence.of(
                row,
                host=row["server"],
                client=client,
                erroneous=row["flows"],
                detail="port unreachable",
            )
            for row in rows
        ],
        {"source": client, "source_port": ports[0] if ports[0] == ports[1] else None},
    )


def tell(group: Group) -> Diagnosis:
    """Return what so many ICMP errors to one address mean."""
    hosts, services = by_flows(group.evidence, "host"), by_flows(group.evidence, "service")
    source, port = group.about["source"], group.about["source_port"]
    is_server = port is not None and port < _SERVER_PORTS
    what = listing(services, _FEW_PORTS)
    whose = (
        f"All came from port {port}, a server's: the source is forged, and {source} the victim of"
        " a reflection."
        if is_server
        else f"Either {source} scans, or its address is forged and it is the victim of a"
        " reflection."
    )
    return Diagnosis(
        (0.95 if is_server else 0.85) * grown(len(hosts), HOSTS / 4),
        f"{count(len(hosts), 'host')} answered datagrams to {what} that bore the source {source}"
        f" with {count(group.flows, 'ICMP port unreachable message')}. {whose}",
        f"At the border drop {what} that comes in from {source} (and whatever no internal host"
        " serves), limit the rate of outgoing ICMP errors, and tell the owner of the address.",
    )
