"""Compressed captures: gzip, Zstandard and xz, decompressed as a stream of bounded memory."""

from __future__ import annotations

import lzma
import zlib
from typing import TYPE_CHECKING, NamedTuple, Protocol

from chamaleonet.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

_BLOCK_BYTES = 1 << 18  # compressed bytes asked for at a time
_XZ_MEMORY = 1 << 28  # bytes; "xz -9" needs 65 MB


class ByteStream(Protocol):
    """Where a capture's bytes come from.

    Attributes:
        truncated: the stream ended before its own format says that it ends.
    """

    truncated: bool

    def readinto(self, view: memoryview, /) -> int:
        """Fill the front of ``view`` and return how many bytes; 0 only at the end."""
        ...


class Decompressor(Protocol):
    """What the decompressors of lzma and Zstandard have in common (PEP 784)."""

    @property
    def eof(self) -> bool:
        """The compressed stream has ended."""
        ...

    @property
    def needs_input(self) -> bool:
        """There is no more output to be had without more input."""
        ...

    @property
    def unused_data(self) -> bytes:
        """What was given beyond the compressed stream's end."""
        ...

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """Take more input and return at most so many bytes of output."""
        ...


class _Gunzip:
    """zlib with the same interface."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def needs_input(self) -> bool:
        return not self._zlib.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._zlib.decompress(self._zlib.unconsumed_tail + data, max_length)


def _unxz() -> Decompressor:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)


def _unzstd() -> Decompressor:
    from backports.zstd import ZstdDecompressor  # compression.zstd from Python 3.14 on

    return ZstdDecompressor()


class Codec(NamedTuple):
    """A compression format: its name, its first bytes and how to undo it."""

    name: str
    magics: tuple[bytes, ...]
    decompressor: Callable[[], Decompressor]


_CODECS = (
    Codec("gzip", (b"\x1f\x8b\x08",), _Gunzip),  # RFC 1952
    # RFC 8878; pzstd begins a file with one of the 16 kinds of skippable frame.
    Codec(
        "zstd", (b"\x28\xb5\x2f\xfd", *(b"%c\x2a\x4d\x18" % n for n in range(0x50, 0x60))), _unzstd
    ),
    Codec("xz", (b"\xfd7zXZ\x00",), _unxz),  # xz-file-format.txt, section 2.1.1.1
)


def codec_of(head: bytes) -> Codec | None:
    """Return the compression format that a file with these first bytes has, if any."""
    return next((codec for codec in _CODECS if head.startswith(codec.magics)), None)


class Decompressed:
    """A compressed stream, decompressed. Concatenated streams and zero padding are one stream."""

    def __init__(self, source: ByteStream, codec: Codec, head: bytes, name: str) -> None:
        """Take over ``source``, of which ``head`` has been read already.

        Args:
            source: the compressed bytes.
            codec: how they are compressed.
            head: the first of them.
            name: the file's name, for messages.
        """
        self.truncated = False
        self._source = source
        self._codec = codec
        self._name = name
        self._input = head
        self._block = memoryview(bytearray(_BLOCK_BYTES))
        self._decompressor = codec.decompressor()

    def readinto(self, view: memoryview, /) -> int:
        """Fill the front of ``view``; 0 at the end.

        Raises:
            UserError: the compressed data is corrupt, or something else follows it.
        """
        while True:
            if self._decompressor.eof and not self._next_stream():
                return 0
            if self._decompressor.needs_input and not self._input and not self._refill():
                self.truncated = True
                return 0
            data, self._input = self._input, b""
            try:
                output = self._decompressor.decompress(data, len(view))
            except Exception as error:  # zlib, lzma and zstd share no base class
                raise UserError(
                    f"{self._name}: corrupt {self._codec.name} data: {error}"
                ) from error
            if output:
                view[: len(output)] = output
                return len(output)

    def _refill(self) -> bool:
        got = self._source.readinto(self._block)
        self._input = bytes(self._block[:got])
        return got > 0

    def _next_stream(self) -> bool:
        """Begin with the stream that follows the one that ended, if there is one."""
        self._input = self._decompressor.unused_data.lstrip(b"\0")
        while not self._input:
            if not self._refill():
                return False
            self._input = self._input.lstrip(b"\0")
        # Enough bytes to recognise it by, unless the file ends here.
        while len(self._input) < len(max(self._codec.magics, key=len)):
            head = self._input
            if not self._refill():
                break
            self._input = head + self._input
        if not any(magic.startswith(self._input[: len(magic)]) for magic in self._codec.magics):
            raise UserError(f"{self._name}: {self._codec.name} data is followed by something else")
        self._decompressor = self._codec.decompressor()
        return True
