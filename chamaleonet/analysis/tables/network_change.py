"""Table 12: failures of hosts whose address has just appeared.

S. Guha, J. Chandrashekar, N. Taft, K. Papagiannaki, "How Healthy are Today's Enterprise
Networks?", IMC 2008: who moves to another network goes on asking for what was in the old one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ibis

from chamaleonet.analysis.shares import share
from chamaleonet.analysis.source import FAILED
from chamaleonet.analysis.spans import observed
from chamaleonet.analysis.table import Options, Table
from chamaleonet.analysis.times import HOUR, MINUTE, SECOND, floor

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from chamaleonet.analysis.source import Logs

WINDOW = HOUR  # what fails later has nothing to do with the change
SECONDS = (10, 30, 60, 120, 180, 240, 300, 600, 900, 1800, 3600)  # of the curve
ONE_MINUTE, FOUR_MINUTES = 60, 240  # Guha et al.: 77% and 90% of the failures
BEGUN_INSIDE = ("outbound", "internal")

_NOTE = (
    "Failures are flows that a host began and that got no reply, an ICMP error or a refusal (Guha"
    " et al., IMC 2008), counted by the time since the host's address was first active: began a"
    " flow, or answered one. Healthy flows are counted by the minute, so where one came first the"
    f" age is up to 60 s too large. Shares are of the failures in the first {WINDOW // HOUR} hour."
    " Hosts that were active in the log's first hour (its first tenth if it is shorter than ten"
    " hours) are left out: they may have been there before. Previously contacted are servers that"
    " the log has with any host, on that port, before the new one appeared: what the host itself"
    " asked for under another address cannot be told, for the log has no other name of a host."
    " An address that comes back is not new."
)


def table(logs: Logs, options: Options) -> Table:  # noqa: ARG001
    """Return failures by seconds since their host was first seen."""
    return Table(
        name="network_change",
        title="Network change",
        unit="flow",
        vantage="flows that begin at internal hosts whose address is new",
        note=_NOTE,
        value=_value(logs),
        columns={
            "seconds": ("within so long of the host's appearance", "seconds"),
            "failures": ("failures", "flows"),
            "share": ("of those in the first hour", "share"),
            "hosts": ("new hosts", "hosts"),
            "failing_hosts": ("new hosts with a failure", "hosts"),
            "first_minute": ("in the first minute", ""),
            "first_four_minutes": ("in the first four minutes", ""),
            "previously_contacted": ("to servers contacted before, of those in four minutes", ""),
            "later": ("failures after the first hour", "flows"),
        },
    )


def _value(logs: Logs) -> dict[str, Any]:
    hosts = logs.arrow(_new_hosts(logs))  # as many as there are internal addresses
    new = ibis.memtable(hosts)
    flows = logs.flows
    failures = flows.filter(flows.direction.isin(BEGUN_INSIDE), flows.verdict.isin(FAILED))
    failures = failures.inner_join(new, "host")
    failures = failures.mutate(age=failures.first - failures.appeared)
    counts = logs.row(
        failures.aggregate(
            failing_hosts=failures.host.nunique(where=failures.age < WINDOW),
            later=(failures.age >= WINDOW).sum().fill_null(0),
            **{
                f"within_{seconds}": (failures.age < seconds * SECOND).sum().fill_null(0)
                for seconds in SECONDS
            },
        )
    )
    total = counts[f"within_{WINDOW // SECOND}"]
    soon = failures.filter(failures.age < FOUR_MINUTES * SECOND)
    known = logs.row(_known_before(flows, soon).aggregate(lambda rows: rows.count().name("flows")))
    return {
        "hosts": hosts.num_rows,
        "failing_hosts": counts["failing_hosts"],
        "failures": total,
        "later": counts["later"],
        "first_minute": share(counts[f"within_{ONE_MINUTE}"], total),
        "first_four_minutes": share(counts[f"within_{FOUR_MINUTES}"], total),
        "previously_contacted": share(known["flows"], counts[f"within_{FOUR_MINUTES}"]),
        "curve": [
            {
                "seconds": seconds,
                "failures": counts[f"within_{seconds}"],
                "share": share(counts[f"within_{seconds}"], total),
            }
            for seconds in SECONDS
        ],
    }


def _new_hosts(logs: Logs) -> ir.Table:
    """Return the hosts that appeared in the log and were not there before: host, appeared."""
    begin, end = observed(logs) or (0, 0)
    flows, well = logs.flows, logs.healthy
    flows = flows.filter(flows.direction.isin(BEGUN_INSIDE))
    # What comes in from outside and is not answered tells nothing of a host.
    well = well.filter(well.direction.isin(BEGUN_INSIDE) | (well.verdict == "answered"))
    seen = ibis.union(
        flows.select("host", exact=flows.first, minute=ibis.null("int64")),
        well.select("host", exact=ibis.null("int64"), minute=well.minute),
    )
    hosts = seen.group_by("host").aggregate(exact=seen.exact.min(), minute=seen.minute.min())
    hosts = hosts.mutate(
        appeared=ibis.cases(
            (hosts.exact.isnull(), hosts.minute),
            (hosts.minute < floor(hosts.exact, MINUTE), hosts.minute),
            else_=hosts.exact,
        )
    )
    lead = min(HOUR, (end - begin) // 10)
    return hosts.filter(hosts.host.notnull(), hosts.appeared >= begin + lead).select(
        "host", "appeared"
    )


def _known_before(flows: ir.Table, failures: ir.Table) -> ir.Table:
    """Return the failures to servers that were in the log before the host appeared."""
    key = ("server", "service")
    flows = flows.semi_join(failures.select(key).distinct(), key)
    services = flows.group_by(key).aggregate(since=flows.first.min())
    both = failures.inner_join(services, key)
    return both.filter(both.since < both.appeared)
