"""DNS queries to a resolver that is none: a bogon, localhost on the wire, or dead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chamaleonet.analysis.findings.bogons import bogon
from chamaleonet.analysis.findings.dead import Pair, by_cause, by_server
from chamaleonet.analysis.findings.finding import Diagnosis, Group, by_flows, grown
from chamaleonet.analysis.findings.lasting import lasting
from chamaleonet.analysis.findings.words import count, listing, who
from chamaleonet.analysis.times import SECOND

if TYPE_CHECKING:
    from chamaleonet.analysis.findings.case import Case

KIND = "dns_dead_resolver"
SERVICES = ("udp/53", "tcp/53", "tcp/853", "udp/853")
BOGUS = 5  # queries to an address where no resolver can be
DEAD = 10  # to any other
A_CLIENT = 3  # of one client
SECONDS = 10  # what passes sooner was a trouble of the network
# Of all that its clients ask. A client that has one dead resolver of two asks it for half, or
# more; a recursive resolver asks each of many dead authoritative servers for next to nothing, and
# one that only loses packets answers most.
SHARE = 0.2
# Where nobody counted answers: of the client's failures, and so many queries.
ALONE_SHARE, ALONE = 0.5, 20
_ALONE_CONFIDENCE = 0.5


def find(case: Case) -> list[Group]:
    """Return resolvers that never answer clients that go on asking them."""
    pairs = [pair for pair in case.dead if pair.service in SERVICES]
    found = []
    confidence = {}
    sure_of = lasting(case, pairs, many=A_CLIENT)
    for its in by_server(pairs):
        sure = _confidence(its, sure_of)
        if sure > 0:
            found.append(
                [
                    pair
                    for pair in its
                    if _is_bogus(pair) or (pair.requests >= A_CLIENT and pair in sure_of)
                ]
            )
            confidence[its[0].server] = sure
    return [
        Group(
            [pair.evidence() for pair in its],
            {
                "confidence": max(confidence[pair.server] for pair in its),
                "bogus": {pair.server: bogon(pair.server) for pair in its if _is_bogus(pair)},
            },
        )
        for its in by_cause(found, least=2)
    ]


def _is_bogus(pair: Pair) -> bool:
    return pair.outside and bogon(pair.server) is not None


def _confidence(pairs: list[Pair], sure_of: dict[Pair, float]) -> float:
    """Return how sure it is that a server is no resolver for these clients; 0 for not at all."""
    if _is_bogus(pairs[0]):
        return 0.5 + 0.5 * grown(sum(pair.requests for pair in pairs), BOGUS)
    asking = [pair for pair in pairs if pair.requests >= A_CLIENT and pair in sure_of]
    queries = sum(pair.requests for pair in asking)
    by_rhythm = max((pair.regularity for pair in asking if pair.regular), default=0.0)
    seconds = (max(pair.last for pair in pairs) - min(pair.first for pair in pairs)) / SECOND
    if queries < DEAD or seconds < SECONDS:
        return 0.0
    sure = by_rhythm
    if not any(pair.alive for pair in pairs):
        failed, flows = sum(pair.failed for pair in asking), sum(pair.flows for pair in asking)
        if all(pair.answered is not None for pair in asking):
            share = flows / (failed + sum(pair.answered or 0 for pair in asking))
            if share >= SHARE:
                sure = max(sure, 0.7 + 0.3 * share)
        elif queries >= ALONE and flows / failed >= ALONE_SHARE:
            sure = max(sure, _ALONE_CONFIDENCE)
    return sure * grown(queries, DEAD / 2) * max(sure_of[pair] for pair in asking)


def tell(group: Group) -> Diagnosis:
    """Return what a group of queries in vain means."""
    clients, servers = by_flows(group.evidence, "client"), group.servers
    bogus = group.about["bogus"]
    queries = sum(row.requests for row in group.evidence)
    named = [f"{server} ({bogus[server]})" if server in bogus else server for server in servers]
    why = (
        "There can be no resolver at such an address."
        if bogus
        else "It is gone, or a firewall keeps them apart; names take seconds longer to resolve."
    )
    return Diagnosis(
        group.about["confidence"],
        f"{who(clients)} sent {count(queries, 'DNS query')} to {listing(named)},"
        f" and never got an answer. {why}",
        f"Remove {listing(servers)} from the resolvers of {listing(clients)}: look at the DHCP"
        " options (6, or 23 in DHCPv6), router advertisements, /etc/resolv.conf and VPN profiles,"
        " and name a resolver that answers.",
    )
