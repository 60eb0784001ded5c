"""Replies that came after the log's timeout."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from chamaleonet.analysis.table import Options


def late_replies(flows: ir.Table, options: Options) -> ir.Table:
    """Return the flows that are in the log for no other reason than a late reply.

    What was refused or got an ICMP error first may have been answered soon after.
    """
    return flows.filter(
        flows.verdict == "recovered", flows.reply_delay >= options.timeout, flows.icmp_type.isnull()
    )
