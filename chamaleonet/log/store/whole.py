"""How much of a file's front is whole, whatever bytes follow.

After a power cut a file may end anywhere, and zeros may stand where the last bytes should be.
"""

from __future__ import annotations

import os
import struct
from typing import BinaryIO

from chamaleonet.flows.records import FLOW
from chamaleonet.log.tally import COUNT

_CHUNK = 1 << 20  # bytes read at a time

_HEAD = struct.Struct("=III")  # of a block: type, length, byte-order magic if it is a section's
_LENGTH = struct.Struct("=I")
_SECTION_HEADER, _BYTE_ORDER_MAGIC = 0x0A0D0D0A, 0x1A2B3C4D
_MAX_BLOCK = 1 << 24  # bytes; longer ones are taken for damage, as in Wireshark


def whole_blocks(file: BinaryIO) -> int:
    """Return the length of the pcapng blocks that are whole (draft-ietf-opsawg-pcapng).

    Args:
        file: at its beginning; one section in this machine's byte order.
    """
    end = 0
    rest = b""
    while chunk := file.read(_CHUNK):
        rest += chunk
        at = 0
        while length := _block(rest, at, first=end + at == 0):
            at += length
        if length is None:
            return end + at
        end += at
        rest = rest[at:]
    return end


def _block(data: bytes, at: int, *, first: bool) -> int | None:
    """Return the length of the block at an index: 0 if it is not all there, None for damage."""
    if len(data) < at + _HEAD.size:
        return 0
    kind, length, magic = _HEAD.unpack_from(data, at)
    if first and (kind, magic) != (_SECTION_HEADER, _BYTE_ORDER_MAGIC):
        return None
    if length < 12 or length % 4 or length > _MAX_BLOCK:
        return None
    if len(data) < at + length:
        return 0
    repeated = _LENGTH.unpack_from(data, at + length - _LENGTH.size)
    return length if repeated == (length,) else None


def whole_flows(file: BinaryIO) -> int:
    """Return the length of the FLOW records that are whole; damaged ones are left out later."""
    return _whole_records(file, FLOW.itemsize)


def whole_counts(file: BinaryIO) -> int:
    """Return the length of the COUNT records that are whole; damaged ones are left out later."""
    return _whole_records(file, COUNT.itemsize)


def _whole_records(file: BinaryIO, size: int) -> int:
    length = os.fstat(file.fileno()).st_size
    return length - length % size


def whole_lines(file: BinaryIO) -> int:
    """Return the length of the lines that are whole.

    Args:
        file: at its beginning.
    """
    end = at = 0
    while chunk := file.read(_CHUNK):
        text, damage, _ = chunk.partition(b"\0")
        end = max(end, at + text.rfind(b"\n") + 1) if b"\n" in text else end
        if damage:
            break
        at += len(chunk)
    return end
