"""A segment of the spool: a file of frames whose positions follow each other."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path  # noqa: TC003  (dataclass)
from typing import TYPE_CHECKING

from chamaleonet.log.stream.frames import LENGTH, MAX_FRAME
from chamaleonet.log.stream.position import Position

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger(__name__)

_READ_BYTES = 1 << 18


@dataclass(slots=True)
class Segment:
    """A file of frames, and how far it has been read.

    Attributes:
        path: the file.
        first: position of its first frame; a frame's number in the file tells its position.
        count: frames in it.
        size: bytes of those.
        read: frames that were read.
        offset: bytes of those.
    """

    path: Path
    first: Position
    count: int = 0
    size: int = 0
    read: int = 0
    offset: int = 0

    @property
    def last(self) -> Position:
        """The position of the last frame."""
        return self._position(self.count - 1)

    @property
    def end(self) -> Position:
        """The position after the last frame."""
        return self._position(self.count)

    @property
    def next(self) -> Position:
        """The position of the first frame that is not yet read."""
        return self._position(self.read)

    @property
    def unread(self) -> int:
        """Frames that are not yet read."""
        return self.count - self.read

    def _position(self, number: int) -> Position:
        return Position(self.first.run, self.first.seq + number)

    def measure(self) -> bool:
        """Count the frames in the file; return whether nothing but a torn tail follows them.

        Raises:
            OSError: the file cannot be read.
        """
        data = self.path.read_bytes()
        while self.size + LENGTH.size <= len(data):
            (length,) = LENGTH.unpack_from(data, self.size)
            if length > MAX_FRAME:
                return False
            end = self.size + LENGTH.size + length
            if end > len(data):
                break
            self.size = end
            self.count += 1
        return True

    def frames(self) -> Iterator[tuple[Position, bytes]]:
        """Yield some of the frames that are not yet read, which they are then.

        Yields none where there are some if the file cannot be read, or is no longer what it was.
        """
        data = self._piece()
        at = 0
        while self.unread and at + LENGTH.size <= len(data):
            (length,) = LENGTH.unpack_from(data, at)
            end = at + LENGTH.size + length
            if end > len(data):
                return
            position = self.next
            self.read += 1
            self.offset += end - at
            yield position, data[at:end]
            at = end

    def _piece(self) -> bytes:
        try:
            with self.path.open("rb", buffering=0) as file:
                file.seek(self.offset)
                return file.read(min(_READ_BYTES, self.size - self.offset))
        except OSError as error:
            log.warning("%s: cannot be read: %s", self.path, error.strerror)
            return b""
