"""When servers begin to fail, and where more of them do so at once than chance allows.

R. Padmanabhan, A. Schulman, A. Dainotti, D. Levin, N. Spring, "How to Find Correlated Internet
Failures", PAM 2019.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ibis
import pyarrow as pa

from chamaleonet.analysis.addresses import aggregate
from chamaleonet.analysis.binomial import minimum_dependent
from chamaleonet.analysis.times import MINUTE, floor

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from chamaleonet.analysis.source import Logs

BIN = 11 * MINUTE
QUIET = 6 * BIN  # so long without a failure, and the next one begins anew
LISTED = 100  # events of each aggregate, those with most servers

# An event: the aggregate, the bin, how many servers began to fail in it, how many of the aggregate
# ever did, and from how many on it is no chance.
EVENT = pa.schema(
    [
        ("aggregate", pa.string()),
        ("bin", pa.int64()),
        ("failing_servers", pa.int64()),
        ("servers", pa.int64()),
        ("minimum", pa.int64()),
    ]
)


@dataclass(frozen=True)
class Aggregate:
    """A way to put servers together.

    Attributes:
        name: as in the table.
        member: columns that tell who is in it.
    """

    name: str
    member: tuple[str, ...]

    def key(self, rows: ir.Table) -> ir.StringValue:
        """Return the aggregate that a member is in."""
        return aggregate(rows.server) if self.name == "network" else rows.service


NETWORK = Aggregate("network", ("server",))
PORT = Aggregate("port", ("server", "service"))


def histories(logs: Logs) -> ir.Table:
    """Return what tells of a server, with its bin: flows that fail, and signs of life."""
    flows = logs.flows.filter(logs.flows.verdict != "unsolicited")
    return flows.select(
        "server", "service", "client", "direction", "first", "last", "judged",
        bin=floor(flows.first, BIN),
        fails=flows.erroneous,
    )  # fmt: skip


def events(logs: Logs, by: Aggregate, first: int, end: int) -> pa.Table:
    """Return the bins in which more members of an aggregate begin to fail than chance allows.

    Args:
        logs: the log.
        by: how to put servers together.
        first: begin of the first bin that counts.
        end: of the log.

    Returns:
        EVENT, the LISTED largest.
    """
    bins = max(1, (end - first) // BIN + 1)
    begins = _begins(_failures(logs), by)
    per_bin = begins.group_by("aggregate", "bin").aggregate(
        failing_servers=(begins.new & (begins.bin >= first)).sum(),
        members=begins.before.isnull().sum(),
    )
    whole = ibis.window(group_by="aggregate")
    rows = per_bin.mutate(
        starts=per_bin.failing_servers.sum().over(whole), servers=per_bin.members.sum().over(whole)
    )
    # No event lies less than 2.5 standard deviations above the mean: few rows are left to look at.
    mean = rows.starts / bins
    above = rows.failing_servers - mean
    rows = rows.filter(
        rows.failing_servers >= 2,
        above > 0,
        above * above >= 2.5**2 * mean * (1 - mean / rows.servers),
    )
    rows = rows.order_by(rows.failing_servers.desc(), "bin", "aggregate")
    found: list[dict[str, Any]] = []
    minimum: dict[tuple[int, int], int] = {}
    for row in logs.rows(rows):
        servers, starts = row["servers"], row["starts"]
        if (servers, starts) not in minimum:
            p = min(1.0, starts / (servers * bins))
            minimum[servers, starts] = max(2, minimum_dependent(servers, p))
        if row["failing_servers"] >= minimum[servers, starts]:
            found.append({**row, "minimum": minimum[servers, starts]})
            if len(found) == LISTED:
                break
    return pa.Table.from_pylist(found, EVENT)


def members(logs: Logs, by: Aggregate, found: pa.Table) -> pa.Table:
    """Return the servers of events, each with its ``aggregate`` and, as ``event``, the bin."""
    bins = found["bin"].to_pylist()
    # What is new in a bin can be told from it and what is less than QUIET before it.
    near = {bin_ - before for bin_ in bins for before in range(0, QUIET + 1, BIN)}
    these = ibis.memtable(found.select(["aggregate", "bin"]))
    failures = _failures(logs)
    failures = failures.filter(failures.bin.isin(sorted(near)))
    failures = failures.mutate(aggregate=by.key(failures)).semi_join(these, "aggregate")
    begins = _begins(failures, by)
    new = begins.filter(begins.new).semi_join(these, ("aggregate", "bin"))
    return logs.arrow(new.select("aggregate", *by.member, event="bin"))


def _failures(logs: Logs) -> ir.Table:
    """Return the flows that fail, without those from outside to what may be no host at all."""
    flows, well = histories(logs), logs.healthy
    flows = flows.filter(flows.fails)
    alive = well.filter(well.direction == "inbound", well.verdict == "answered")
    inbound = flows.filter(flows.direction == "inbound")
    inbound = inbound.semi_join(alive.select(server=alive.host).distinct(), "server")
    return ibis.union(flows.filter(flows.direction != "inbound"), inbound)


def _begins(failures: ir.Table, by: Aggregate) -> ir.Table:
    """Return a row for each bin in which a member fails, and the bin that it last did before."""
    bins = failures.select(*by.member, "bin").distinct()
    before = bins.bin.lag().over(ibis.window(group_by=by.member, order_by="bin"))
    bins = bins.mutate(before=before)
    return bins.mutate(
        aggregate=by.key(bins), new=bins.before.isnull() | (bins.bin - bins.before > QUIET)
    )
