"""Whether failures last, or were a passing trouble of a server that works.

The log of a packet logger has no healthy flows, so a server that was down for ten minutes looks,
in those minutes, like one that is gone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from chamaleonet.analysis.findings.case import rows_of
from chamaleonet.analysis.times import MINUTE, SECOND

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chamaleonet.analysis.findings.case import Case
    from chamaleonet.analysis.findings.dead import Pair

HALF = 0.5  # of the log: who fails for so long of it need not fail at its end
MANY = 60  # attempts: so many tell something even where the failures ended within the log
ENDED = 0.7  # and so much less, for we do not know why they ended
_PERIODS = 3  # without an attempt, and it is no longer tried
_BACK = 0.3  # answers after the failures, by failures: the server came back
_MEANWHILE = 0.1  # answers during the failures, by those after: others answered all the time


def lasting(case: Case, pairs: Sequence[Pair], *, many: int = MANY) -> dict[Pair, float]:
    """Return pairs that fail lastingly, and how sure that is, 0 to 1.

    Failures last that go on at the log's end or through half of it. Others must be ``many``, and
    must not have ended by answers to the same client on the same service.
    """
    whole = (case.end - case.begin) / SECOND
    sure = {}
    doubtful = []
    for pair in pairs:
        pause = max(_PERIODS * (pair.period or 0), MINUTE / SECOND)
        if (case.end - pair.last) / SECOND <= pause or pair.span >= HALF * whole:
            sure[pair] = 1.0
        elif max(pair.polls, pair.flows) >= many:
            doubtful.append(pair)
    back = _came_back(case, doubtful)
    return sure | {pair: ENDED for pair in doubtful if (pair.client, pair.service) not in back}


def _came_back(case: Case, pairs: Sequence[Pair]) -> set[tuple[str, str]]:
    """Return client and service of pairs whose failures ended by answers.

    Counters do not tell who answered; but where nobody did during the failures, and enough did
    as soon as they ended, it was this server.
    """
    if not pairs:
        return set()
    failing = rows_of(
        [
            {"client": pair.client, "service": pair.service, "failed": pair.flows,
             "since": pair.first, "until": pair.last}
            for pair in pairs
        ],
        {"client": pa.string(), "service": pa.string(), "failed": pa.int64(),
         "since": pa.int64(), "until": pa.int64()},
    )  # fmt: skip
    near = failing.inner_join(case.well, ["client", "service"])
    begin, end = near.minute, near.minute + MINUTE
    during = (begin >= near.since) & (end <= near.until)
    after = (begin >= near.until) & (end <= near.until + (near.until - near.since) + 2 * MINUTE)
    counted = near.group_by("client", "service", "failed", "since").aggregate(
        during=near.flows.sum(where=during).fill_null(0),
        after=near.flows.sum(where=after).fill_null(0),
    )
    back = counted.filter(
        counted.after >= counted.failed * _BACK, counted.during <= counted.after * _MEANWHILE
    )
    rows = case.logs.rows(back.order_by("client", "service", "since"))
    return {(row["client"], row["service"]) for row in rows}
