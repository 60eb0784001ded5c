"""The batch of packets that every source yields and the flow engine takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(slots=True)
class PacketBatch:
    """N packets that lie in one buffer, as columns of length N.

    The columns and the buffer are borrowed: a source may overwrite them when it is asked for its
    next batch.

    Attributes:
        buffer: uint8, shape (B,): the captured bytes of all packets.
        offset: int64: where a packet's first byte lies in ``buffer``.
        length: int32: captured bytes; ``offset + length <= B`` always holds.
        wire_length: int32: bytes the packet had on the wire (the "original length").
        time: int64: nanoseconds since 1970-01-01 UTC.
        link: uint16: link type, one of ``chamaleonet.capture.link.LinkType``.
    """

    buffer: NDArray[np.uint8]
    offset: NDArray[np.int64]
    length: NDArray[np.int32]
    wire_length: NDArray[np.int32]
    time: NDArray[np.int64]
    link: NDArray[np.uint16]

    def __len__(self) -> int:
        return len(self.offset)
