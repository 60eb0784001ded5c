"""Messages as bytes: a big-endian 32-bit length, then that many bytes of MessagePack."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import msgpack

from chamaleonet.log.stream.messages import MessageError, check_message

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chamaleonet.log.stream.messages import Messages

MAX_FRAME = 16384  # bytes of MessagePack in a frame, at most; a verdict with its packet needs 600

LENGTH = struct.Struct(">I")


class OversizedError(MessageError):
    """A frame that says it is longer than MAX_FRAME."""


class TruncatedError(MessageError):
    """The other end stopped inside a frame."""


def pack_frame(message: dict[str, Any]) -> bytes:
    """Return a message as a frame."""
    body: bytes = msgpack.packb(message)
    assert len(body) <= MAX_FRAME
    return LENGTH.pack(len(body)) + body


def unpack_body(body: bytes, known: Messages) -> dict[str, Any]:
    """Return the message that a frame holds after its length.

    Raises:
        MessageError: it is no MessagePack, or no known message.
    """
    try:
        message = msgpack.unpackb(body, ext_hook=_refuse_extension)
    except (ValueError, TypeError, OverflowError, RecursionError, msgpack.UnpackException) as error:
        raise MessageError(f"not MessagePack: {error}") from None
    return check_message(message, known)


class FrameReader:
    """Cuts a stream of bytes into checked messages. Holds no more than one frame and one feed.

    Args:
        known: the messages that the other end may send.
    """

    def __init__(self, known: Messages) -> None:
        self._known = known
        self._waiting = bytearray()

    def feed(self, data: bytes) -> Iterator[dict[str, Any]]:
        """Yield the messages that are complete with these bytes.

        Raises:
            MessageError: a frame is too long, is no MessagePack, or no known message. Nothing
                after it can be trusted.
        """
        self._waiting += data
        while len(self._waiting) >= LENGTH.size:
            (length,) = LENGTH.unpack_from(self._waiting)
            if length > MAX_FRAME:
                raise OversizedError(f"a frame of {length} bytes")
            end = LENGTH.size + length
            if len(self._waiting) < end:
                return
            body = bytes(self._waiting[LENGTH.size : end])
            del self._waiting[:end]
            yield unpack_body(body, self._known)

    def end(self) -> None:
        """Tell that nothing more comes.

        Raises:
            TruncatedError: a frame has begun and not ended.
        """
        if self._waiting:
            raise TruncatedError(f"the stream ended {len(self._waiting)} bytes into a frame")


def _refuse_extension(code: int, _: bytes) -> object:
    raise ValueError(f"extension type {code}")
