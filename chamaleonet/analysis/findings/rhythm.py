"""How regularly a client tries again.

What a program does by a timer comes at a constant period; what people do, and what fails by
chance, comes at gaps of any length.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import ibis

from chamaleonet.analysis.findings.case import PAIR
from chamaleonet.analysis.source import FAILED
from chamaleonet.analysis.times import SECOND

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from chamaleonet.analysis.findings.case import Case

# Gaps are alike that differ from their median by no more than a quarter of it. Of gaps between
# events at random (a Poisson process) 17% do, so that 8 of 9 have a chance of 5e-6.
TOLERANCE = 0.25
REGULAR = 0.8
POLLS = 10  # attempts, fewer have no rhythm

# A program may try several times in a row, or by several connections, each time that its timer
# runs out. Gaps below this share of the mean are within one poll.
_BURST = 0.2

_SAMPLE = 2000  # attempts, the last ones: to sort all of a year's would take long


def rhythms(case: Case, pairs: ir.Table) -> ir.Table:
    """Return the rhythm of pairs of at least POLLS flows.

    Args:
        case: whose flows are looked at.
        pairs: some of its pairs.

    Returns:
        A table by PAIR: ``polls`` (of the sample), ``period`` (seconds, median gap from poll to
        poll) and ``regularity``, the share of gaps that are like the median.
    """
    many = pairs.filter(pairs.flows >= POLLS)
    many = many.select(
        *PAIR, "replied", "began", mean=(many.began - many["first"]) / (many.flows - 1)
    )
    flows = case.flows.filter(case.flows.verdict.isin(FAILED)).select(*PAIR, "first", "client_port")
    flows = flows.inner_join(many, PAIR)
    flows = flows.filter(
        flows.replied.isnull() | (flows["first"] > flows.replied),
        flows["first"] >= flows.began - flows["mean"] * _SAMPLE,
    )
    begun = _gaps(flows)
    polls = _gaps(begun.filter(begun.gap.isnull() | (begun.gap >= begun["mean"] * _BURST)))
    median = polls.group_by(PAIR).aggregate(median=polls.gap.quantile(0.5), polls=polls.count())
    gaps = polls.filter(polls.gap.notnull()).inner_join(median, PAIR)
    alike = (gaps.gap - gaps["median"]).abs() <= gaps["median"] * TOLERANCE
    return gaps.group_by(PAIR).aggregate(
        polls=gaps.polls.max(),
        period=gaps["median"].max() / SECOND,
        regularity=alike.cast("int64").mean(),
    )


def _gaps(flows: ir.Table) -> ir.Table:
    """Return flows with the ns since the one before of their pair, null for the first."""
    order = ibis.window(group_by=PAIR, order_by=["first", "client_port"])
    return flows.mutate(gap=flows["first"] - flows["first"].lag().over(order))
