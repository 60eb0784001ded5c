"""What the consumer that acknowledges has not acknowledged: in memory, and beyond that on disk."""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, NamedTuple

from chamaleonet.log.stream.position import Position

if TYPE_CHECKING:
    from chamaleonet.log.stream.spool import Spool

_REFILL = 256  # records that are read from the spool at once, where so many wait


class _Record(NamedTuple):
    position: Position
    frame: bytes
    spooled: bool  # it is in the spool too


class Backlog:
    """A queue of records whose head is in memory and whose tail, when memory is full, is on disk.

    Only what is in memory is sent, and it stays there until it is acknowledged: so its room bounds
    how far a consumer can be ahead of its acknowledgements. Not safe for threads.

    Args:
        capacity: records in memory.
        spool: where more go; without one they are dropped.

    Attributes:
        sent: records handed out to be sent, one that was sent again counted again.
        acknowledged: records that a consumer has said it has.
        last_sent: the greatest position that was handed out.
    """

    def __init__(self, capacity: int, spool: Spool | None = None) -> None:
        self.sent = self.acknowledged = 0
        self.last_sent = Position(0, 0)
        self._dropped: Counter[str] = Counter()
        self._capacity = capacity
        self._spool = spool
        self._closed = False
        self._unacknowledged: deque[_Record] = deque()  # sent in this connection
        self._waiting: deque[_Record] = deque()
        # Whether new records go to the spool: from when memory is full until all that was spooled
        # is in memory again and half of its room is free, so that segments do not get tiny.
        self._spooling = self.spooled > 0

    @property
    def queued(self) -> int:
        """Records in memory."""
        return len(self._unacknowledged) + len(self._waiting)

    @property
    def spooled(self) -> int:
        """Records on disk alone."""
        return self._spool.unread if self._spool is not None else 0

    @property
    def spool_bytes(self) -> int:
        """Bytes that the spool takes."""
        return self._spool.bytes if self._spool is not None else 0

    @property
    def dropped(self) -> Counter[str]:
        """Records that nobody will get, by cause.

        ``stream_queue_full`` without a spool; with one ``stream_spool_full``,
        ``stream_spool_failed`` when the disk did, and ``stream_spool_damaged``;
        ``stream_undelivered`` at the end.
        """
        return self._dropped + self._spool.dropped if self._spool is not None else self._dropped

    def append(self, position: Position, frame: bytes) -> None:
        """Take a new record, or drop and count it.

        Args:
            position: greater than that of all before.
            frame: the record as it goes over the wire.
        """
        if self._closed:
            self._dropped["stream_undelivered"] += 1
            return
        if self._spooling and not self.spooled and self.queued <= self._capacity // 2:
            self._spooling = False
        if not self._spooling and self.queued >= self._capacity:
            if self._spool is None:
                self._dropped["stream_queue_full"] += 1
                return
            self._spooling = True
        if not self._spooling:
            self._waiting.append(_Record(position, frame, spooled=False))
            return
        assert self._spool is not None
        if cause := self._spool.append(position, frame):
            self._dropped[cause] += 1

    def take(self, size: int) -> list[bytes]:
        """Return the next frames to send, about this many bytes of them; none if there are none."""
        self._refill()
        frames = []
        while self._waiting and size > 0:
            record = self._waiting.popleft()
            self._unacknowledged.append(record)
            self.last_sent = max(self.last_sent, record.position)
            self.sent += 1
            frames.append(record.frame)
            size -= len(record.frame)
        return frames

    def _refill(self) -> None:
        if self._spool is None or self._waiting:
            return
        room = self._capacity - self.queued
        if room >= min(self.spooled, _REFILL, (self._capacity + 1) // 2) > 0:
            for position, frame in self._spool.read(room):
                self._waiting.append(_Record(position, frame, spooled=True))

    def acknowledge(self, position: Position) -> None:
        """Forget all records up to this position."""
        for queue in self._unacknowledged, self._waiting:
            while queue and queue[0].position <= position:
                queue.popleft()
                self.acknowledged += 1
        if self._spool is not None:
            self.acknowledged += self._spool.acknowledge(position)

    def rewind(self) -> None:
        """Have all that is not acknowledged sent again."""
        self._waiting.extendleft(reversed(self._unacknowledged))
        self._unacknowledged.clear()

    def close(self) -> None:
        """Leave what is in memory to the spool and the spool to the next run, or drop and count."""
        self._closed = True
        self.rewind()
        for record in self._waiting:
            if not record.spooled and (
                self._spool is None or self._spool.append(record.position, record.frame)
            ):
                self._dropped["stream_undelivered"] += 1
        self._waiting.clear()
        if self._spool is not None:
            self._spool.close()
