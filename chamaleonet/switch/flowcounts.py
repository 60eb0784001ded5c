"""The metrics of verdicts, from flow events or from what somebody else has made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from chamaleonet.flows.records import Change, Direction, Quality
from chamaleonet.flows.transitions import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from chamaleonet.metrics import ControllerMetrics

# Every verdict is counted.
JUDGED = tuple(state for state in State if state not in (State.NONE, State.PENDING))
_PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6", 132: "sctp"}


def keys_of(events: NDArray[Any]) -> NDArray[np.uint32]:
    """Return under which key each JUDGED event of FLOW_EVENT records is counted.

    A key is IP protocol << 24 | Quality << 16 | Direction << 8 | State.
    """
    judged, flows = events["change"] == Change.JUDGED, events["flow"]
    kind, quality, direction, state = (
        flows[name][judged].astype(np.uint32) for name in ("kind", "quality", "direction", "state")
    )
    keys: NDArray[np.uint32] = kind >> 8 << 24 | quality << 16 | direction << 8 | state
    return keys


class FlowCounts:
    """Counts the flows that entered a verdict; label children are cached."""

    def __init__(self, metrics: ControllerMetrics) -> None:
        self._flows, self._unsound = metrics.flows, metrics.unsound
        self._increases: dict[int, tuple[Callable[[float], None], ...]] = {}
        # All from 0, so that the first flow is an increase.
        for protocol in (*_PROTOCOLS.values(), "other"):
            for direction in Direction:
                for state in JUDGED:
                    self._flows.labels(state.label, direction.label, protocol)
        for quality in Quality:
            if quality is not Quality.SOUND:
                self._unsound.labels(quality.label)

    def add(self, events: NDArray[Any]) -> None:
        """Count FLOW_EVENT records, shape (n,)."""
        for key, count in zip(*np.unique(keys_of(events), return_counts=True), strict=True):
            self.add_key(int(key), int(count))

    def add_key(self, key: int, count: int) -> None:
        """Count so many events of a key."""
        if key not in self._increases:
            self._increases[key] = self._children(key)
        for increase in self._increases[key]:
            increase(count)

    def _children(self, key: int) -> tuple[Callable[[float], None], ...]:
        state, direction = State(key & 0xFF), Direction(key >> 8 & 0xFF)
        protocol = _PROTOCOLS.get(key >> 24, "other")
        counted = self._flows.labels(state.label, direction.label, protocol).inc
        quality = Quality(key >> 16 & 0xFF)
        if quality is Quality.SOUND:
            return (counted,)
        return counted, self._unsound.labels(quality.label).inc
