"""What the detectors have told so far: the flows that consumers of their events know of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from chamaleonet.flows.records import FLOW, FLOW_EVENT, Change
from chamaleonet.flows.transitions import EVICTABLE, State

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Told:
    """Flows by their row, as they were in their last event, but for healthy ones.

    Args:
        rows: how many rows there are; memory is used only as they come up.
        ended: the states whose end is told.
    """

    def __init__(self, rows: int, ended: tuple[State, ...]) -> None:
        self._flows = np.zeros(rows, FLOW)
        self._used = 0  # no row from this on was ever named
        self._ended = np.array([state in ended for state in State])

    def take(self, events: NDArray[Any]) -> None:
        """Take FLOW_EVENT records, shape (n,), in the order in which they happened."""
        if not len(events):
            return
        rows = events["row"]
        self._used = max(self._used, int(rows.max()) + 1)
        # Of several events of a row, the last one is what remains.
        self._flows[rows] = events["flow"]
        state = events["flow"]["state"]
        gone = (events["change"] == Change.ENDED) | np.isin(state, EVICTABLE)
        self._flows["state"][rows] = np.where(gone, State.NONE, state)

    def live(self, states: tuple[State, ...]) -> NDArray[Any]:
        """Return copies of the flows in these states: FLOW, shape (n,)."""
        flows = self._flows[: self._used]
        return flows[np.isin(flows["state"], states)]

    def end(self, first: int, step: int, now: int) -> NDArray[Any]:
        """End the flows of every ``step``-th row from ``first`` on, and return what is to be told.

        Returns:
            FLOW_EVENT, shape (n,), ENDED at ``now`` (ns), those whose end is told.
        """
        rows = np.arange(first, self._used, step)
        states = self._flows["state"][rows]
        rows = rows[self._ended[states] & (states != State.NONE)]
        events = np.zeros(len(rows), FLOW_EVENT)
        events["time"], events["change"], events["row"] = now, Change.ENDED, rows
        events["flow"] = self._flows[rows]
        events["was"] = events["flow"]["state"]
        self._flows["state"][first : self._used : step] = State.NONE
        return events
