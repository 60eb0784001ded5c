"""The columns of the healthy counters: how many flows were well, with whom left out.

Flows of the verdicts in HEALTHY are not in the flow log of the packet logger. They are counted
beside it, in files that end in ``.healthy.parquet``. A row is a count, and rows add up: the same
key may come more than once.
"""

from __future__ import annotations

from math import inf

from chamaleonet.flows.records import Direction
from chamaleonet.flows.transitions import HEALTHY
from chamaleonet.log.columns import Column, Kind

# Upper bounds of the buckets of reply delay, in seconds: 1-2-5 steps, and the timeouts that are
# worth comparing.
DELAYS = (
    0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1,
    0.2, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 60.0, inf,
)  # fmt: skip

_NOT_SEEN = "a switch sent the first packets only"

COLUMNS = (
    Column("minute", Kind.TIME, "minute in which the flows began: its start", "UTC"),
    Column(
        "host", Kind.TEXT,
        "address of the internal end: the client of outbound and internal flows, the server of"
        " inbound ones (RFC 5952)",
        null="no end is internal",
    ),
    Column(
        "direction", Kind.LABEL, "where client and server are, by the internal prefixes",
        values=tuple(direction.label for direction in Direction),
    ),
    Column("protocol", Kind.LABEL, "IP protocol: its name in lower case, or its number as text"),
    Column("server_port", Kind.UINT16, "port of the server", null="the protocol has no ports"),
    Column(
        "verdict", Kind.LABEL, "what became of the flows, by docs/verdicts.md",
        values=tuple(state.label for state in HEALTHY),
    ),
    Column(
        "delay", Kind.SECONDS,
        "upper bound of the bucket of the reply delay: "
        + ", ".join(f"{bound:g}" for bound in DELAYS),
        "seconds", null="no valid reply was seen",
    ),
    Column("flows", Kind.UINT64, "how many flows", "flows"),
    Column(
        "client_packets", Kind.UINT64, "their packets from client to server", "packets",
        null=_NOT_SEEN,
    ),
    Column(
        "server_packets", Kind.UINT64, "their packets from server to client", "packets",
        null=_NOT_SEEN,
    ),
    Column(
        "client_bytes", Kind.UINT64, "their bytes from client to server, frames on the wire",
        "bytes", null=_NOT_SEEN,
    ),
    Column(
        "server_bytes", Kind.UINT64, "their bytes from server to client, frames on the wire",
        "bytes", null=_NOT_SEEN,
    ),
)  # fmt: skip
