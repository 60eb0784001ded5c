"""Two services tried at once, of which one fails and the other answers.

Nothing is broken for the user, so nobody notices. The classic is a Windows client that opens TCP
445 and 139 to each file server and is refused on one (S. Guha, J. Chandrashekar, N. Taft,
K. Papagiannaki, "How Healthy Are Today's Enterprise Networks?", IMC 2008).
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

import ibis
import pyarrow as pa

from chamaleonet.analysis.findings.case import PAIR, REPLIED, rows_of
from chamaleonet.analysis.findings.finding import Diagnosis, Evidence, Group, by_flows, grown
from chamaleonet.analysis.findings.words import count, listing, who
from chamaleonet.analysis.source import FAILED
from chamaleonet.analysis.times import MINUTE, SECOND, floor

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from chamaleonet.analysis.findings.case import Case

KIND = "parallel_ports"

# Services that programs try beside each other, and what to do where the first one fails.
_NETBIOS = (
    "Turn off NetBIOS over TCP/IP on the clients (DHCP option 43, or the adapter's WINS settings):"
    " SMB needs port 445 only."
)
KNOWN = {
    ("tcp/139", "tcp/445"): _NETBIOS,
    ("tcp/445", "tcp/139"): "Serve SMB on port 445, or let it through, and turn off NetBIOS.",
    ("udp/443", "tcp/443"): "Let UDP 443 (QUIC) out, reject it so that browsers need not wait, or"
    " turn QUIC off by policy.",
    ("tcp/853", "udp/53"): "Let DNS over TLS (TCP 853) through to the resolver, or turn"
    " opportunistic DNS over TLS off.",
    ("udp/3389", "tcp/3389"): "Let UDP 3389 through to the desktops, or turn the UDP transport of"
    " Remote Desktop off.",
}
LEAST = 10  # failures of a service beside another, of all clients
A_CLIENT = 3  # of one client
AT_ONCE = 2 * SECOND  # the tries of one occasion begin within that
BESIDE = 0.8  # of a client's failures on the service had an answer of the other beside them
FAILING = 0.5  # of a client's flows on the service failed
_COUNTED = 0.8  # as sure, where answers are known by counters only: not who gave them
MOST = 5000  # rows of evidence, those of most flows


def find(case: Case) -> list[Group]:
    """Return services that fail beside others that answer."""
    sure: dict[tuple[str, str], tuple[float, str]] = {}
    for certainty, together in ((_COUNTED, _counted(case)), (1.0, _logged(case))):
        for row in case.logs.rows(_mostly(case, together)):
            client, service, other, beside = row.values()
            sure[client, service] = max(
                sure.get((client, service), (0.0, "")), (certainty * min(1.0, beside), other)
            )
    if not sure:
        return []
    keys = rows_of(
        [
            {"client": client, "service": service, "other": other, "sure": certainty}
            for (client, service), (certainty, other) in sure.items()
        ],
        {"client": pa.string(), "service": pa.string(), "other": pa.string(),
         "sure": pa.float64()},
    )  # fmt: skip
    failing = case.pairs.inner_join(keys, ["client", "service"])
    rows = case.logs.rows(failing.order_by(ibis.desc("flows"), *PAIR).limit(MOST))
    groups = (list(its) for _, its in groupby(sorted(rows, key=_services), _services))
    return [_group(its) for its in groups if sum(row["flows"] for row in its) >= LEAST]


def _services(row: dict[str, Any]) -> tuple[str, str]:
    return row["service"], row["other"]


def _group(rows: list[dict[str, Any]]) -> Group:
    return Group(
        [
            Evidence.of(
                row,
                host=row["client"],
                detail=f"{'refused' if row['refused'] else 'failed'}, {row['other']} answered",
            )
            for row in rows
        ],
        {
            "service": rows[0]["service"],
            "other": rows[0]["other"],
            "sure": max(row["sure"] for row in rows),
        },
    )


def _logged(case: Case) -> ir.Table:
    """Return how often a client's failure had an answer of the same server beside it.

    By ``client``, ``service`` and ``other``, in ``together``. A packet logger's log has late
    answers only; ``replay --all-flows`` logs them all.
    """
    replied = case.flows.filter(case.flows.verdict.isin(REPLIED))
    other = replied.select(
        "client", "server", other=replied.service, at=floor(replied["first"], AT_ONCE)
    )
    failed = _failed(case, case.pairs.semi_join(case.replies, ["client", "server"]))
    failed = failed.mutate(at=floor(failed["first"], AT_ONCE))
    beside = failed.inner_join(other.distinct(), ["client", "server", "at"])
    beside = beside.filter(beside.service != beside.other)
    return beside.group_by("client", "service", "other").aggregate(together=beside.count())


def _counted(case: Case) -> ir.Table:
    """Return how often a client's failure had an answer on a KNOWN other service beside it.

    Counters do not tell the server, so this is asked of services only that are known to be tried
    together, and minute by minute.
    """
    known = rows_of(
        [{"service": service, "other": other} for service, other in KNOWN],
        {"service": pa.string(), "other": pa.string()},
    )
    failed = _failed(case, case.pairs.semi_join(known, "service"))
    failed = failed.group_by("client", "service", minute=floor(failed["first"], MINUTE)).aggregate(
        failed=failed.count()
    )
    well = case.well.group_by("client", "minute", other="service").aggregate(
        answered=case.well.flows.sum()
    )
    beside = failed.inner_join(known, "service").inner_join(well, ["client", "other", "minute"])
    return beside.group_by("client", "service", "other").aggregate(
        together=ibis.least(beside.failed, beside.answered).sum()
    )


def _failed(case: Case, pairs: ir.Table) -> ir.Table:
    return case.flows.filter(case.flows.verdict.isin(FAILED)).semi_join(pairs, PAIR)


def _mostly(case: Case, together: ir.Table) -> ir.Table:
    """Return client, service, other and beside, the share of failures, where it is high."""
    by = ["client", "service"]
    failed = case.pairs.group_by(by).aggregate(failed=case.pairs.flows.sum())
    own = together.inner_join(failed, by).left_join(case.answered, by)
    own = own.filter(
        own.failed >= A_CLIENT,
        own.together >= own.failed * BESIDE,
        own.failed >= (own.failed + own.answered.fill_null(0)) * FAILING,
    )
    own = own.select("client", "service", "other", beside=own.together / own.failed)
    return own.order_by(ibis.desc("beside"), "client", "service", "other").limit(MOST)


def tell(group: Group) -> Diagnosis:
    """Return what a service that fails beside another means."""
    service, other = group.about["service"], group.about["other"]
    clients, servers = by_flows(group.evidence, "client"), group.servers
    fix = KNOWN.get(
        (service, other),
        f"Let {listing(servers)} serve {service}, or configure {listing(clients)} to use {other}"
        " only; where a firewall drops, let it reject, so that nobody waits.",
    )
    return Diagnosis(
        group.about["sure"] * grown(group.flows, LEAST / 2),
        f"{who(clients)} tried {service} and {other} of {who(servers, 'server')} at once,"
        f" {count(group.flows, 'time')}: {service} failed while {other} answered.",
        fix,
    )
