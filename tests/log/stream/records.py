"""Frames of records for the tests of what keeps and sends them."""

from __future__ import annotations

from chamaleonet.log.stream.frames import pack_frame
from chamaleonet.log.stream.packing import pack_flow
from chamaleonet.log.stream.position import Position
from tests.log.build import flow

_FLOW = pack_flow(flow("tcp", "10.0.0.1", "192.0.2.9", 4000, 80)[0])


def record(run: int, seq: int) -> tuple[Position, bytes]:
    """Return a record as the backlog and the spool take it."""
    frame = pack_frame({"kind": "flow", "run": run, "seq": seq, "flow": _FLOW})
    return Position(run, seq), frame


FRAME_BYTES = len(record(2**63, 2**63)[1])  # of a record, at most
