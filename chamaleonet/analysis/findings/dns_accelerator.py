"""A DNS accelerator: it asks several resolvers at once, takes the first answer and closes.

What the others answer comes to a closed socket, and is answered by port unreachable. Of that the
log has the answers that came when their query was forgotten, which are flows of their own, from
the resolver; queries that were answered after the timeout; and, where ``replay --all-flows`` made
it, all queries.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import ibis

from chamaleonet.analysis.findings.case import REPLIED
from chamaleonet.analysis.findings.finding import Diagnosis, Evidence, Group, by_flows, grown
from chamaleonet.analysis.findings.port_unreachable_reflection import unreachable
from chamaleonet.analysis.findings.words import count, listing, who
from chamaleonet.analysis.times import SECOND, floor

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from chamaleonet.analysis.findings.case import Case

KIND = "dns_accelerator"
LATE = 10  # answers of a host that came late, or queries where all are logged
_AT_ONCE = 0.5  # confidence where queries were parallel, but no answer is known to have been late
RESOLVERS = 2, 16  # that a host asks; from more, the answers are an attack's: nobody asked for them
PORTS = 0.5  # distinct ports per answer: a resolver's come to the ports that asked, always others
MOST = 5000  # rows of evidence, those of most flows
_DNS = 53


def find(case: Case) -> list[Group]:
    """Return hosts that several resolvers answer too late, or at once."""
    pairs = _refused(case).union(_at_once(case))
    hosts = pairs.group_by("host").aggregate(
        flows=pairs.flows.sum(), ports=pairs.ports.sum(), resolvers=pairs.resolver.nunique()
    )
    hosts = hosts.filter(
        hosts.flows >= LATE,
        hosts.ports >= hosts.flows * PORTS,
        hosts.resolvers.between(*RESOLVERS),
    )
    found = pairs.semi_join(hosts, "host").order_by(ibis.desc("flows"), "host", "client", "server")
    rows = case.logs.rows(found.limit(MOST))
    late = sum(row["late"] for row in rows)
    evidence = [
        Evidence.of(
            row,
            host=row["host"],
            detail=f"{count(row['late'], 'late answer')}{', refused' if row['erroneous'] else ''}",
        )
        for row in rows
    ]
    evidence.sort(key=lambda row: row.host or "")
    hosts_evidence = [list(its) for _, its in groupby(evidence, lambda row: row.host)]
    # The same resolvers stand in the same configuration: one cause.
    alike: dict[tuple[str, ...], list[Evidence]] = {}
    for its in hosts_evidence:
        alike.setdefault(tuple(sorted(map(_resolver, its))), []).extend(its)
    return [Group(its, {"late": late}) for its in alike.values()]


def _resolver(row: Evidence) -> str:
    return str(row.server if row.host == row.client else row.client)


def _refused(case: Case) -> ir.Table:
    """Return answers that came to a closed port, by host and resolver."""
    flows = unreachable(case.from_outside.filter(case.from_outside.client_port == _DNS))
    return flows.group_by(host=flows.server, resolver=flows.client).aggregate(
        client=flows.client.max(),
        server=flows.server.max(),
        service=ibis.null(str),
        late=flows.count(),
        ports=flows.server_port.nunique(),
        **_sums(flows),
    )


def _at_once(case: Case) -> ir.Table:
    """Return answered queries that left one port for several resolvers at once."""
    flows = case.flows
    flows = flows.filter(flows.service == f"udp/{_DNS}", flows.verdict.isin(REPLIED))
    flows = flows.mutate(at=floor(flows["first"], SECOND))
    at_once = ["client", "client_port", "at"]
    parallel = flows.group_by(at_once).having(flows.server.nunique() > 1).aggregate()
    flows = flows.semi_join(parallel, at_once)
    return flows.group_by(host=flows.client, resolver=flows.server).aggregate(
        client=flows.client.max(),
        server=flows.server.max(),
        service=flows.service.max(),
        late=(flows.verdict == "recovered").sum(),
        ports=flows.client_port.nunique(),
        **_sums(flows),
    )


def _sums(flows: ir.Table) -> dict[str, ir.IntegerScalar]:
    return {
        "flows": flows.count(),
        "erroneous": flows.erroneous.sum(),
        "requests": flows.attempts.sum(),
        "first": flows["first"].min(),
        "last": flows["last"].max(),
    }


def tell(group: Group) -> Diagnosis:
    """Return what so many late answers mean."""
    hosts = by_flows(group.evidence, "host")
    resolvers = sorted({_resolver(row) for row in group.evidence})
    return Diagnosis(
        (0.9 if group.about["late"] >= LATE else _AT_ONCE) * grown(group.flows, LATE / 2),
        f"{who(hosts)} asked {listing(resolvers)} at once, to close the socket at the first answer:"
        f" {count(group.flows, 'answer')} came in parallel or too late. It is harmless, but each"
        " question costs several answers, and ICMP errors.",
        f"On {listing(hosts)} turn parallel queries of the DNS proxy off (dnsmasq: all-servers;"
        " others: “fastest” or “parallel” upstreams), or let it keep its sockets open for some"
        " seconds.",
    )
