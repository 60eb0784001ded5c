"""Packet-ins gathered into batches, so that the flow engine's kernels run once for many."""

from __future__ import annotations

import numpy as np

from chamaleonet.capture.batch import PacketBatch
from chamaleonet.capture.link import LinkType

_PACKETS = 512
_BYTES = 1 << 18


class PacketInBuffer:
    """Gathers packet-ins until the next tick.

    Attributes:
        malformed: packet-ins whose message was shorter than it says.
    """

    def __init__(self) -> None:
        self._buffer = np.zeros(_BYTES, np.uint8)
        self._memory = self._buffer.data
        self._used = 0
        self._rows: list[tuple[int, int, int, int]] = []  # offset, length, wire length, time
        self.malformed = 0

    def __len__(self) -> int:
        return len(self._rows)

    def append(self, data: memoryview, wire_length: int, now: int) -> bool:
        """Add a packet; return whether the batch is full and is to be taken.

        Args:
            data: the bytes of the packet that the switch sent.
            wire_length: bytes that the packet had in the switch.
            now: when the packet-in came, ns since 1970.
        """
        length = len(data)
        if not 0 < length <= wire_length:
            self.malformed += 1
            return False
        start = self._used
        self._used = end = start + length
        self._memory[start:end] = data
        self._rows.append((start, length, wire_length, now))
        # OpenFlow's lengths are 16 bits: the next packet always finds room.
        return len(self._rows) >= _PACKETS or end > _BYTES - (1 << 16)

    def take(self) -> PacketBatch:
        """Return what was gathered; it is valid until the next ``append``."""
        rows = np.array(self._rows, np.int64).reshape(-1, 4)
        self._rows.clear()
        self._used = 0
        return PacketBatch(
            buffer=self._buffer,
            offset=rows[:, 0].copy(),
            length=rows[:, 1].astype(np.int32),
            wire_length=rows[:, 2].astype(np.int32),
            time=rows[:, 3].copy(),
            link=np.full(len(rows), LinkType.ETHERNET, np.uint16),
        )
