"""Services that never answer, and who goes on asking them.

Several rules look for these; they differ in what the service is, and in what they take for proof.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, groupby
from typing import TYPE_CHECKING, Any, TypeVar

import ibis

from chamaleonet.analysis.findings.case import PAIR
from chamaleonet.analysis.findings.finding import Evidence
from chamaleonet.analysis.findings.rhythm import POLLS, REGULAR, rhythms
from chamaleonet.analysis.times import MINUTE, SECOND

if TYPE_CHECKING:
    from collections.abc import Iterable

    import ibis.expr.types as ir

    from chamaleonet.analysis.findings.case import Case

LEAST = 5  # attempts on a service, of all clients together: fewer are no evidence of anything
MOST = 20_000  # pairs looked at one by one, those with most attempts
STEADY = 20  # requests per flow: the client goes on asking from one port
POLLS_SINCE_REPLY = 60  # as POLLS, where replies came before: those may only be rare
# Local protocols that tell more than they ask: DHCP, NetBIOS datagrams.
_TELLING = ("udp/67", "udp/68", "udp/138", "udp/546", "udp/547")
_MEAN_ONLY = 0.9  # its regularity, for the log tells but its mean period


@dataclass(frozen=True)
class Pair:
    """A client and a service that gave it no reply, or none any more.

    Attributes:
        client, server, service: who asks whom for what.
        flows: failed flows since the last reply.
        erroneous, refused, icmp: of which so many are erroneous, were refused, got ICMP errors.
        requests: the client's packets.
        first, began, last: first packet of the first and of the last flow, and the last packet, ns.
        sender: who sent ICMP errors, None if nobody did.
        outside: the server is outside the network.
        polls: attempts, where they have a rhythm.
        period: seconds from attempt to attempt, None where it is not known.
        regularity: share of gaps that are like the period; 0 where it has none.
        steady: the client asks on and on from one port.
        replied: it replied to this client before.
        alive: it replied to somebody since.
        failed: flows of the client that failed on this service, of any server.
        answered: its flows on this service, of any server, that were answered in the minutes from
            ``first`` to ``last``; None if nobody counted.
    """

    client: str
    server: str
    service: str
    flows: int
    erroneous: int
    refused: int
    icmp: int
    requests: int
    first: int
    began: int
    last: int
    sender: str | None
    outside: bool
    polls: int
    period: float | None
    regularity: float
    steady: bool
    replied: bool
    alive: bool
    failed: int
    answered: int | None

    @property
    def regular(self) -> bool:
        """Whether the client asks at a constant period, so that no answer came in between."""
        least = POLLS_SINCE_REPLY if self.replied else POLLS
        return self.polls >= least and self.regularity >= REGULAR

    @property
    def unheard(self) -> bool:
        """Whether the client may be telling something and not ask for an answer."""
        return self.steady and not self.icmp

    @property
    def share(self) -> float | None:
        """The pair's share of all that the client asked on the service meanwhile."""
        return None if self.answered is None else self.flows / (self.failed + self.answered)

    @property
    def span(self) -> float:
        """Seconds from the first flow to the last."""
        return ((self.last if self.steady else self.began) - self.first) / SECOND

    def evidence(self, detail: str = "") -> Evidence:
        """Return it as a row of evidence."""
        return Evidence(
            host=self.client,
            client=self.client,
            server=self.server,
            service=self.service,
            flows=self.flows,
            erroneous=self.erroneous,
            requests=self.requests,
            first=self.first,
            last=self.last,
            period=self.period if self.regular else None,
            detail=detail or self.outcome,
        )

    @property
    def outcome(self) -> str:
        """What the client got, in words."""
        if self.refused == self.flows:
            return "refused"
        if self.icmp:
            return f"ICMP errors from {self.sender}"
        return "no reply"


_Asking = TypeVar("_Asking", Pair, Evidence)


def dead_pairs(case: Case) -> list[Pair]:
    """Return pairs of clients and services that gave them no reply, or none any more.

    Args:
        case: what to look at.

    Returns:
        At most MOST pairs of services with LEAST attempts, those of most attempts, by server and
        service.
    """
    # The broadcast address of a subnet that nobody configured answers by nobody in particular.
    is_broadcast = case.pairs.server.endswith(".255") & ~case.pairs.service.startswith("tcp")
    pairs = case.pairs.filter(case.pairs.service.notin(_TELLING), ~is_broadcast)
    # A TCP client sends its SYN again by itself; any other request is one of its own.
    is_tcp = pairs.service.startswith("tcp")
    pairs = pairs.mutate(attempts=ibis.ifelse(is_tcp, pairs.flows, pairs.requests))
    service = ["server", "service"]
    often = pairs.group_by(service).having(pairs.attempts.sum() >= LEAST).aggregate()
    pairs = pairs.semi_join(often, service)
    pairs = case.logs.keep(pairs.order_by(ibis.desc("attempts"), *PAIR).limit(MOST))
    if not case.logs.row(pairs.aggregate(pairs=pairs.count()))["pairs"]:
        return []
    replies = case.replies.group_by(service).aggregate(seen=case.replies.replied.max())
    failed = case.pairs.semi_join(pairs, "client")
    failed = failed.group_by("client", "service").aggregate(failed=failed.flows.sum())
    found = pairs
    for more, by in (
        (replies, service),
        (rhythms(case, pairs), PAIR),
        (failed, ["client", "service"]),
        (_answered(case, pairs), PAIR),
    ):
        found = found.left_join(more, by).drop([f"{name}_right" for name in by])
    return [
        _pair(row, counted=case.logs.has_healthy)
        for row in case.logs.rows(found.order_by(*service, "client"))
    ]


def _answered(case: Case, pairs: ir.Table) -> ir.Table:
    """Return answered flows of the client on the service while a pair failed, by PAIR."""
    well = case.well.inner_join(pairs.select(*PAIR, "first", "last"), ["client", "service"])
    well = well.filter(well.minute > well["first"] - MINUTE, well.minute <= well.last)
    return well.group_by(PAIR).aggregate(answered=well.flows.sum())


def _pair(row: dict[str, Any], *, counted: bool) -> Pair:
    polls, period, regularity = row["polls"] or 0, row["period"], row["regularity"] or 0.0
    steady = row["requests"] >= STEADY * row["flows"] and not row["service"].startswith("tcp")
    if steady:
        polls, regularity = row["requests"], _MEAN_ONLY
        period = row["active"] / (row["requests"] - row["flows"]) / SECOND
    return Pair(
        client=row["client"],
        server=row["server"],
        service=row["service"],
        flows=row["flows"],
        erroneous=row["erroneous"],
        refused=row["refused"],
        icmp=row["icmp"],
        requests=row["requests"],
        first=row["first"],
        began=row["began"],
        last=row["last"],
        sender=row["sender"],
        outside=row["outbound"] > 0,
        polls=polls,
        period=period,
        regularity=regularity,
        steady=steady,
        replied=row["replied"] is not None,
        alive=row["seen"] is not None and row["seen"] > row["first"],
        failed=row["failed"],
        answered=(row["answered"] or 0) if counted else None,
    )


def by_server(pairs: Iterable[Pair]) -> list[list[Pair]]:
    """Return pairs, sorted as by ``dead_pairs``, in a list for each server."""
    return [list(its) for _, its in groupby(pairs, lambda pair: pair.server)]


def by_cause(servers: Iterable[list[_Asking]], *, least: int) -> list[list[_Asking]]:
    """Return lists joined where they have the same clients.

    What the same hosts ask for in vain stands in the same configuration: one cause.

    Args:
        servers: pairs or evidence in a list for each server.
        least: how many lists with the same clients are joined.
    """
    alike: dict[frozenset[str | None], list[list[_Asking]]] = {}
    for its in servers:
        alike.setdefault(frozenset(each.client for each in its), []).append(its)
    joined: list[list[_Asking]] = []
    for lists in alike.values():
        joined += [list(chain.from_iterable(lists))] if len(lists) >= least else lists
    return joined
