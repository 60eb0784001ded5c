"""Table 6: how soon, how regularly and for how long a failing flow is tried again."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import ibis

from chamaleonet.analysis.shares import share
from chamaleonet.analysis.source import FAILED, split_service
from chamaleonet.analysis.table import Options, Table
from chamaleonet.analysis.times import SECOND

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from chamaleonet.analysis.source import Logs

SERIES = ("client", "server", "service")
PERSISTENT = 10  # flows of a run that is looked at for a period
REGULAR = 0.1  # the largest irregularity of a run that has a period
SHORTEST_PERIOD = 1.0  # seconds: what comes sooner is one attempt, made of several flows
MOST_RUNS, MOST_GAPS = 200, 20  # rows listed

# The steps of the distribution: ten a decade, rounded to two digits, from 1 ms to 116 days.
_DECADES = range(6, 16)  # of nanoseconds
_STEPS = [round(10 ** (n / 10), 1) for n in range(10)]
_NOTE = (
    "An attempt is a flow; the log does not tell when its retransmissions were sent. A run is made"
    " of flows of one client, server, protocol and server port that failed (no reply, an ICMP"
    " error, refused) without a success between them, as far as successes are logged: those that"
    " came late, and by replay --all-flows all. A gap is from first packet to first packet. A"
    " run's period is the median of its gaps, its irregularity half their interquartile range over"
    f" the median: 0 for a clock. Periodic is a run of at least {PERSISTENT} flows with a period"
    f" of {SHORTEST_PERIOD:g} s or more and an irregularity of {REGULAR:g} or less."
)


def table(logs: Logs, options: Options) -> Table:  # noqa: ARG001
    """Return the distribution of gaps between attempts, and the periodic runs."""
    gaps = logs.keep(retries(logs))
    periodic = logs.keep(_periodic(gaps))
    total = logs.row(
        periodic.aggregate(runs=periodic.count(), flows=periodic.flows.sum().fill_null(0))
    )
    listed = periodic.order_by(ibis.desc("flows"), *SERIES, "begin").limit(MOST_RUNS)
    histogram = _histogram(logs, gaps)
    return Table(
        name="retries",
        title="Retries",
        unit="gap between two successive failing flows of one client, server, protocol and port",
        vantage="all directions",
        note=f"{_NOTE} Listed are the {MOST_GAPS} commonest gaps, rounded to two digits, and the"
        f" {MOST_RUNS} periodic runs with most flows.",
        value={
            "gaps": sum(count for _, count in histogram),
            "cdf": _cdf(histogram),
            "frequent": _frequent(histogram),
            "periodic_runs": total["runs"],
            "periodic_flows": total["flows"],
            "periodic": [_run(row) for row in logs.rows(listed, times=("begin", "end"))],
        },
        columns={
            "gap": ("gap", "seconds"),
            "gaps": ("gaps", "gaps"),
            "share": ("share of gaps", "share"),
            "shorter": ("share of shorter gaps", "share"),
            "client": ("client", ""),
            "server": ("server", ""),
            "protocol": ("protocol", ""),
            "server_port": ("server port", ""),
            "direction": ("direction", ""),
            "flows": ("failing flows", "flows"),
            "begin": ("first", "UTC"),
            "end": ("last", "UTC"),
            "span": ("span", "seconds"),
            "period": ("period", "seconds"),
            "irregularity": ("irregularity", ""),
            "periodic_runs": ("periodic runs", "runs"),
            "periodic_flows": ("their flows", "flows"),
        },
    )


def retries(logs: Logs) -> ir.Table:
    """Return the flows that failed as the one before them did.

    Columns: SERIES, ``direction``, ``first`` (ns), ``gap`` (ns since the flow before began),
    ``run``: a number that retries have in common if no success is between them.
    """
    failed = logs.tried.verdict.isin(FAILED)
    port = logs.tried.client_port.fill_null(0)
    tried = logs.tried.select(*SERIES, "direction", "first", client_port=port, failed=failed)
    order = {"group_by": SERIES, "order_by": ["first", "client_port", "failed"]}
    tried = tried.mutate(
        run=(~tried.failed).cast("int64").sum().over(ibis.cumulative_window(**order)),
        earlier=tried["first"].lag().over(ibis.window(**order)),
        failed_earlier=tried.failed.lag().over(ibis.window(**order)),
    )
    again = tried.filter(tried.failed, tried.failed_earlier)
    return again.select(*SERIES, "direction", "first", "run", gap=again["first"] - again.earlier)


def runs(gaps: ir.Table) -> ir.Table:
    """Return the runs of PERSISTENT flows or more.

    Columns: SERIES, ``direction``, ``flows``, ``begin`` and ``end`` (ns), ``span`` and ``period``
    (seconds) and ``irregularity``.

    Args:
        gaps: what ``retries`` returns.
    """
    keys = [*SERIES, "direction", "run"]
    quartiles = {f"quartile_{n}": gaps.gap.quantile(n / 4) for n in (1, 2, 3)}
    grouped = gaps.group_by(keys).having(gaps.count() >= PERSISTENT - 1)
    found = grouped.aggregate(
        flows=gaps.count() + 1,
        begin=(gaps["first"] - gaps.gap).min(),
        end=gaps["first"].max(),
        **quartiles,
    )
    return found.select(
        *SERIES, "direction", "flows", "begin", "end",
        span=(found.end - found.begin) / SECOND,
        period=found.quartile_2 / SECOND,
        irregularity=(found.quartile_3 - found.quartile_1) / 2 / found.quartile_2.nullif(0),
    )  # fmt: skip


def _periodic(gaps: ir.Table) -> ir.Table:
    found = runs(gaps)
    return found.filter(found.period >= SHORTEST_PERIOD, found.irregularity <= REGULAR)


def _run(row: dict[str, Any]) -> dict[str, Any]:
    protocol, port = split_service(row.pop("service"))
    return {
        "client": row.pop("client"), "server": row.pop("server"),
        "protocol": protocol, "server_port": port, **row,
    }  # fmt: skip


def _histogram(logs: Logs, gaps: ir.Table) -> list[tuple[int, int]]:
    """Return gaps, cut to three digits (ns), and how often they came: at most 900 a decade."""
    units = ((gaps.gap < 10 ** (decade + 1), 10 ** (decade - 2)) for decade in _DECADES)
    unit = ibis.cases((gaps.gap < 10**6, 10**6), *units, else_=10**15)
    cut = gaps.gap - gaps.gap % unit
    counted = gaps.group_by(cut=cut).aggregate(count=gaps.count()).order_by("cut")
    return [(row["cut"], row["count"]) for row in logs.rows(counted)]


def _cdf(histogram: list[tuple[int, int]]) -> list[dict[str, Any]]:
    """Return how many gaps are shorter than each step; exact, as steps have two digits."""
    total = sum(count for _, count in histogram)
    if not total:
        return []
    steps = [round(step * 10) * 10 ** (decade - 1) for decade in _DECADES for step in _STEPS]
    return [
        {
            "gap": step / SECOND,
            "shorter": sum(count for cut, count in histogram if cut < step) / total,
        }
        for step in steps
    ]


def _frequent(histogram: list[tuple[int, int]]) -> list[dict[str, Any]]:
    """Return the gaps that came most often, rounded to two digits."""
    rounded: Counter[float] = Counter()
    for cut, count in histogram:
        rounded[float(f"{cut / SECOND:.1e}")] += count
    most = sorted(rounded.items(), key=lambda each: (-each[1], each[0]))[:MOST_GAPS]
    total = sum(count for _, count in histogram)
    return [{"gap": gap, "gaps": count, "share": share(count, total)} for gap, count in most]
