"""One end of the connection between the controller and a detector; nothing here waits."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from chamaleonet.detectors.frames import FrameReader

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from chamaleonet.detectors.frames import Frame

_MOST_READ = 8 << 20  # bytes in one go, so that the caller gets to its other duties


class Channel:
    """Sends and receives frames.

    Args:
        connection: a stream socket; closed with the channel.

    Attributes:
        queued: bytes that wait to be sent.
        ended: the other end is gone.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        connection.setblocking(False)
        self._reader = FrameReader()
        self._unsent: deque[memoryview] = deque()
        self.queued = 0
        self.ended = False

    def fileno(self) -> int:
        """Return the socket's descriptor."""
        return self._socket.fileno()

    def put(self, frame: bytes) -> None:
        """Have a frame sent, by this ``flush`` and later ones."""
        self._unsent.append(memoryview(frame))
        self.queued += len(frame)

    def flush(self) -> None:
        """Send what can be sent now."""
        try:
            while self._unsent:
                sent = self._socket.send(self._unsent[0])
                self.queued -= sent
                self._unsent[0] = self._unsent[0][sent:]
                if not self._unsent[0]:
                    self._unsent.popleft()
        except BlockingIOError:
            pass
        except OSError:
            self.ended = True

    def flush_all(self) -> None:
        """Send everything, however long it takes."""
        self._socket.setblocking(True)
        self.flush()

    def frames(self) -> Iterator[Frame]:
        """Yield the frames that have come."""
        left = _MOST_READ
        while left > 0 and not self.ended:
            try:
                number = self._socket.recv_into(self._reader.room)
            except BlockingIOError:
                return
            except OSError:
                number = 0
            self.ended = not number
            left -= number
            if number and (frame := self._reader.wrote(number)):
                yield frame

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()
