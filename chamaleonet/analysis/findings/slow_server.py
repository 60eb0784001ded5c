"""A server that answers, but only when nobody waits any more.

Its flows came to a verdict before its reply came, and are no failures: a finding explains none.
How many replies came in time only counters tell, by internal host and without the peer. Of what
comes in, that host is the server.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby
from statistics import median
from typing import TYPE_CHECKING, Any

import ibis

from chamaleonet.analysis.findings import dns_dead_resolver
from chamaleonet.analysis.findings.case import PAIR
from chamaleonet.analysis.findings.dead import by_cause
from chamaleonet.analysis.findings.finding import Diagnosis, Evidence, Group, by_flows, grown
from chamaleonet.analysis.findings.words import count, duration, listing, who
from chamaleonet.analysis.late import late_replies
from chamaleonet.analysis.source import FAILED
from chamaleonet.analysis.times import MINUTE, floor

if TYPE_CHECKING:
    from collections.abc import Sequence

    import ibis.expr.types as ir

    from chamaleonet.analysis.findings.case import Case

KIND = "slow_server"
LATE = 10  # late replies of a server, to all who ask it often enough
# One hold-up makes everything late that was asked before it ended. Replies are late at different
# times if each was asked for after the one before had come: of a server, and of who asks it.
TIMES, TIMES_EACH = 5, 3
# Of all that is asked meanwhile. A resolver that asks others, who do not answer, is late once in a
# hundred times; who loses every tenth packet has every tenth reply late.
SHARE = 0.1
SAME = 4  # servers late for the same clients: it is the way to them
MOST = 5000  # rows of evidence, those of most flows
_SURE = 0.9
# As sure, where clients had asked again before the reply: then the first request may be lost, or
# both ends may speak when they like. A TCP client always asks again so late.
_ASKED_AGAIN = 0.5

# What to do. The system takes a connection and not the program, so it is late for other reasons.
_NAMES = (
    "find out which names are slow (dig), whether forwarders answer, and whether it limits rates"
)
_CONNECTIONS = (
    "look at what holds new connections back: a full queue (ss -lnt, nstat TcpExtListenDrops), a"
    " rate limit, a proxy that waits for its backend, a host that sleeps"
)
_DATAGRAMS = "look at load, at backends that are waited for, at reverse-DNS lookups and rate limits"

# Who asks a service of a server: an internal host, or all who ask from outside.
ASKER = ("host", "direction", "server", "service")
_HOSTS_OWN = ("host", "direction", "service")  # what counters tell


def find(case: Case) -> list[Group]:
    """Return servers whose replies are late for those who ask them, again and again."""
    if not case.logs.has_healthy:
        return []  # nobody knows how many replies came in time
    slow = case.logs.keep(_late(case))
    slow = case.logs.keep(slow.semi_join(_often(case, slow), ASKER))
    service = ("server", "service")
    many = slow.group_by(service).having(slow.count() >= LATE).aggregate()
    slow = slow.semi_join(many, service).semi_join(_at_times(slow, service, TIMES), service)
    rows = case.logs.rows(_askers(slow).order_by(ibis.desc("flows"), *ASKER).limit(MOST))
    known = {_evidence(row): row for row in sorted(rows, key=lambda row: str(row["server"]))}
    servers = [list(its) for _, its in groupby(known, lambda row: row.server)]
    # Nobody knows what clients outside have in common.
    alone = [its for its in servers if any(row.client is None for row in its)]
    alike = by_cause([its for its in servers if its not in alone], least=SAME)
    return [_group(its, known) for its in (*alone, *alike)]


def _late(case: Case) -> ir.Table:
    """Return late replies that nothing has explained, to clients in and outside."""
    columns = (*PAIR, "host", "direction", "first", "last", "judged", "reply_delay", "attempts")
    inside = late_replies(case.unexplained(), case.options).select(*columns)
    return inside.union(late_replies(case.from_outside, case.options).select(*columns))


def _often(case: Case, slow: ir.Table) -> ir.Table:
    """Return the askers for whom a server is late at different times, and often enough."""
    askers = slow.semi_join(_at_times(slow, ASKER, TIMES_EACH), ASKER)
    askers = askers.group_by(ASKER).aggregate(
        late=askers.count(), since=askers["first"].min() - MINUTE, until=askers["first"].max()
    )
    askers = case.logs.keep(askers)
    well = case.logs.healthy
    well = well.filter(well.verdict == "answered", well.host.notnull())
    answered = askers.inner_join(well.select(*_HOSTS_OWN, "minute", "flows"), _HOSTS_OWN)
    answered = answered.filter(answered.minute > answered.since, answered.minute <= answered.until)
    answered = answered.group_by(ASKER).aggregate(answered=answered.flows.sum())
    # Where answered flows are logged, it is known which of the counted ones were another server's.
    tried = case.logs.tried
    tried = tried.filter(tried.verdict.isin(("answered", *FAILED)))
    tried = tried.select(
        *_HOSTS_OWN, "verdict", minute=floor(tried["first"], MINUTE), asked=tried.server
    )
    logged = askers.inner_join(tried, _HOSTS_OWN)
    logged = logged.filter(logged.minute > logged.since, logged.minute <= logged.until)
    here, is_answer = logged.asked == logged.server, logged.verdict == "answered"
    logged = logged.group_by(ASKER).aggregate(
        failed=(here & ~is_answer).sum(), elsewhere=(~here & is_answer).sum()
    )
    found = askers.left_join(answered, ASKER).drop([f"{name}_right" for name in ASKER])
    found = found.left_join(logged, ASKER)
    in_time = found.answered.fill_null(0) - found.elsewhere.fill_null(0) + found.failed.fill_null(0)
    return found.filter(found.late >= (found.late + ibis.greatest(in_time, 0)) * SHARE)


def _at_times(slow: ir.Table, by: Sequence[str], times: int) -> ir.Table:
    """Return keys with so many late replies of which each was asked for after the one before."""
    ends = slow.group_by(by).aggregate(end=slow.judged.min())
    for _ in range(times - 1):
        later = slow.inner_join(ends, by)
        later = later.filter(later["first"] > later.end)
        ends = later.group_by(by).aggregate(end=later.judged.min())
    return ends


def _askers(slow: ir.Table) -> ir.Table:
    asked_once = slow.service.startswith("tcp") | (slow.attempts == 1)
    return slow.group_by(ASKER).aggregate(
        flows=slow.count(),
        once=asked_once.sum(),
        requests=slow.attempts.sum(),
        first=slow["first"].min(),
        last=slow["last"].max(),
        delay=slow.reply_delay.quantile(0.5),
        clients=slow.client.nunique(),
        client=slow.client.max(),
    )


def _evidence(row: dict[str, Any]) -> Evidence:
    who_asks = "" if row["clients"] == 1 else f"{count(row['clients'], 'client')} "
    return Evidence.of(
        row,
        # A server outside is for others to mend.
        host=None if row["direction"] == "outbound" else row["server"],
        client=row["client"] if row["clients"] == 1 else None,
        erroneous=0,
        detail=f"answers {who_asks}after {duration(row['delay'])}",
        late=True,
    )


def _group(evidence: list[Evidence], known: dict[Evidence, dict[str, Any]]) -> Group:
    rows = [known[row] for row in evidence]
    about = {
        "delay": median(row["delay"] for row in rows),
        "once": sum(row["once"] for row in rows) / sum(row["flows"] for row in rows),
    }
    if len({row.server for row in evidence}) >= SAME:
        evidence = [replace(row, host=None) for row in evidence]
    # Who has to wait is named where it is nobody inside who is to be mended.
    hosts = None if any(row.host for row in evidence) else by_flows(evidence, "client")
    return Group(evidence, about, hosts)


def tell(group: Group) -> Diagnosis:
    """Return what so many late replies mean."""
    clients, servers = by_flows(group.evidence, "client"), group.servers
    services = by_flows(group.evidence, "service")
    asking = who(clients) if all(row.client for row in group.evidence) else "its clients"
    once = group.about["once"]
    lost = " Most had asked again by then: requests may be lost on the way." if once < 0.5 else ""
    return Diagnosis(
        _SURE * (_ASKED_AGAIN + (1 - _ASKED_AGAIN) * once) * grown(group.flows, LATE / 2),
        f"{listing(servers)} ({listing(services)}) answered {asking}, but only after"
        f" {duration(group.about['delay'])}, {count(group.flows, 'time')}: users wait, programs"
        f" give up or ask again, and the verdict came before the reply.{lost}",
        f"{_where(group)} If replies are late by design (devices that"
        " sleep, answers that wait for news), raise `timeout`.",
    )


def _where(group: Group) -> str:
    """Return where to look for what makes replies late."""
    clients, servers = listing(by_flows(group.evidence, "client") or [""]), group.servers
    if len(servers) >= SAME:
        return (
            f"Look at what is between {clients} and all of them: a full or lossy line, a proxy, a"
            " firewall with too much to do."
        )
    services = by_flows(group.evidence, "service")
    if any(service in dns_dead_resolver.SERVICES for service in services):
        look = _NAMES
    else:
        look = _CONNECTIONS if all(each.startswith("tcp") for each in services) else _DATAGRAMS
    if any(row.host for row in group.evidence):
        return f"On {listing(servers)} {look}."
    return f"Let who runs {listing(servers)} {look}; or let {clients} use another."
