"""Several outputs of an engine made one: what each costs its receiver, it costs once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chamaleonet.detectors.frames import Kind, pack
from chamaleonet.flows.records import CAPTURED, raw

if TYPE_CHECKING:
    from chamaleonet.flows.engine import Output


class Gathered:
    """Copies of outputs, in their order.

    Attributes:
        size: bytes that they have.
    """

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self._events: list[bytes] = []
        self._packets: list[bytes] = []
        self._data: list[bytes] = []
        self._offset = 0
        self.size = 0

    def add(self, output: Output) -> None:
        """Add a copy of an output, which may only be borrowed."""
        packets = raw(output.packets).copy().view(CAPTURED)
        packets["offset"] += self._offset
        self._events.append(output.events.tobytes())
        self._packets.append(packets.tobytes())
        self._data.append(output.data.tobytes())
        self._offset += len(output.data)
        self.size += output.events.nbytes + output.packets.nbytes + output.data.nbytes

    def frame(self) -> bytes:
        """Return an OUTPUT frame with all of them, and begin anew."""
        frame = pack(Kind.OUTPUT, *map(b"".join, (self._events, self._packets, self._data)))
        self._clear()
        return frame
