"""The producer's end of a connection: what one consumer of the verdict stream is sent, and says."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from itertools import chain
from typing import TYPE_CHECKING, Any

from chamaleonet.log.stream.frames import pack_frame
from chamaleonet.log.stream.messages import MessageError
from chamaleonet.log.stream.packing import pack_flow
from chamaleonet.log.stream.position import Position

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from chamaleonet.log.stream.backlog import Backlog
    from chamaleonet.log.stream.channel import Channel

_CHUNK_BYTES = 65536
_CURRENT = pack_frame({"kind": "current"})


def _erroneous_now(flows: NDArray[Any]) -> Iterator[bytes]:
    """Yield the frames that tell of these flows: packed as they are sent, for they may be many."""
    for flow in flows:
        yield pack_frame({"kind": "active", "flow": pack_flow(flow)})
    yield _CURRENT


def _some(frames: Iterator[bytes]) -> list[bytes]:
    chunk = []
    size = 0
    while size < _CHUNK_BYTES and (frame := next(frames, None)):
        chunk.append(frame)
        size += len(frame)
    return chunk


class Consumer(ABC):
    """A consumer that has greeted, driven by one thread.

    Args:
        channel: the connection to it.
        lock: guards all that other threads touch.
        first: frames to begin with.

    Attributes:
        closing: set, with the lock, when the stream ends once this consumer has all.
        stopped: set, with the lock, when it ends at once.
    """

    def __init__(self, channel: Channel, lock: threading.Lock, first: Iterator[bytes]) -> None:
        self.closing = self.stopped = False
        self._channel = channel
        self._lock = lock
        self._first = first

    def run(self) -> None:
        """Send and receive until the stream ends.

        Raises:
            EOFError, OSError: the consumer is gone.
            MessageError: it says what it may not.
        """
        while not self.stopped:
            if self._channel.idle:
                chunk = self._next()
                if chunk:
                    self._channel.put(b"".join(chunk))
                elif self.closing and self._is_done():
                    return
            for message in self._channel.turn():
                with self._lock:
                    if not self.stopped:
                        self._hear(message)

    def wake(self) -> None:
        """Have ``run`` look at what changed. For any thread."""
        self._channel.wake()

    def _next(self) -> list[bytes]:
        if chunk := _some(self._first):
            return chunk
        with self._lock:
            chunk = [] if self.stopped else self._take()
        return chunk or _some(self._first)

    @abstractmethod
    def _take(self) -> list[bytes]:
        """Return the next frames, or set ``_first`` to some; called with the lock."""

    @abstractmethod
    def _is_done(self) -> bool:
        """Return whether the consumer has all."""

    @abstractmethod
    def _hear(self, message: dict[str, Any]) -> None:
        """Handle what it says; called with the lock."""


class Follower(Consumer):
    """A consumer that gets what happens from now on, as long as it is fast enough.

    Args:
        channel: the connection to it.
        lock: guards all that other threads touch.
        hello: the producer's hello.
        erroneous: FLOW, shape (n,): the flows that are erroneous now.
        capacity: frames that wait for it at most.
    """

    def __init__(
        self,
        channel: Channel,
        lock: threading.Lock,
        hello: bytes,
        erroneous: NDArray[Any],
        capacity: int,
    ) -> None:
        super().__init__(channel, lock, chain((hello,), _erroneous_now(erroneous)))
        self._frames: deque[bytes] = deque(maxlen=capacity)

    def append(self, frame: bytes) -> bool:
        """Queue a frame, with the lock; return whether the oldest was dropped for it."""
        full = len(self._frames) == self._frames.maxlen
        self._frames.append(frame)
        return full

    def _take(self) -> list[bytes]:
        return _some(self._frames.popleft() for _ in range(len(self._frames)))

    def _is_done(self) -> bool:
        return not self._frames

    def _hear(self, message: dict[str, Any]) -> None:
        raise MessageError(f"a follower says {message['kind']}")


class Acknowledger(Consumer):
    """The consumer that gets every record, and says which ones it has kept.

    Args:
        channel: the connection to it.
        lock: guards all that other threads touch.
        hello: the producer's hello.
        snapshot: returns the flows that are erroneous now (FLOW, shape (n,)); called with the lock
            when all records that waited have been sent.
        backlog: the records.
        run: this run of the controller.
    """

    def __init__(
        self,
        channel: Channel,
        lock: threading.Lock,
        hello: bytes,
        snapshot: Callable[[], NDArray[Any]],
        backlog: Backlog,
        run: int,
    ) -> None:
        super().__init__(channel, lock, iter((hello,)))
        self._snapshot: Callable[[], NDArray[Any]] | None = snapshot
        self._backlog = backlog
        self._run = run

    def _take(self) -> list[bytes]:
        frames = self._backlog.take(_CHUNK_BYTES)
        if not frames and self._snapshot is not None and not self._backlog.spooled:
            self._first = _erroneous_now(self._snapshot())
            self._snapshot = None
        return frames

    def _is_done(self) -> bool:
        return not self._backlog.queued and not self._backlog.spooled

    def _hear(self, message: dict[str, Any]) -> None:
        if message["kind"] != "ack":
            raise MessageError(f"a consumer says {message['kind']} out of turn")
        position = Position(message["run"], message["seq"])
        if position.run >= self._run and position > self._backlog.last_sent:
            raise MessageError("what was not sent is acknowledged")
        self._backlog.acknowledge(position)
