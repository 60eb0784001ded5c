"""Flows of a controller that is gone.

When a controller dies, nobody may tell any more how the flows end that it had called erroneous:
then they are logged as they were known. Yet it may have left their final records in its spool,
which the next controller delivers first; the next one may go on with the flows themselves; and a
connection that is merely cut looks the same from here. So that each flow is logged once, they wait
for the next controller to have told all it was left, and those that could not wait are remembered
by name.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np

from chamaleonet.flows.records import FLOW, NAME_BYTES, names_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

_RUN = struct.Struct("<Q")


class Departed:
    """Flows whose controller is gone.

    Args:
        names: returns flows' names; where addresses are anonymised, those of the anonymised flows,
            for they are kept on disk.
        saved: what ``save`` returned, of an earlier run of the logger.
    """

    def __init__(
        self, names: Callable[[NDArray[Any]], list[bytes]] = names_of, saved: bytes = b""
    ) -> None:
        self._names = names
        self._waiting: dict[bytes, NDArray[Any]] = {}  # FLOW, shape (1,) each
        self._run = 0  # of the controller that had told of those that were logged
        self._logged: set[bytes] = set()
        self._alive: set[bytes] = set()  # of the logged ones, those that a later run goes on with
        if len(saved) >= _RUN.size:
            (self._run,) = _RUN.unpack_from(saved)
            names_only = saved[_RUN.size :]
            whole = len(names_only) - len(names_only) % NAME_BYTES
            self._logged = {names_only[at : at + NAME_BYTES] for at in range(0, whole, NAME_BYTES)}

    def add(self, flows: NDArray[Any]) -> None:
        """Take the flows, FLOW, shape (n,), of which a controller that is gone had told."""
        for row, name in enumerate(self._names(flows)):
            if name not in self._logged:
                self._waiting[name] = flows[row : row + 1]

    def remember(self, flows: NDArray[Any], run: int) -> None:
        """Take the flows that were logged shortly before another controller began to speak.

        The next one may not know yet that they had ended, where the one before died with its
        machine.

        Args:
            flows: FLOW, shape (n,).
            run: of the controller that had told their end.
        """
        if len(flows):
            self._logged.update(self._names(flows))
            self._run = run

    def active(self, flow: NDArray[Any]) -> None:
        """Take note that a flow, FLOW, shape (1,), lives: it will get its final record."""
        if not self._waiting and not self._logged:
            return
        [name] = self._names(flow)
        self._waiting.pop(name, None)
        if name in self._logged:
            self._alive.add(name)

    def ended(self, flow: NDArray[Any]) -> bool:
        """Take note of a flow's final record, FLOW, shape (1,); tell if it is logged already."""
        if not self._waiting and not self._logged:
            return False
        [name] = self._names(flow)
        self._waiting.pop(name, None)
        if name in self._logged:
            self._logged.remove(name)
            return True
        return False

    def settle(self, run: int) -> NDArray[Any]:
        """Return the flows that a controller's predecessors told no end of, once all is told.

        Args:
            run: of the controller that speaks.

        Returns:
            FLOW, shape (n,), to be logged as they were known.
        """
        if run != self._run and self._logged:
            self._logged &= self._alive
            self._run = run
        self._alive.clear()
        flows = list(self._waiting.values())
        self._waiting.clear()
        return np.concatenate(flows) if flows else np.empty(0, FLOW)

    def give_up(self, run: int) -> NDArray[Any]:
        """Return all flows that wait, to be logged now, and remember that they were.

        Args:
            run: of the controller that spoke last, 0 if none did.
        """
        self._run = run or self._run
        self._logged.update(self._waiting)
        flows = list(self._waiting.values())
        self._waiting.clear()
        return np.concatenate(flows) if flows else np.empty(0, FLOW)

    def save(self) -> bytes:
        """Return what the logger's next run has to know; empty if nothing."""
        if not self._logged:
            return b""
        return _RUN.pack(self._run) + b"".join(sorted(self._logged))
