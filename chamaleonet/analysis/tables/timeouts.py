"""How long replies take, and what another timeout would have made of the flows.

R. Padmanabhan, P. Owen, A. Schulman, N. Spring, "Timeouts: Beware Surprisingly High Delay",
IMC 2015.
"""

from __future__ import annotations

from itertools import accumulate
from math import isinf
from typing import TYPE_CHECKING, Any

import ibis

from chamaleonet.analysis.late import late_replies
from chamaleonet.analysis.shares import share
from chamaleonet.analysis.table import Table
from chamaleonet.log.healthy import DELAYS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import ibis.expr.types as ir

    from chamaleonet.analysis.source import Logs
    from chamaleonet.analysis.table import Options

PERCENTS = (1, 50, 80, 90, 95, 98, 99)
TIMEOUTS = (1, 2, 3, 5, 10, 60)  # seconds; each is a bound in DELAYS, so counters can be split
FALSE_SHARE = 0.01  # of the flows judged unanswered that turn out answered: what is put up with

_NOTE = """\
Reply delay runs from a flow's first packet, so it holds the client's retransmissions. The counters
keep it in buckets by internal host: every delay here is its bucket's upper bound, the timeout that
would have been enough, and null is more than 60 s. Percentiles are those of the hosts' own
percentiles: within a timeout of that row and column, so many percent of the addresses see so many
percent of their replies (after Padmanabhan et al., IMC 2015, whose addresses are the ones that
answer: so they are here for inbound flows, while of outbound and internal ones it is the host that
waits; what each remote server takes is only known where its reply was late). Late replies are
recovered flows whose reply came after the log's timeout. Judged again: with a longer timeout a late
reply within it is an answer; with a shorter one an answer after it is late, which only the counters
can tell. A flow that was refused or got an ICMP error before its reply stays what it is.
"""


def table(logs: Logs, options: Options) -> Table:
    """Return percentiles of reply delay, late replies, and verdicts by other timeouts."""
    late = _late(logs, options)
    judged = _judged(logs, options)
    return Table(
        name="timeouts",
        title="Timeout lab",
        unit="flow",
        vantage="replies as they pass the switch, by the internal host of the flow",
        note=_NOTE,
        value={
            "percentiles": _percentiles(logs, options),
            "delays": _delays(logs, options),
            "late": late,
            "judged": judged,
            "recommended": _recommended(judged, options),
        },
        columns={
            "direction": ("direction", ""),
            "addresses": ("of addresses", "%"),
            **{f"p{percent}": (f"{percent} % of replies", "seconds") for percent in PERCENTS},
            "hosts": ("hosts", ""),
            "delay": ("reply delay at most", "seconds"),
            "protocol": ("protocol", ""),
            "replies": ("replies", "flows"),
            "share": ("share", "share"),
            "late": ("late replies", "flows"),
            "longest": ("longest delay", "seconds"),
            "timeout": ("timeout", "seconds"),
            "answered": ("answered in time", "flows"),
            "unanswered": ("never answered", "flows"),
            "false_share": ("of those judged unanswered, answered late", "share"),
            "late_share": ("of all replies, late", "share"),
            "reason": ("reason", ""),
        },
    )


def _replies(logs: Logs, options: Options) -> ir.Table:
    """Return counts of replies: direction, host, index of their bucket in DELAYS, flows."""
    late = late_replies(logs.flows, options)
    well = logs.healthy.filter(logs.healthy.delay.notnull())
    parts = (
        rows.select(
            "direction",
            "host",
            bucket=ibis.cases(
                *((delay <= bound, n) for n, bound in enumerate(DELAYS[:-1])),
                else_=len(DELAYS) - 1,
            ).cast("int64"),
            flows=flows,
        )
        for rows, delay, flows in (
            (late, late.reply_delay, ibis.literal(1, "int64")),
            (well, well.delay, well.flows),
        )
    )
    return ibis.union(*parts)


def _percentiles(logs: Logs, options: Options) -> list[dict[str, Any]]:
    """Return the percentiles over hosts of the percentiles of a host's replies."""
    if not logs.has_healthy:
        return []  # late replies alone say nothing of the others
    parts = _replies(logs, options).filter(lambda rows: rows.host.notnull())
    replies = parts.group_by("direction", "host", "bucket").aggregate(flows=parts.flows.sum())
    of_host = ibis.window(group_by=("direction", "host"))
    until = ibis.cumulative_window(group_by=("direction", "host"), order_by="bucket")
    running = replies.mutate(
        until=replies.flows.sum().over(until), total=replies.flows.sum().over(of_host)
    )
    hosts = running.group_by("direction", "host").aggregate(
        **{
            f"p{percent}": running.bucket.min(where=running.until * 100 >= running.total * percent)
            for percent in PERCENTS
        }
    )
    long = hosts.pivot_longer(
        [f"p{percent}" for percent in PERCENTS], names_to="percent", values_to="bucket"
    )
    counted = long.group_by("direction", "percent", "bucket").aggregate(hosts=long.count())
    histograms: dict[str, dict[str, list[int]]] = {}
    # Few rows: buckets times percentiles times directions.
    for row in logs.rows(counted.order_by("direction", "percent", "bucket")):
        of_direction = histograms.setdefault(row["direction"], {})
        of_direction.setdefault(row["percent"], [0] * len(DELAYS))[row["bucket"]] = row["hosts"]
    return [
        {
            "direction": direction,
            "hosts": sum(histogram["p50"]),
            "addresses": percent,
            **{f"p{column}": _percentile(histogram[f"p{column}"], percent) for column in PERCENTS},
        }
        for direction, histogram in histograms.items()
        for percent in PERCENTS
    ]


def _percentile(histogram: Sequence[int], percent: int) -> float | None:
    """Return the bound that so many percent are within, None for infinity."""
    total = sum(histogram)
    bound = next(
        bound
        for bound, until in zip(DELAYS, accumulate(histogram), strict=True)
        if until * 100 >= total * percent
    )
    return None if isinf(bound) else bound


def _delays(logs: Logs, options: Options) -> list[dict[str, Any]]:
    """Return the distribution of reply delay: replies within each bound."""
    if not logs.has_healthy:
        return []
    replies = _replies(logs, options)
    counted = replies.group_by("direction", "bucket").aggregate(flows=replies.flows.sum())
    histograms: dict[str, list[int]] = {}
    for row in logs.rows(counted.order_by("direction", "bucket")):
        histogram = histograms.setdefault(row["direction"], [0] * len(DELAYS))
        histogram[row["bucket"]] = row["flows"]
    return [
        {
            "direction": direction,
            "delay": None if isinf(bound) else bound,
            "replies": until,
            "share": share(until, sum(histogram)),
        }
        for direction, histogram in histograms.items()
        for bound, until in zip(DELAYS, accumulate(histogram), strict=True)
    ]


def _late(logs: Logs, options: Options) -> list[dict[str, Any]]:
    """Return how many replies came after the log's timeout."""
    late = late_replies(logs.flows, options)
    counted = late.group_by("direction", "protocol").aggregate(
        late=late.count(), longest=late.reply_delay.max()
    )
    well = logs.healthy.filter(logs.healthy.delay.notnull())
    replies = well.group_by("direction", "protocol").aggregate(replies=well.flows.sum())
    both = counted.left_join(replies, ("direction", "protocol")).select(
        "direction", "protocol", "late", "longest", replies=ibis.coalesce(replies.replies, 0)
    )
    return [
        {
            "direction": row["direction"],
            "protocol": row["protocol"],
            "late": row["late"],
            "share": share(row["late"], row["late"] + row["replies"]) if logs.has_healthy else None,
            "longest": row["longest"],
        }
        for row in logs.rows(both.order_by("direction", "protocol"))
    ]


def _judged(logs: Logs, options: Options) -> list[dict[str, Any]]:
    """Return what the flows of each direction are under each timeout."""
    late = late_replies(logs.flows, options)
    well = logs.healthy.filter(logs.healthy.delay.notnull())
    never = logs.flows.filter(logs.flows.verdict == "unanswered")
    counts: dict[str, dict[str, int]] = {}
    for query in (
        late.group_by("direction").aggregate(
            late=late.count(),
            **{f"within_{t}": (late.reply_delay < t).sum() for t in TIMEOUTS},
        ),
        well.group_by("direction").aggregate(
            answered=well.flows.sum(),
            **{f"answered_{t}": well.flows.sum(where=well.delay <= t) for t in TIMEOUTS},
        ),
        never.group_by("direction").aggregate(unanswered=never.count()),
    ):
        for row in logs.rows(query.order_by("direction")):
            counts.setdefault(row.pop("direction"), {}).update(
                (name, number or 0) for name, number in row.items()
            )
    return [
        {"direction": direction, **_under(timeout, counts[direction], logs.has_healthy, options)}
        for direction in sorted(counts)
        for timeout in TIMEOUTS
    ]


def _under(
    timeout: int, counts: dict[str, int], has_healthy: bool, options: Options
) -> dict[str, Any]:
    """Return the judgements under one timeout."""
    unanswered = counts.get("unanswered", 0)
    replies = counts.get("answered", 0) + counts.get("late", 0)
    answered = counts.get(f"answered_{timeout}", 0) + counts.get(f"within_{timeout}", 0)
    late: int | None = replies - answered
    if not has_healthy and timeout < options.timeout:
        late = None  # it is hidden in what was answered
    return {
        "timeout": timeout,
        "answered": answered if has_healthy else None,
        "late": late,
        "unanswered": unanswered,
        "false_share": None if late is None else share(late, late + unanswered),
        "late_share": share(late, replies) if late is not None and has_healthy else None,
    }


def _recommended(judged: list[dict[str, Any]], options: Options) -> dict[str, Any]:
    """Return the shortest timeout that rarely errs on flows that begin inside, and why.

    What comes in from outside is mostly scanned addresses that never answer: they would make any
    timeout look good.
    """
    begun_inside = [row for row in judged if row["direction"] in ("outbound", "internal")]
    shares: dict[int, float] = {}
    for timeout in TIMEOUTS:
        rows = [row for row in begun_inside if row["timeout"] == timeout]
        if any(row["late"] is None for row in rows):
            continue
        late = sum(row["late"] for row in rows)
        shares[timeout] = share(late, late + sum(row["unanswered"] for row in rows)) or 0.0
    if not begun_inside:
        return {"timeout": None, "false_share": None, "reason": "no flow began inside"}
    good = [timeout for timeout, errors in shares.items() if errors <= FALSE_SHARE]
    timeout = good[0] if good else max(shares)
    reason = (
        f"the shortest tried under which at most {FALSE_SHARE:.0%} of the flows judged unanswered"
        " are answered after all"
        if good
        else f"the longest tried: under each, more than {FALSE_SHARE:.0%} of the flows judged"
        " unanswered are answered after all"
    )
    if min(shares) > min(TIMEOUTS):
        reason += "; shorter ones cannot be judged without counters of healthy flows"
    return {
        "timeout": timeout,
        "false_share": shares[timeout],
        "reason": f"{reason}; flows that begin inside, the log's timeout is {options.timeout:g} s",
    }
