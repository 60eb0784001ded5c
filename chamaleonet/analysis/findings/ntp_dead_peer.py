"""Clocks that are set by a peer that is dead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chamaleonet.analysis.findings.dead import Pair, by_cause, by_server
from chamaleonet.analysis.findings.finding import Diagnosis, Group, by_flows, grown
from chamaleonet.analysis.findings.words import count, listing, who

if TYPE_CHECKING:
    from chamaleonet.analysis.findings.case import Case

KIND = "ntp_dead_peer"
SERVICES = ("udp/123",)
LEAST = 5  # requests of a client: at NTP's longest period, of 17 minutes, more than an hour's
# Of the client's flows on the port: of four peers, which is usual, one is a quarter; of the
# requests to a living one a few are lost.
SHARE = 0.2
IN_A_ROW = 5  # requests of one flow without an answer: none of so many is lost by chance


def find(case: Case) -> list[Group]:
    """Return peers that never answer clients that go on asking them."""
    pairs = [pair for pair in case.dead if pair.service in SERVICES]
    found = [
        dead
        for its in by_server(pairs)
        if (dead := [pair for pair in its if pair.requests >= LEAST and _is_dead(pair)])
    ]
    return [
        Group([pair.evidence() for pair in its], {"confidence": max(map(_confidence, its))})
        for its in by_cause(found, least=2)
    ]


def _is_dead(pair: Pair) -> bool:
    if pair.regular or pair.requests >= IN_A_ROW * pair.flows:
        return True
    return not pair.alive and (pair.share or 0) >= SHARE


def _confidence(pair: Pair) -> float:
    sure = 0.9 if pair.regular or pair.requests >= IN_A_ROW * pair.flows else 0.8
    return sure * grown(pair.requests, LEAST / 2)


def tell(group: Group) -> Diagnosis:
    """Return what a group of requests in vain means."""
    clients, servers = by_flows(group.evidence, "client"), group.servers
    requests = sum(row.requests for row in group.evidence)
    return Diagnosis(
        group.about["confidence"],
        f"{who(clients)} asked {listing(servers)} for the time (NTP), {count(requests, 'time')},"
        " and never got an answer: dead, moved, or behind a firewall. With too few peers left,"
        " clocks drift.",
        f"On {listing(clients)} replace {listing(servers)} in the NTP configuration (chrony.conf,"
        " ntp.conf, timesyncd.conf, DHCP option 42) by a server that answers.",
    )
