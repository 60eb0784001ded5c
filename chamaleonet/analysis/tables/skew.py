"""Table 4: how erroneous flows are spread over the internal hosts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ibis
import numpy as np

from chamaleonet.analysis.shares import share
from chamaleonet.analysis.table import Options, Table
from chamaleonet.flows.transitions import ERRONEOUS

if TYPE_CHECKING:
    import ibis.expr.types as ir
    from numpy.typing import NDArray

    from chamaleonet.analysis.source import Logs

SIDES = {"clients": ("outbound", "internal"), "servers": ("inbound",)}
LORENZ_POINTS = 200
TOP = 100
_ERRONEOUS = [state.label for state in ERRONEOUS]
_NOTE = (
    "The Lorenz curve begins with the hosts that have fewest erroneous flows. Gini is 0 where all"
    " hosts have equally many, and near 1 where one has all. Guha et al. (IMC 2008): the top 1% of"
    " hosts cause 15%."
)


def table(logs: Logs, options: Options) -> Table:  # noqa: ARG001
    """Return the spread of erroneous flows over internal clients and servers."""
    hosts = logs.keep(_hosts(logs))
    which = (
        "Hosts are all that were seen on that side."
        if logs.has_healthy
        else "Healthy flows were not counted, so hosts are those with any flow that was not."
    )
    return Table(
        name="skew",
        title="Skew over hosts",
        unit="flow",
        vantage="internal hosts: as clients of all flows that they began, as servers of inbound",
        note=f"{_NOTE} {which} Listed are the {TOP} with most.",
        value={
            side: _side(logs, hosts.filter(hosts.inbound == (side == "servers"))) for side in SIDES
        },
        columns={
            "host": ("host", ""),
            "flows": ("erroneous flows", "flows"),
            "share": ("share of erroneous flows", "share"),
            "gini": ("Gini coefficient", ""),
            "top_1_percent": ("share of the top 1% of hosts", "share"),
            "hosts": ("hosts", "hosts"),
            "lorenz": ("Lorenz curve", "share"),
        },
    )


def _side(logs: Logs, hosts: ir.Table) -> dict[str, Any]:
    # As many rows as there are different numbers: they add up to at least half that squared.
    sizes = logs.arrow(hosts.group_by("flows").aggregate(hosts=hosts.count()).order_by("flows"))
    flows, count = (sizes[name].to_numpy().astype(np.int64) for name in ("flows", "hosts"))
    most = hosts.filter(hosts.flows > 0).order_by(ibis.desc("flows"), "host").limit(TOP)
    number, total = int(count.sum()), int(flows @ count)
    return {
        "hosts": number,
        "flows": total,
        "gini": gini(flows, count),
        "top_1_percent": share(_largest(flows, count, -(-number // 100)), total),
        "lorenz": lorenz(flows, count),
        "top": [
            {**row, "share": share(row["flows"], total)}
            for row in logs.rows(most.select("host", "flows"))
        ],
    }


def _hosts(logs: Logs) -> ir.Table:
    """Return erroneous flows by internal host and side, 0 where there are none."""
    counts = logs.counts.filter(logs.counts.host.notnull())
    erroneous = counts.verdict.isin(_ERRONEOUS)
    return counts.group_by("host", inbound=counts.direction == "inbound").aggregate(
        flows=counts.flows.sum(where=erroneous).fill_null(0)
    )


def _curve(
    flows: NDArray[np.int64], hosts: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the corners of the Lorenz curve: cumulative shares of hosts and of flows."""
    x, y = np.cumsum(hosts), np.cumsum(flows * hosts)
    return np.append(0, x / x[-1]), np.append(0, y / y[-1])


def lorenz(flows: NDArray[np.int64], hosts: NDArray[np.int64]) -> list[dict[str, float]]:
    """Return LORENZ_POINTS of the Lorenz curve at most, evenly along it.

    Args:
        flows: int64, shape (n,): different numbers of flows, ascending.
        hosts: int64, shape (n,): how many hosts have each.
    """
    if not flows.any():
        return []
    x, y = _curve(flows, hosts)
    if len(x) > LORENZ_POINTS:
        along = x + y  # grows all the way, unlike each by itself
        points = np.linspace(0, 2, LORENZ_POINTS)
        x, y = np.interp(points, along, x), np.interp(points, along, y)
    return [
        {"hosts": round(float(a), 9), "flows": round(float(b), 9)}
        for a, b in zip(x, y, strict=True)
    ]


def gini(flows: NDArray[np.int64], hosts: NDArray[np.int64]) -> float | None:
    """Return the Gini coefficient, None where there are no flows. Arguments as of ``lorenz``."""
    if not flows.any():
        return None
    x, y = _curve(flows, hosts)
    return float(1 - np.diff(x) @ (y[1:] + y[:-1]))


def _largest(flows: NDArray[np.int64], hosts: NDArray[np.int64], number: int) -> int:
    """Return the flows of the ``number`` hosts that have most."""
    before = np.cumsum(hosts[::-1]) - hosts[::-1]
    taken = np.clip(number - before, 0, hosts[::-1])
    return int(flows[::-1] @ taken)
