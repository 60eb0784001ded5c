"""Table 3: success by host pair. Counted so, what retries by itself weighs no more than the rest.

R. Pang, M. Allman, M. Bennett, J. Lee, V. Paxson, B. Tierney, "A First Look at Modern Enterprise
Traffic", IMC 2005, table 9.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ibis

from chamaleonet.analysis.shares import share
from chamaleonet.analysis.source import split_service
from chamaleonet.analysis.table import Options, Table

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from chamaleonet.analysis.source import Logs

MOST_PORTS = 200  # rows by server port; the totals are of all
_NOTE = (
    "A pair is a client, a server, a protocol and a server port. “answered” pairs always got a"
    " reply, “refused” ones a TCP reset or an ICMP port unreachable, “unanswered” ones nothing or"
    " any other ICMP error, “mixed” ones more than one of these (Pang et al., IMC 2005, table 9)."
    " Healthy flows are counted without their peers, so pairs that never failed are not among the"
    " pairs of a packet logger's log: answered_flows and answered_hosts count their flows and"
    " internal hosts. success_at_least is what follows: each such host has at least one answered"
    " pair. It is exact where every flow was logged (replay --all-flows)."
)


def table(logs: Logs, options: Options) -> Table:  # noqa: ARG001
    """Return host pairs by server port and locality."""
    services = logs.keep(_services(logs))
    order = [ibis.desc("pairs"), "service", "locality"]
    return Table(
        name="host_pairs",
        title="Success by host pair",
        unit="host pair: distinct client, server, protocol and server port",
        vantage="internal: both ends inside; wide area: one end inside; transit: none",
        note=f"{_NOTE} Listed are the {MOST_PORTS} ports with most pairs.",
        value={
            "localities": _rows(logs, _localities(logs, services).order_by("locality")),
            "ports": _rows(logs, services.order_by(order).limit(MOST_PORTS)),
        },
        columns={
            "locality": ("locality", ""),
            "protocol": ("protocol", ""),
            "server_port": ("server port", ""),
            "pairs": ("logged pairs", "pairs"),
            "answered": ("answered", "pairs"),
            "mixed": ("mixed", "pairs"),
            "refused": ("refused", "pairs"),
            "unanswered": ("unanswered", "pairs"),
            "answered_flows": ("answered flows", "flows"),
            "answered_hosts": ("internal hosts of answered flows", "hosts"),
            "success_at_least": ("success at least", "share"),
        },
    )


def _services(logs: Logs) -> ir.Table:
    """Return pairs by service and locality, and what is known of those that are not logged."""
    pairs = _pairs(logs)
    mixed = pairs.replied + pairs.refused + pairs.silent > 1
    grouped = pairs.group_by(["service", "locality"]).aggregate(
        pairs=pairs.count(),
        answered=((pairs.replied == 1) & ~mixed).sum(),
        mixed=mixed.sum(),
        refused=((pairs.refused == 1) & ~mixed).sum(),
        unanswered=((pairs.silent == 1) & ~mixed).sum(),
        succeeded=pairs.replied.sum(),
    )
    return _with_answered(logs, grouped, ["service", "locality"])


def _localities(logs: Logs, services: ir.Table) -> ir.Table:
    """Return the services' pairs, added up by locality."""
    names = ("pairs", "answered", "mixed", "refused", "unanswered", "succeeded")
    grouped = services.group_by("locality").aggregate(
        **{name: services[name].sum() for name in names}
    )
    return _with_answered(logs, grouped, ["locality"])


def _pairs(logs: Logs) -> ir.Table:
    """Return one row per pair: 1 for each outcome that it had, and 0 for the others."""
    flows = logs.tried
    no_port = ((flows.icmp_type == 3) & (flows.icmp_code == 3)) | (
        (flows.protocol != "icmp") & (flows.icmp_type == 1) & (flows.icmp_code == 4)
    )  # RFC 792; RFC 4443, of which no type means an error of the other version
    replied = flows.verdict.isin(("answered", "recovered"))
    refused = (flows.verdict == "refused") | ((flows.verdict == "icmp_error") & no_port)
    # The ends determine the locality, and it costs less outside of the key.
    return flows.group_by(["client", "server", "service"]).aggregate(
        locality=_locality(flows).max(),
        replied=replied.cast("int64").max(),
        refused=refused.fill_null(False).cast("int64").max(),
        silent=(~replied & ~refused.fill_null(False)).cast("int64").max(),
    )


def _locality(rows: ir.Table) -> ir.StringValue:
    between = rows.direction.isin(("outbound", "inbound"))
    return ibis.ifelse(between, "wide area", rows.direction)


def _with_answered(logs: Logs, grouped: ir.Table, keys: list[str]) -> ir.Table:
    """Return rows with their answered flows, logged or not, and whose they were."""
    well = logs.healthy.filter(logs.healthy.verdict == "answered")
    well = well.mutate(locality=_locality(well))
    counted = well.group_by(keys).aggregate(
        answered_flows=well.flows.sum(), answered_hosts=well.host.nunique()
    )
    return grouped.left_join(counted, keys).select(grouped, "answered_flows", "answered_hosts")


def _rows(logs: Logs, expression: ir.Table) -> list[dict[str, Any]]:
    return [_row(row, known=logs.has_healthy) for row in logs.rows(expression)]


def _row(row: dict[str, Any], *, known: bool) -> dict[str, Any]:
    succeeded = row.pop("succeeded")
    for name in ("answered_flows", "answered_hosts"):
        row[name] = (row[name] or 0) if known else None
    at_least = max(succeeded, row["answered_hosts"] or 0)
    row["success_at_least"] = share(at_least, at_least + row["pairs"] - succeeded)
    if "service" in row:
        protocol, port = split_service(row.pop("service"))
        row = {"protocol": protocol, "server_port": port, **row}
    return row
