"""The flows that the packet logger knows to be erroneous, from the verdict stream."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from chamaleonet.flows.decode import hash_key
from chamaleonet.flows.records import FLOW, raw
from chamaleonet.flows.table import find, insert, remove
from chamaleonet.kernels import inlined, kernel, prefetch

if TYPE_CHECKING:
    from numpy.typing import NDArray

# From when until when (ns) a flow was erroneous.
SPAN = np.dtype([("since", np.int64), ("until", np.int64)])
STILL = (1 << 63) - 1  # "until" of a flow that is

# How many packets ahead a flow's slot and row are asked of memory, as in the flow engine.
_SLOT_AHEAD, _ROW_AHEAD = 16, 8

U64 = np.uint64


class _Count(IntEnum):
    """The table's scalars, in one array that kernels can write."""

    USED = 0  # rows that were ever used
    FREE = 1  # of which are free again


class Known(NamedTuple):
    """The table's arrays. Slots are as in chamaleonet.flows.table, whose searches they share."""

    flows: NDArray[Any]  # FLOW, shape (capacity + 1,): the last one stays all zero
    spans: NDArray[Any]  # SPAN, shape (capacity,)
    slots: NDArray[np.uint64]  # shape (power of two,), at most half of them in use
    free: NDArray[np.int32]  # shape (capacity,): a stack of rows that are free again
    counts: NDArray[np.int64]  # by _Count
    keys: NDArray[np.uint64]  # the hash's secret


@inlined
def _take_row(table: Any) -> int:
    """Return a free row, or -1."""
    counts = table.counts
    if counts[_Count.FREE] > 0:
        counts[_Count.FREE] -= 1
        return int(table.free[counts[_Count.FREE]])
    if counts[_Count.USED] == len(table.spans):
        return -1
    counts[_Count.USED] += 1
    return int(counts[_Count.USED]) - 1


@kernel
def _put(table: Any, flows: Any, erroneous: bool) -> int:
    """Learn of one flow's verdict; return 0 if there was no place."""
    flow = flows[0]
    hashed = hash_key(flow, table.keys)
    row = find(table, flow, hashed)
    if row < 0:
        if not erroneous:
            return 1
        row = _take_row(table)
        if row < 0:
            return 0
        insert(table, row, hashed)
        table.spans[row].until = flow.judged  # no longer STILL, if the row was used before
    span = table.spans[row]
    if not erroneous:
        span.until = flow.judged
    elif span.until != STILL or table.flows[row].first != flow.first:
        span.since, span.until = flow.judged, STILL
    table.flows[row] = flow
    return 1


@kernel
def _remove(table: Any, flows: Any) -> None:
    """Forget one flow, unless a later one has its key."""
    flow = flows[0]
    hashed = hash_key(flow, table.keys)
    row = find(table, flow, hashed)
    if row >= 0 and table.flows[row].first == flow.first:
        remove(table, row, hashed)
        table.free[table.counts[_Count.FREE]] = row
        table.counts[_Count.FREE] += 1


@inlined
def row_of(table: Any, headers: Any, i: int) -> int:
    """Return the row of packet ``i``'s flow, -1 where it is not known.

    It also asks memory for what later packets will need.

    Args:
        table: Known.
        headers: HEADERS, shape (n,).
        i: which packet.
    """
    mask = U64(len(table.slots) - 1)
    if i + _SLOT_AHEAD < len(headers):
        prefetch(table.slots, int(U64(headers[i + _SLOT_AHEAD].hash) & mask))
    if i + _ROW_AHEAD < len(headers):
        slot = table.slots[U64(headers[i + _ROW_AHEAD].hash) & mask]
        row = int(slot & U64(0xFFFFFFFF)) - 1
        prefetch(table.flows, row)
        prefetch(table.spans, row)
    return find(table, headers[i], headers[i].hash)


class ErroneousFlows:
    """A bounded table of flows by their key; its memory is touched, and so used, as they come.

    Args:
        keys: the secret of the decoder whose packets are looked up (Decoder.keys): they bring
            their hash with them.
        capacity: flows at most; a flow that finds no place is refused.

    Attributes:
        table: what is known, at the rows that ``row_of`` returns; other rows mean nothing.
    """

    def __init__(self, keys: NDArray[np.uint64], capacity: int = 1_000_000) -> None:
        self.table = Known(
            flows=np.zeros(capacity + 1, FLOW),
            spans=np.zeros(capacity, SPAN),
            slots=np.zeros(1 << (2 * capacity - 1).bit_length(), U64),
            free=np.zeros(capacity, np.int32),
            counts=np.zeros(len(_Count), np.int64),
            keys=keys,
        )

    def __len__(self) -> int:
        counts = self.table.counts
        return int(counts[_Count.USED] - counts[_Count.FREE])

    def put(self, flow: NDArray[Any], erroneous: bool) -> bool:
        """Learn of a flow's verdict.

        Args:
            flow: FLOW, shape (1,).
            erroneous: whether it is now. A flow that never was is not kept; one that was is,
                until it is removed, for its packets that are on their way.

        Returns:
            False if there was no place.
        """
        return bool(_put(self.table, flow, bool(erroneous)))

    def remove(self, flow: NDArray[Any]) -> None:
        """Forget a flow; a later flow with the same key stays."""
        _remove(self.table, flow)

    def clear(self) -> NDArray[Any]:
        """Forget all flows and return their records: FLOW, shape (n,)."""
        table = self.table
        occupied = np.flatnonzero(table.slots)
        rows = (table.slots[occupied] & U64(0xFFFFFFFF)).astype(np.int64) - 1
        flows: NDArray[Any] = raw(table.flows)[rows].view(FLOW)
        table.slots[occupied] = 0
        table.counts[:] = 0
        return flows
