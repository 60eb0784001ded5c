"""One kind's partial file, and what waits to be written to it."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, NamedTuple

from chamaleonet.log.store import layout

if TYPE_CHECKING:
    from pathlib import Path

# Bytes written at a time. For much larger ones the system looks for as much memory in one piece,
# which costs many times what it takes to copy.
_PIECE = 1 << 18


class Rotation(NamedTuple):
    """When a file ends.

    Attributes:
        time: ns; at each whole multiple of it since 1970 UTC.
        size: bytes on disk, before it is compressed or converted.
    """

    time: int
    size: int


class AppendFile:
    """Gathers bytes in memory, for one partial file after the other.

    Args:
        directory: where the store is.
        suffix: a key of ``kinds.KINDS``.
        follow: it is to be found at layout.EVENTS too, and the one before at EARLIER_EVENTS: who
            follows it can read its last lines when it has been finished, and its own name is gone.

    Attributes:
        path: of the partial file, relative to the directory; None before its first byte.
        written: bytes in it.
        committed: of those, bytes that are committed.
    """

    def __init__(self, directory: Path, suffix: str, *, follow: bool = False) -> None:
        self.path: str | None = None
        self.written = self.committed = 0
        self._directory, self._suffix = directory, suffix
        self._link = directory / layout.EVENTS if follow else None
        self._buffer = bytearray()
        self._descriptor = -1
        self._begun = 0
        self._retire_link()  # of a run that was killed

    @property
    def buffered(self) -> int:
        """Bytes that wait in memory."""
        return len(self._buffer)

    @property
    def empty(self) -> bool:
        """Nothing was written since the last file ended."""
        return self.path is None and not self._buffer

    def write(self, data: bytes | memoryview, /) -> int:
        """Take bytes, to be written by the next ``put``."""
        self._buffer += data
        if len(self._buffer) >= _PIECE and self.path is not None:
            # Sooner than it has to be, while it lies in the processor's cache.
            with contextlib.suppress(OSError):  # the next ``put`` tells
                self._write_out()
        return len(data)

    def flush(self) -> None:
        """Nothing: a commit writes, and only whole records."""

    def put(self, now: int) -> None:
        """Write what waits.

        Args:
            now: ns since 1970 UTC; names the file if it is a new one.

        Raises:
            OSError: not all of it could be written. The rest goes on waiting, and the next call
                continues there.
        """
        if not self._buffer:
            return
        if self.path is None:
            self._begin(now)
        self._write_out()

    def _write_out(self) -> None:
        done = 0
        try:
            while done < len(self._buffer):
                # Views are closed at once: no byte can be removed while there is one. What a call
                # that failed may have written is written over.
                with memoryview(self._buffer) as waiting, waiting[done : done + _PIECE] as rest:
                    done += os.pwrite(self._descriptor, rest, self.written + done)
        finally:
            del self._buffer[:done]
            self.written += done

    def _begin(self, now: int) -> None:
        path, self._descriptor = layout.begin(self._directory, self._suffix, now)
        if self._link is not None:
            self._retire_link()
            try:
                self._link.hardlink_to(self._directory / path)
            except OSError:
                os.close(self._descriptor)
                (self._directory / path).unlink()
                raise
        self.path, self._begun = path, now

    def _retire_link(self) -> None:
        if self._link is not None:
            with contextlib.suppress(OSError):  # most often: there is none
                self._link.replace(self._directory / layout.EARLIER_EVENTS)

    def due(self, rotation: Rotation, now: int) -> bool:
        """Tell whether the file is to end."""
        return self.path is not None and (
            self.written >= rotation.size or now // rotation.time != self._begun // rotation.time
        )

    def close(self) -> tuple[str, int] | None:
        """End the file: the next byte begins another one. What waits in memory is dropped.

        Returns:
            Its path and how much of it was committed; None if it was nothing.
        """
        path, committed = self.path, self.committed
        self.path = None
        self.written = self.committed = 0
        self._buffer.clear()
        if path is None:
            return None
        with contextlib.suppress(OSError):  # whoever finishes the file will see it again
            os.close(self._descriptor)
        self._retire_link()
        if not committed:
            (self._directory / path).unlink(missing_ok=True)
            return None
        return path, committed
