"""Capture files: pcap or pcapng, plain or compressed, on disk or on standard input."""

from __future__ import annotations

import io
import os
import select
import stat
from typing import TYPE_CHECKING, Self

import numpy as np

from chamaleonet.capture.batch import PacketBatch
from chamaleonet.capture.compression import ByteStream, Decompressed, codec_of
from chamaleonet.capture.indexing import MIN_RECORD, RecordFormat
from chamaleonet.capture.pcap import FILE_HEADER, MAGICS, Pcap
from chamaleonet.capture.pcapng import MAGIC, MIN_SECTION_HEADER, Pcapng
from chamaleonet.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

# Small enough to stay in the processor's cache from reading to judging.
CHUNK_BYTES = 1 << 20

# What people take for a capture, by its first bytes.
_OTHERS = {
    b"\xa1\xb2\xcd\x34": "Kuznetzov's modified pcap; convert it with editcap",
    b"\x34\xcd\xb2\xa1": "Kuznetzov's modified pcap; convert it with editcap",
    b"snoop\0\0\0": "snoop (RFC 1761); convert it with editcap",
    b"GMBU": "a Network Monitor capture; convert it with editcap",
    b"XCP\0": "a NetXRay capture; convert it with editcap",
    b"BZh": "bzip2 data; decompress it first",
    b"\x04\x22\x4d\x18": "lz4 data; decompress it first",
    b"PK\x03\x04": "a zip archive; extract it first",
}


def open_capture(path: str) -> CaptureFile:
    """Open a capture and check what can be checked without reading it.

    Args:
        path: a file, or ``-`` for standard input. Only the first bytes are read, and they are
            not lost.

    Raises:
        UserError: it cannot be read, is empty, is no capture, or has an unsupported link type
            (a pcapng file tells that when a packet of such an interface comes).
    """
    name = "standard input" if path == "-" else path
    try:
        file = io.FileIO(0, closefd=False) if path == "-" else io.FileIO(path)
    except OSError as error:
        raise UserError(f"{name}: {error.strerror}") from error
    try:
        return CaptureFile(file, name)
    except BaseException:
        file.close()
        raise


class CaptureFile:
    """An open capture, to be read once, from front to end. Use it as a context manager.

    Attributes:
        name: for messages.
        size: bytes of the file on disk; None where nobody knows, as for a pipe.
        truncated: True once ``batches`` has ended at a record, or a compressed stream, that the
            file does not hold whole.
    """

    def __init__(self, file: io.FileIO, name: str) -> None:
        """Take over an open file and read its header; see ``open_capture``."""
        status = os.fstat(file.fileno())
        self.name = name
        self.size = status.st_size if stat.S_ISREG(status.st_mode) else None
        self.truncated = False
        self._file = file
        self._plain = _Plain(file, name)
        self._stream: ByteStream = self._plain
        self._head = _read_head(self._stream)
        if codec := codec_of(self._head):
            self._stream = Decompressed(self._plain, codec, self._head, name)
            self._head = _read_head(self._stream)
        self._format = self._recognise()

    @property
    def position(self) -> int:
        """Bytes of the file on disk, compressed or not, that have been read so far."""
        return self._plain.position

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; standard input stays open."""
        self._file.close()

    def batches(
        self, packets: int = 16384, *, buffers: int = 1, chunk_bytes: int = CHUNK_BYTES
    ) -> Iterator[PacketBatch]:
        """Read all packets, in the file's order. Memory does not grow with the file's length.

        A batch is valid until ``buffers`` more batches have been asked for: with 1, until the
        next; with 3, two may wait in a queue while the third is read.

        Args:
            packets: in a batch, at most; there are fewer where a chunk ends.
            buffers: how many chunks are held.
            chunk_bytes: read at a time; a longer record makes its buffer grow.

        Raises:
            UserError: the file cannot be read or is damaged. All packets before the damage have
                been yielded, and the message tells where it lies (in the decompressed bytes).
        """
        spaces = [_space(chunk_bytes) for _ in range(buffers)]
        turn = 0
        start = FILE_HEADER if isinstance(self._format, Pcap) else 0  # where in the file "rest" is
        rest = np.frombuffer(self._head, np.uint8)[start:]
        fresh = len(rest) > 0  # bytes that were never indexed
        while True:
            # Always room for as many bytes as wait already: growing takes few steps.
            if len(rest) * 2 > len(spaces[turn].buffer):
                spaces[turn] = _space(len(rest) * 2)
            space = spaces[turn]
            space.buffer[: len(rest)] = rest
            got = self._stream.readinto(space.buffer[len(rest) :].data)
            if not got and not fresh:
                break
            fresh = False
            end = len(rest) + got
            count, used, error = self._format.index(space, end, start)
            for first in range(0, count, packets):
                yield _rows(space, slice(first, min(first + packets, count)))
            if error:
                raise error
            rest = space.buffer[used:end]
            start += used
            turn = (turn + (count > 0)) % buffers
        self.truncated = self._stream.truncated or len(rest) > 0

    def _recognise(self) -> RecordFormat:
        head, name = self._head, self.name
        if not head:
            raise UserError(f"{name}: empty file")
        known = head[:4] == MAGIC or head[:4] in MAGICS
        if not known:
            other = next((what for magic, what in _OTHERS.items() if head.startswith(magic)), None)
            raise UserError(
                f"{name}: not a pcap or pcapng capture{f', but {other}' if other else ''}"
            )
        if len(head) < (MIN_SECTION_HEADER if head[:4] == MAGIC else FILE_HEADER):
            raise UserError(f"{name}: the file ends inside its header")
        return Pcapng(head, name) if head[:4] == MAGIC else Pcap(head[:FILE_HEADER], name)


class _Plain:
    """The bytes of a file as they are: a ``ByteStream`` that counts."""

    truncated = False

    def __init__(self, file: io.FileIO, name: str) -> None:
        self.position = 0
        self._file = file
        self._name = name

    def readinto(self, view: memoryview, /) -> int:
        try:
            while (got := self._file.readinto(view)) is None:  # standard input may be non-blocking
                select.select([self._file], [], [])
        except OSError as error:
            raise UserError(f"{self._name}: {error.strerror}") from error
        self.position += got
        return got


def _read_head(stream: ByteStream) -> bytes:
    """Read as many bytes as the longer of the two file headers has."""
    head = bytearray(MIN_SECTION_HEADER)
    filled = 0
    while filled < len(head) and (got := stream.readinto(memoryview(head)[filled:])):
        filled += got
    return bytes(head[:filled])


def _space(size: int) -> PacketBatch:
    """Return a buffer, and columns for as many packets as it can ever hold."""
    rows = size // MIN_RECORD
    return PacketBatch(
        buffer=np.empty(size, np.uint8),
        offset=np.empty(rows, np.int64),
        length=np.empty(rows, np.int32),
        wire_length=np.empty(rows, np.int32),
        time=np.empty(rows, np.int64),
        link=np.empty(rows, np.uint16),
    )


def _rows(space: PacketBatch, rows: slice) -> PacketBatch:
    return PacketBatch(
        space.buffer,
        space.offset[rows],
        space.length[rows],
        space.wire_length[rows],
        space.time[rows],
        space.link[rows],
    )
