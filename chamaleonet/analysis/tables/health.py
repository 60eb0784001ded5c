"""Table 2: hourly health over flow volume.

S. Guha, J. Chandrashekar, N. Taft, K. Papagiannaki, "How Healthy are Today's Enterprise
Networks?", IMC 2008.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from chamaleonet.analysis.shares import share
from chamaleonet.analysis.source import ASKED, FAILED
from chamaleonet.analysis.table import Options, Table
from chamaleonet.analysis.times import HOUR, floor, iso

if TYPE_CHECKING:
    from chamaleonet.analysis.source import Logs

WEB_PORTS = (80, 88, 443, 8080)
_NOTE = (
    "Health is 1 - failed/total. A flow failed if it was refused (TCP reset), got an ICMP error or"
    " no reply (Guha et al., IMC 2008); a late reply makes it useful. Pending and midstream flows"
    " are not judged and in no total. An hour holds the flows that began in it; flows that began"
    " before the log are left out. The correlation is Pearson's, of hourly health and volume."
    " Guha et al.: 66% of all flows are useful whatever the volume, and web flows are the"
    " healthier the more there are."
)


def table(logs: Logs, options: Options) -> Table:  # noqa: ARG001
    """Return health and volume by hour, on all ports and on those of the web."""
    rows = _hours(logs) if logs.span is not None else []
    return Table(
        name="health",
        title="Hourly health",
        unit="flow",
        vantage="flows that internal hosts began, by the hour of their first packet",
        note=_NOTE if logs.has_healthy else f"{_NOTE} Healthy flows were not counted: no health.",
        value={
            "all": _panel(rows, "flows", "failed", known=logs.has_healthy),
            "web": _panel(rows, "web_flows", "web_failed", known=logs.has_healthy),
        },
        columns={
            "hour": ("hour", "UTC"),
            "flows": ("flows", "flows"),
            "failed": ("failed", "flows"),
            "health": ("health", "share"),
            "correlation": ("correlation of health and volume", ""),
        },
    )


def _hours(logs: Logs) -> list[dict[str, Any]]:
    """Return sums by hour: as many rows as the log has hours."""
    assert logs.span is not None
    begin = logs.span[0] - logs.span[0] % HOUR
    counts = logs.counts.filter(
        logs.counts.direction.isin(("outbound", "internal")),
        logs.counts.verdict.isin(ASKED),
        logs.counts.minute >= begin,
    )
    failed, web = counts.verdict.isin(FAILED), counts.server_port.isin(WEB_PORTS)
    hours = counts.group_by(hour=floor(counts.minute, HOUR)).aggregate(
        flows=counts.flows.sum(),
        failed=counts.flows.sum(where=failed).fill_null(0),
        web_flows=counts.flows.sum(where=web).fill_null(0),
        web_failed=counts.flows.sum(where=failed & web).fill_null(0),
    )
    return logs.rows(hours.order_by("hour"))


def _panel(rows: list[dict[str, Any]], total: str, failed: str, *, known: bool) -> dict[str, Any]:
    hours = [
        {
            "hour": iso(row["hour"]),
            "flows": row[total] if known else None,
            "failed": row[failed],
            "health": 1 - row[failed] / row[total] if known else None,
        }
        for row in rows
        if row[total]
    ]
    flows = sum(row[total] for row in rows) if known else None
    lost = sum(row[failed] for row in rows)
    failing = share(lost, flows)
    return {
        "flows": flows,
        "failed": lost,
        "health": None if failing is None else 1 - failing,
        "correlation": _pearson(hours) if known else None,
        "hours": hours,
    }


def _pearson(hours: list[dict[str, Any]]) -> float | None:
    """Return the correlation of health and volume; None where one never changes."""
    pairs = np.array([(row["health"], row["flows"]) for row in hours], float).reshape(-1, 2)
    if len(pairs) < 3 or np.ptp(pairs, axis=0).min() == 0:
        return None
    return float(np.corrcoef(pairs.T)[0, 1])
