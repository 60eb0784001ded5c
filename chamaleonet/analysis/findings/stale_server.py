"""A server that is gone, and is polled for ever."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chamaleonet.analysis.findings import dns_dead_resolver, misaddressed_monitoring, ntp_dead_peer
from chamaleonet.analysis.findings.dead import by_cause, by_server
from chamaleonet.analysis.findings.finding import Diagnosis, Group, by_flows, grown
from chamaleonet.analysis.findings.lasting import lasting
from chamaleonet.analysis.findings.rhythm import POLLS
from chamaleonet.analysis.findings.words import count, duration, every, listing, who
from chamaleonet.analysis.times import SECOND

if TYPE_CHECKING:
    from chamaleonet.analysis.findings.case import Case
    from chamaleonet.analysis.findings.dead import Pair

KIND = "stale_server"
# Datagrams from one port to another may be a stream that nobody answers, too, the sooner they
# follow each other.
TELLING_PERIOD, _TELLING = 1.0, 0.4
ALSO = 3  # flows of a client without a rhythm, which asks a server that others poll in vain
SAME = 4  # servers with the same clients are one cause: a list of servers, not one of them

# Other rules know these services better.
_OTHERS = (
    *dns_dead_resolver.SERVICES,
    *ntp_dead_peer.SERVICES,
    *misaddressed_monitoring.SERVICES,
)


def find(case: Case) -> list[Group]:
    """Return servers that clients poll at a constant period and never get an answer from."""
    pairs = [pair for pair in case.dead if pair.service not in _OTHERS]
    regular = [pair for pair in pairs if pair.regular and not _is_stream(pair)]
    sure = {
        pair: certainty * (_TELLING if pair.unheard else 1)
        for pair, certainty in lasting(case, regular).items()
    }
    polled = []
    for its in by_server(pairs):
        if any(pair in sure for pair in its):
            gone = {pair.service for pair in its if pair in sure and not pair.alive}
            polled.append(
                [
                    pair
                    for pair in its
                    if pair in sure or (pair.service in gone and pair.flows >= ALSO)
                ]
            )
    return [_group(its, sure) for its in by_cause(polled, least=SAME)]


def _is_stream(pair: Pair) -> bool:
    return pair.unheard and (pair.period or 0) < TELLING_PERIOD


def _group(pairs: list[Pair], sure: dict[Pair, float]) -> Group:
    regular = [pair for pair in pairs if pair in sure]
    return Group(
        [pair.evidence() for pair in pairs],
        {
            "confidence": max(
                sure[pair] * pair.regularity * grown(pair.polls, POLLS / 2) for pair in regular
            ),
            "refused": all(pair.refused == pair.flows for pair in pairs),
            "sender": next((pair.sender for pair in pairs if pair.icmp), None),
        },
    )


def tell(group: Group) -> Diagnosis:
    """Return what a group of polls in vain means."""
    clients, servers = by_flows(group.evidence, "client"), group.servers
    first, last = (
        min(row.first for row in group.evidence),
        max(row.last for row in group.evidence),
    )
    what = listing([f"{row.server} ({row.service})" for row in _main(group)])
    if group.about["refused"]:
        why = "Each time the server refuses: it is there, the service is not."
    elif group.about["sender"]:
        why = f"{group.about['sender']} reports that it cannot be reached: it is gone or moved."
    else:
        why = "Nothing ever answers: the server is gone or moved, or a firewall drops."
    return Diagnosis(
        group.about["confidence"],
        f"{who(clients)} asked {what}{every(group.evidence)} {count(group.flows, 'time')} within"
        f" {duration((last - first) / SECOND)}, and never got an answer. {why}",
        f"On {listing(clients)} find the program that asks {listing(servers)} (ss -p dst"
        f" {servers[0]}, timers, package sources, agents' configuration) and remove the entry or"
        " give it the server's new address.",
    )


def _main(group: Group) -> list[Any]:
    """Return a row for each server."""
    return list({row.server: row for row in group.evidence}.values())
