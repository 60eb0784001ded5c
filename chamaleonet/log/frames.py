"""Messages as bytes: a big-endian 32-bit length, then that many bytes of MessagePack."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import msgpack

from chamaleonet.log.messages import MessageError, check_message

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_FRAME = 16384  # bytes of MessagePack in a frame, at most; a verdict with its packet needs 600

_LENGTH = struct.Struct(">I")


class OversizedError(MessageError):
    """A frame that says it is longer than MAX_FRAME."""


def pack_frame(message: dict[str, Any]) -> bytes:
    """Return a message as a frame."""
    body: bytes = msgpack.packb(message)
    assert len(body) <= MAX_FRAME
    return _LENGTH.pack(len(body)) + body


class FrameReader:
    """Cuts a stream of bytes into checked messages. Holds no more than one frame and one feed."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    @property
    def inside(self) -> bool:
        """Whether a frame has begun and not ended."""
        return bool(self._waiting)

    def feed(self, data: bytes) -> Iterator[dict[str, Any]]:
        """Yield the messages that are complete with these bytes.

        Raises:
            MessageError: a frame is too long, is no MessagePack, or no message that
                chamaleonet.log.messages knows. Nothing after it can be trusted.
        """
        self._waiting += data
        while len(self._waiting) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._waiting)
            if length > MAX_FRAME:
                raise OversizedError(f"a frame of {length} bytes")
            end = _LENGTH.size + length
            if len(self._waiting) < end:
                return
            body = bytes(self._waiting[_LENGTH.size : end])
            del self._waiting[:end]
            yield check_message(_unpack(body))


def _unpack(body: bytes) -> object:
    try:
        return msgpack.unpackb(body, ext_hook=_refuse_extension)
    except (ValueError, TypeError, OverflowError, RecursionError, msgpack.UnpackException) as error:
        raise MessageError(f"not MessagePack: {error}") from None


def _refuse_extension(code: int, _: bytes) -> object:
    raise ValueError(f"extension type {code}")
