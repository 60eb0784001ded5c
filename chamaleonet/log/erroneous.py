"""The flows that the packet logger knows to be erroneous, from the verdict stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from chamaleonet.flows.records import FLOW

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A flow, and from when until when (ns) it was erroneous.
KNOWN = np.dtype([("flow", FLOW), ("since", np.int64), ("until", np.int64)])
STILL = (1 << 63) - 1  # "until" of a flow that is

# HEADERS and FLOW both begin with the key: addresses, ports, kind.
_KEY_BYTES = 38


def keys_of(records: NDArray[Any]) -> list[bytes]:
    """Return the flow keys of HEADERS or FLOW records as bytes that can be compared."""
    octets = np.ascontiguousarray(records).view(np.uint8).reshape(len(records), -1)
    keys: list[bytes] = (
        np.ascontiguousarray(octets[:, :_KEY_BYTES]).view(f"V{_KEY_BYTES}").ravel().tolist()
    )
    return keys


class ErroneousFlows:
    """A bounded table of KNOWN records by flow key.

    Args:
        capacity: flows at most; a flow that finds no place is refused.

    Attributes:
        records: KNOWN: what is known, at the rows that ``rows_of`` returns; other rows are unused.
    """

    def __init__(self, capacity: int = 1_000_000) -> None:
        self.records = np.zeros(min(capacity, 1024), KNOWN)
        self._capacity = capacity
        self._rows: dict[bytes, int] = {}
        self._free: list[int] = []

    def __len__(self) -> int:
        return len(self._rows)

    def put(self, flow: NDArray[Any], erroneous: bool) -> bool:
        """Learn of a flow's verdict.

        Args:
            flow: FLOW, shape (1,).
            erroneous: whether it is now. A flow that never was is not kept; one that was is,
                until it is removed, for its packets that are on their way.

        Returns:
            False if there was no place.
        """
        [key] = keys_of(flow)
        row = self._rows.get(key)
        if row is None:
            if not erroneous:
                return True
            if len(self._rows) == self._capacity:
                return False
            row = self._rows[key] = self._free.pop() if self._free else len(self._rows)
            if row == len(self.records):
                larger = np.zeros(min(2 * row, self._capacity), KNOWN)
                larger[:row] = self.records
                self.records = larger
            self.records[row] = 0
        known = self.records[row]
        judged = flow["judged"][0]
        if not erroneous:
            known["until"] = judged
        elif known["until"] != STILL or known["flow"]["first"] != flow["first"][0]:
            known["since"], known["until"] = judged, STILL
        known["flow"] = flow[0]
        return True

    def remove(self, flow: NDArray[Any]) -> None:
        """Forget a flow; a later flow with the same key stays."""
        [key] = keys_of(flow)
        row = self._rows.get(key)
        if row is not None and self.records[row]["flow"]["first"] == flow["first"][0]:
            del self._rows[key]
            self._free.append(row)

    def clear(self) -> NDArray[Any]:
        """Forget all flows and return their records: FLOW, shape (n,)."""
        flows: NDArray[Any] = self.records["flow"][list(self._rows.values())]
        self._rows.clear()
        self._free.clear()
        return flows

    def rows_of(self, headers: NDArray[Any]) -> NDArray[np.int32]:
        """Return the row of each packet's flow, -1 where it is not known to be erroneous."""
        find = self._rows.get
        return np.fromiter((find(key, -1) for key in keys_of(headers)), np.int32, len(headers))
