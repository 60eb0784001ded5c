"""Table 7: who tries one address after the other, and who tries very many.

R. Pang, M. Allman, M. Bennett, J. Lee, V. Paxson, B. Tierney, "A First Look at Modern Enterprise
Traffic", IMC 2005, section 3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import ibis

from chamaleonet.analysis.addresses import ipv4_number, ipv6_digits, is_ipv6
from chamaleonet.analysis.shares import share
from chamaleonet.analysis.source import ASKED, FAILED
from chamaleonet.analysis.table import Options, Table

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from chamaleonet.analysis.source import Logs

FEW_SERVERS = 50  # a scanner contacts more
RUN = 45  # servers in a row, in the order of their addresses
MOST = 200  # rows listed
_NOTE = (
    f"A scanner contacted more than {FEW_SERVERS} distinct servers, and {RUN} or more of them one"
    " after the other in ascending or descending order of their addresses (Pang et al., IMC 2005)."
    " Order is that of first contacts, on each port by itself where there are more than"
    f" {FEW_SERVERS} servers, and over all other ports together. Fan-out lists every client of more"
    f" than {FEW_SERVERS} servers. What was answered in time is not logged, so such contacts are"
    " not seen; the failure ratio, failed/judged flows, does count them, and is known of internal"
    " clients only. Anonymised addresses keep prefixes but no order: there fan-out has to do."
)
_CLIENT = {
    "client": ("client", ""),
    "direction": ("direction", ""),
    "servers": ("distinct servers", "servers"),
    "services": ("protocols and ports", ""),
    "longest_run": ("longest run", "servers"),
    "order": ("order", ""),
    "flows": ("logged flows", "flows"),
    "failed": ("failed flows", "flows"),
    "erroneous": ("erroneous flows", "flows"),
    "failure_ratio": ("failure ratio", "share"),
    "begin": ("first", "UTC"),
    "end": ("last", "UTC"),
}


class Found(NamedTuple):
    """Clients of many servers, kept by the engine.

    Attributes:
        fan_out: one row per client: ``client``, ``direction``, ``servers``, ``services``,
            ``flows``, ``failed``, ``erroneous``, ``begin`` and ``end`` (ns).
        scanners: those that are scanners, with ``ascending`` and ``descending`` too: servers in
            the longest run.
    """

    fan_out: ir.Table
    scanners: ir.Table


def table(logs: Logs, options: Options) -> Table:  # noqa: ARG001
    """Return scanners and other clients of many servers."""
    found = find(logs)
    scanning = found.scanners
    sums = logs.row(
        scanning.aggregate(scanners=scanning.count(), flows=scanning.erroneous.sum().fill_null(0))
    )
    total = logs.row(logs.flows.aggregate(flows=logs.flows.erroneous.sum().fill_null(0)))
    return Table(
        name="scanners",
        title="Scanners and fan-out",
        unit="client",
        vantage="all directions, by the address that began the flows",
        note=f"{_NOTE} Listed are the {MOST} clients of most servers.",
        value={
            "scanners": sums["scanners"],
            "scanner_flows": sums["flows"],
            "scanner_share": share(sums["flows"], total["flows"]),
            "list": _rows(logs, scanning),
            "fan_out": _rows(logs, found.fan_out),
        },
        columns={
            "scanners": ("scanners", "clients"),
            "scanner_flows": ("their erroneous flows", "flows"),
            "scanner_share": ("their share of all erroneous flows", "share"),
            **_CLIENT,
        },
    )


def clients(logs: Logs) -> list[str]:
    """Return the addresses of all scanners, for ``Logs.without``."""
    with logs.scratch():
        addresses = find(logs).scanners.select("client").order_by("client")
        return [row["client"] for row in logs.rows(addresses)]


def find(logs: Logs) -> Found:
    """Return the clients of more than FEW_SERVERS servers, and who of them is a scanner."""
    many = logs.keep(_many(logs.tried))
    contacts = logs.keep(_contacts(logs.tried.semi_join(many, "client")))
    scopes = logs.keep(_scopes(contacts))
    services = scopes.group_by("client").aggregate(services=scopes.count())
    fan_out = logs.keep(many.inner_join(services, "client"))
    # A client's servers are of its own IP version, so each version is ordered in its own way.
    contacts = contacts.inner_join(scopes, ["client", "service"])
    six = is_ipv6(contacts.server)
    keys = (
        contacts.filter(~six).mutate(key=ipv4_number(contacts.server)),
        contacts.filter(six).mutate(key=ipv6_digits(contacts.server)),
    )
    runs = ibis.union(*map(_runs, keys))
    longest = (
        runs.inner_join(scopes, "scope")
        .group_by("client")
        .aggregate(ascending=runs.ascending.max(), descending=runs.descending.max())
    )
    return Found(fan_out, logs.keep(fan_out.inner_join(longest, "client")))


def _many(tried: ir.Table) -> ir.Table:
    """Return the clients of many servers; their services would cost as much to count here."""
    many = tried.group_by("client").having(tried.server.nunique() > FEW_SERVERS)
    return many.aggregate(
        direction=tried.direction.max(),
        servers=tried.server.nunique(),
        flows=tried.count(),
        failed=tried.verdict.isin(FAILED).sum(),
        erroneous=tried.erroneous.sum(),
        begin=tried["first"].min(),
        end=tried["first"].max(),
    )


def _contacts(tried: ir.Table) -> ir.Table:
    """Return who contacted whom by service, and when first."""
    keys = ["client", "service", "server"]
    return tried.group_by(keys).aggregate(first=tried["first"].min())


def _scopes(contacts: ir.Table) -> ir.Table:
    """Return in which of its client's sequences of contacts a service is, by number.

    A service of many servers is a sequence by itself, all others of the client are one together:
    so a worm is found in the midst of what else its host does.
    """
    sizes = contacts.group_by(["client", "service"]).aggregate(servers=contacts.count())
    name = ibis.ifelse(sizes.servers > FEW_SERVERS, sizes.service, "")
    scopes = sizes.select("client", "service", name=name)
    return scopes.select(
        "client", "service", scope=ibis.dense_rank().over(order_by=[scopes.client, scopes.name])
    )


def _runs(contacts: ir.Table) -> ir.Table:
    """Return the longest runs of each scope in ascending and descending order, from RUN servers.

    Args:
        contacts: ``scope``, ``first``, and ``key``, by which servers are ordered.
    """
    firsts = contacts.group_by(["scope", "key"]).aggregate(first=contacts["first"].min())
    order = {"group_by": "scope", "order_by": ["first", "key"]}
    steps = firsts.mutate(
        position=ibis.row_number().over(ibis.window(**order)),
        before=firsts.key.lag().over(ibis.window(**order)),
    )

    def length(breaks: ir.BooleanColumn) -> ir.IntegerColumn:
        """How many servers lie between here and where the order was last broken."""
        broken = ibis.ifelse(breaks.fill_null(True), steps.position, None)
        return steps.position - broken.max().over(ibis.cumulative_window(**order)) + 1

    runs = steps.select(
        "scope",
        ascending=length(steps.key <= steps.before),
        descending=length(steps.key >= steps.before),
    )
    longest = runs.group_by("scope").aggregate(
        ascending=runs.ascending.max(), descending=runs.descending.max()
    )
    return longest.filter((longest.ascending >= RUN) | (longest.descending >= RUN))


def _rows(logs: Logs, found: ir.Table) -> list[dict[str, Any]]:
    """Return the clients of most servers, and how much they failed."""
    listed = found.order_by(ibis.desc("servers"), "client").limit(MOST)
    asked = logs.counts.filter(
        logs.counts.direction.isin(("outbound", "internal")), logs.counts.verdict.isin(ASKED)
    )
    judged = asked.group_by("host").aggregate(judged=asked.flows.sum())
    joined = listed.left_join(judged, listed.client == judged.host)
    rows = logs.rows(
        joined.order_by(ibis.desc("servers"), "client").drop("host"), times=("begin", "end")
    )
    return [_row(row, known=logs.has_healthy) for row in rows]


def _row(row: dict[str, Any], *, known: bool) -> dict[str, Any]:
    judged = row.pop("judged")
    if "ascending" in row:
        ascending, descending = row.pop("ascending"), row.pop("descending")
        row["longest_run"] = max(ascending, descending)
        row["order"] = "ascending" if ascending >= descending else "descending"
    row["failure_ratio"] = share(row["failed"], judged) if known else None
    return row
