"""The pcap file format (draft-ietf-opsawg-pcap): a file header, then packet records."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from chamaleonet.capture.indexing import MAX_CAPTURED, MAX_WIRE_LENGTH, Indexed
from chamaleonet.capture.link import link_type
from chamaleonet.capture.words import u32
from chamaleonet.errors import UserError
from chamaleonet.kernels import kernel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from chamaleonet.capture.batch import PacketBatch

# First four bytes -> (struct's byte order, nanoseconds in one unit of a time stamp's fraction)
MAGICS = {
    b"\xa1\xb2\xc3\xd4": (">", 1000),
    b"\xd4\xc3\xb2\xa1": ("<", 1000),
    b"\xa1\xb2\x3c\x4d": (">", 1),
    b"\x4d\x3c\xb2\xa1": ("<", 1),
}
FILE_HEADER = 24
_RECORD_HEADER = 16
_LINK_TYPE_MASK = 0x03FF_FFFF  # the bits above tell of frame check sequences


class Pcap:
    """A pcap file: a ``RecordFormat``."""

    def __init__(self, header: bytes, name: str) -> None:
        """Read the file header.

        Args:
            header: ``FILE_HEADER`` bytes, the first four a key of ``MAGICS``.
            name: the file's name, for messages.

        Raises:
            UserError: the version or the link type is not supported.
        """
        order, self._tick = MAGICS[header[:4]]
        self._big = order == ">"
        major, minor, *_, link = struct.unpack(order + "4x2H4I", header)
        if (major, minor) != (2, 4):
            raise UserError(
                f"{name}: pcap version {major}.{minor} is not supported (supported: 2.4)"
            )
        self._link = int(link_type(link & _LINK_TYPE_MASK, name))
        self._name = name

    def index(self, space: PacketBatch, end: int, position: int) -> Indexed:
        """Find the packets in a buffer, as ``RecordFormat`` says."""
        packets, used, claimed = _index_records(
            space.buffer, end, self._big, self._tick, self._link,
            space.offset, space.length, space.wire_length, space.time, space.link,
        )  # fmt: skip
        if claimed <= MAX_CAPTURED:
            return Indexed(packets, used, None)
        what = f"a packet of {claimed} captured bytes (at most {MAX_CAPTURED})"
        error = UserError(f"{self._name}: damaged at byte {position + used}: {what}")
        return Indexed(packets, used, error)


@kernel
def _index_records(
    buffer: NDArray[np.uint8],
    end: int,
    big: bool,
    tick: int,
    link: int,
    offset: NDArray[np.int64],
    length: NDArray[np.int32],
    wire_length: NDArray[np.int32],
    time: NDArray[np.int64],
    links: NDArray[np.uint16],
) -> tuple[int, int, int]:
    """Fill the columns; return rows, bytes used and the captured length that ended it (or 0)."""
    row = at = 0
    while row < len(offset) and at + _RECORD_HEADER <= end:
        captured = u32(buffer, at + 8, big)
        if captured > MAX_CAPTURED:
            return row, at, captured
        data = at + _RECORD_HEADER
        if data + captured > end:
            break
        offset[row] = data
        length[row] = captured
        wire_length[row] = min(u32(buffer, at + 12, big), MAX_WIRE_LENGTH)
        # Seconds are unsigned: good until 2106, and within int64 whatever the fraction says.
        time[row] = u32(buffer, at, big) * 1_000_000_000 + u32(buffer, at + 4, big) * tick
        links[row] = link
        row += 1
        at = data + captured
    return row, at, 0
