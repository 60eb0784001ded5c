"""One server that was down for a while: it answered before, and does again.

Counters do not tell who answered. But where clients ask on a service all the time, and fewer
answers are counted while they fail on a server than in any minute around, it is that server whose
answers are missing.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

import ibis

from chamaleonet.analysis.findings.finding import Diagnosis, Evidence, Group, by_flows, grown
from chamaleonet.analysis.findings.words import count, duration, listing, who
from chamaleonet.analysis.source import FAILED
from chamaleonet.analysis.times import MINUTE, SECOND, floor, iso

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from chamaleonet.analysis.findings.case import Case

KIND = "server_outage"
LEAST = 10  # failures in a row
SECONDS = 10  # that they last: less is a burst
PAUSE = 2 * MINUTE  # without a failure, and they are over
AROUND = 3  # minutes before and after that are looked at: in each there must be answers
# Of the answers that such a time should have had, by the minute around it that had fewest, so many
# must be missing, and more than come and go by chance (standard deviations, as of a Poisson
# process). Were it other servers that answered, none would.
MISSING, CHANCE = 0.5, 2
MOST_OF_THEM = 0.8  # of the clients' failures on the service meanwhile: else it is not the server
# One client alone may have been cut off itself.
_SURE, _SURE_OF_ONE = 0.9, 0.6
MOST = 5000  # rows of evidence, those of most flows

_SERVICE = ("direction", "server", "service")
_RUN = (*_SERVICE, "run")  # failures in a row


def find(case: Case) -> list[Group]:
    """Return servers that failed for a while for clients that they answered before and after."""
    failed = case.unexplained()
    failed = failed.filter(failed.verdict.isin(FAILED))
    runs = case.logs.keep(_runs(case, failed))
    runs = runs.semi_join(_missing(case, runs), _RUN).anti_join(_elsewhere(failed, runs), _RUN)
    runs = case.logs.keep(runs)
    found = runs.group_by(_RUN).aggregate(
        flows=runs.flows.sum(),
        erroneous=runs.erroneous.sum(),
        requests=runs.requests.sum(),
        first=runs.since.min(),
        last=runs.until.max(),
        clients=runs.count(),
    )
    rows = case.logs.rows(found.order_by(ibis.desc("flows"), *_RUN).limit(MOST))
    rows.sort(key=lambda row: str(row["server"]))
    clients: dict[str, list[str]] = {}
    asking = runs.group_by("server", "client").aggregate(flows=runs.flows.sum())
    for row in case.logs.rows(asking.order_by("server", ibis.desc("flows"), "client")):
        clients.setdefault(row["server"], []).append(row["client"])
    return [
        _group(list(its), clients[server])
        for server, its in groupby(rows, lambda row: row["server"])
    ]


def _runs(case: Case, failed: ir.Table) -> ir.Table:
    """Return failures in a row, by client, with ``since`` and ``until``, of all clients' together.

    Those only that lie in the log with all of what is around them.
    """
    often = failed.group_by(_SERVICE).having(failed.count() >= LEAST).aggregate()
    flows = failed.semi_join(often, _SERVICE)
    order = {"group_by": _SERVICE, "order_by": ["first", "client"]}
    flows = flows.mutate(gap=flows["first"] - flows["first"].lag().over(ibis.window(**order)))
    begins = (flows.gap.fill_null(0) > PAUSE).cast("int64")
    flows = flows.mutate(run=begins.sum().over(ibis.cumulative_window(**order)))
    spans = flows.group_by(_RUN).aggregate(
        failed=flows.count(), since=flows["first"].min(), until=flows["first"].max()
    )
    spans = spans.filter(
        spans.failed >= LEAST,
        spans.until - spans.since >= SECONDS * SECOND,
        floor(spans.since, MINUTE) - AROUND * MINUTE >= case.begin - MINUTE,
        floor(spans.until, MINUTE) + AROUND * MINUTE <= case.end,
    )
    clients = flows.group_by((*_RUN, "client")).aggregate(
        flows=flows.count(), erroneous=flows.erroneous.sum(), requests=flows.attempts.sum()
    )
    return clients.inner_join(spans, _RUN)


def _missing(case: Case, runs: ir.Table) -> ir.Table:
    """Return the runs in whose minutes their clients lack answers that they had around."""
    well = case.logs.healthy
    well = well.filter(well.verdict == "answered")
    well = well.select("direction", "service", "minute", "flows", client=well.host)
    spans = runs.select(
        *_RUN, "client", "since", "until",
        begin=floor(runs.since, MINUTE), end=floor(runs.until, MINUTE),
    )  # fmt: skip
    near = spans.inner_join(well, ("client", "direction", "service"), rname="answered_{name}")
    near = near.filter(
        near.minute >= near.begin - AROUND * MINUTE, near.minute <= near.end + AROUND * MINUTE
    )
    minutes = near.group_by((*_RUN, "since", "until", "begin", "end", "minute")).aggregate(
        answered=near.flows.sum()
    )
    inside = minutes.minute.between(minutes.begin, minutes.end)
    sums = minutes.group_by((*_RUN, "since", "until", "begin", "end")).aggregate(
        during=minutes.answered.sum(where=inside).fill_null(0),
        fewest=minutes.answered.min(where=~inside),
        around=(~inside).sum(),
    )
    usual = sums.fewest * ((sums.end - sums.begin) / MINUTE + 1)
    of_run = sums.fewest * ((sums.until - sums.since) / MINUTE)
    return sums.filter(
        sums.around == 2 * AROUND,
        usual - sums.during >= ibis.greatest(of_run * MISSING, usual.sqrt() * CHANCE),
    )


def _elsewhere(failed: ir.Table, runs: ir.Table) -> ir.Table:
    """Return the runs whose clients failed on other servers of the service, too."""
    spans = runs.select(*_RUN, "client", "since", "until", "failed")
    flows = failed.select("client", "direction", "service", "first", other=failed.server)
    near = spans.inner_join(flows, ("client", "direction", "service"))
    near = near.filter(near["first"] >= near.since, near["first"] <= near.until)
    sums = near.group_by((*_RUN, "failed")).aggregate(all_failed=near.count())
    return sums.filter(sums.failed < sums.all_failed * MOST_OF_THEM)


def _group(rows: list[dict[str, Any]], clients: list[str]) -> Group:
    alone = clients[0] if len(clients) == 1 else None
    evidence = [
        Evidence.of(
            row,
            # A server outside is for others to mend.
            host=row["server"] if row["direction"] == "internal" else None,
            client=alone,
            detail=f"{count(row['clients'], 'client')}, for"
            f" {duration((row['last'] - row['first']) / SECOND)}",
            timed=True,
        )
        for row in rows
    ]
    return Group(
        evidence,
        {"clients": clients},
        None if any(row.host for row in evidence) else clients,
    )


def tell(group: Group) -> Diagnosis:
    """Return what failures between answers mean."""
    clients, server = group.about["clients"], group.servers[0]
    longest = max(group.evidence, key=lambda row: (row.last - row.first, -row.first))
    times = len({row.first for row in group.evidence})
    often = f"{count(times, 'time')}, the longest" if times > 1 else "once,"
    alone = len(clients) == 1
    doubt = f" Nobody else noticed: it may be {clients[0]} that was cut off." if alone else ""
    return Diagnosis(
        (_SURE_OF_ONE if alone else _SURE) * grown(group.flows, LEAST / 2),
        f"{server} ({listing(by_flows(group.evidence, 'service'))}) was down {often} from"
        f" {iso(longest.first // SECOND * SECOND)} for"
        f" {duration((longest.last - longest.first) / SECOND)}: {who(clients, 'client')} failed"
        f" {count(group.flows, 'time')}, and had answers before and after.{doubt}",
        f"Look at what happened to {server} at that time: a restart, an update, a crash, its logs"
        " (journalctl --since). Let its clients have a second one if they cannot wait.",
    )
