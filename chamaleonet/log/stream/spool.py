"""Records of the verdict stream on disk, where memory has no room for them.

A spool is a directory of segments: files of frames as they go over the wire, whose positions
follow each other without a gap. A segment is named by its first position, so names sort as
records do. It is deleted once all of its records are acknowledged. What one run of the controller
leaves, the next one reads back. Frames are handed to the system one by one and never synced: they
survive the death of the process at any moment, and that of the machine as far as the system had
written them.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import re
import time
from collections import Counter, deque
from typing import TYPE_CHECKING

from chamaleonet.errors import UserError
from chamaleonet.log.stream.frames import LENGTH, unpack_body
from chamaleonet.log.stream.messages import RECORDS, MessageError
from chamaleonet.log.stream.packing import check_record
from chamaleonet.log.stream.position import Position
from chamaleonet.log.stream.segment import Segment

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

log = logging.getLogger(__name__)

_SEGMENT_BYTES = 8 << 20
_RETRY_SECONDS = 1.0  # how long a disk that failed is let alone
_FULL = (errno.ENOSPC, errno.EDQUOT)
_NAME = re.compile(r"([0-9]{20})-([0-9]{20})\.frames")
_MOST_RUN = 1 << 63  # no clock reads that: a greater number is damage


class Spool:
    """A bounded directory of records, oldest first.

    Args:
        directory: made if missing; of mode 0700, for records hold addresses.
        size: bytes that the records may take.
        after: a number that the run's is to be greater than.
        clock: seconds, of any clock that runs evenly.

    Attributes:
        run: the number of this run of the controller, greater than that of all noted before.
        unread: records that ``read`` has still to return.
        bytes: what the segments take.
        dropped: ``stream_spool_damaged``: records that cannot be read back.

    Raises:
        UserError: the directory cannot be used, or another process uses it.
    """

    def __init__(
        self,
        directory: Path,
        size: int,
        *,
        after: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.unread = self.bytes = 0
        self.dropped: Counter[str] = Counter()
        self._directory, self._size, self._clock = directory, size, clock
        self._segment_bytes = min(_SEGMENT_BYTES, max(size // 16, 1))
        self._segments: deque[Segment] = deque()  # oldest first
        self._file: int | None = None  # the newest segment, while frames are appended to it
        self._failed: tuple[float, str] | None = None  # till when the disk is let alone, and why
        self._last: Position | None = None  # of what was read
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            if directory.stat().st_mode & 0o077:
                raise UserError(f"{directory}: a spool must be its owner's alone (mode 0700)")
            self._lock = _private(directory / "lock", os.O_RDWR | os.O_CREAT)
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._adopt()
                self.run = self._begin_run(after)
            except BaseException:
                os.close(self._lock)
                raise
        except BlockingIOError:
            raise UserError(f"{directory}: another controller uses this spool") from None
        except OSError as error:
            raise UserError(f"{directory}: cannot be the spool: {error.strerror}") from None

    def _adopt(self) -> None:
        """Find what earlier runs left."""
        for path in sorted(self._directory.iterdir()):
            name = _NAME.fullmatch(path.name)
            if name is None or int(name[1]) >= _MOST_RUN:
                continue
            segment = Segment(path, Position(int(name[1]), int(name[2])))
            try:
                sound = segment.measure()
            except OSError as error:
                log.warning("%s: cannot be read: %s", path, error.strerror)
                self.dropped["stream_spool_damaged"] += 1
                continue
            self.dropped["stream_spool_damaged"] += not sound
            self.unread += segment.count
            self.bytes += segment.size
            if segment.count:
                self._segments.append(segment)
            else:
                self._delete(segment)
        if self.unread:
            log.info("%s: %d records wait from earlier runs", self._directory, self.unread)

    def _begin_run(self, after: int) -> int:
        note = self._directory / "run"
        last = max((after, *(segment.first.run for segment in self._segments)))
        with contextlib.suppress(FileNotFoundError):
            noted = note.read_bytes()
            if noted.isdigit() and len(noted) < 20 and int(noted) < _MOST_RUN:
                last = max(last, int(noted))
            else:
                log.warning("%s: not a run's number: ignored", note)
        run = max(time.time_ns(), last + 1)
        fresh = note.with_suffix(".new")
        try:
            with open(fresh, "wb", opener=_private) as file:
                file.write(b"%d" % run)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(note)
        except OSError as error:  # a full disk is no reason not to watch the network
            log.warning("%s: cannot be written: %s", note, error.strerror)
        return run

    def append(self, position: Position, frame: bytes) -> str | None:
        """Write a record; return under which cause it is dropped instead, None if it is not.

        Args:
            position: its position; greater than of all before, except right before ``close``.
            frame: the record as it goes over the wire.
        """
        if self._failed is not None:
            until, cause = self._failed
            if self._clock() < until:
                return cause
        if self.bytes + len(frame) > self._size:
            return "stream_spool_full"
        try:
            self._write(position, frame)
        except OSError as error:
            self._close_file()
            cause = "stream_spool_full" if error.errno in _FULL else "stream_spool_failed"
            if self._failed is None:
                log.warning("%s: cannot spool: %s", self._directory, error.strerror)
            self._failed = self._clock() + _RETRY_SECONDS, cause
            return cause
        if self._failed is not None:
            log.warning("%s: spools again", self._directory)
            self._failed = None
        return None

    def _write(self, position: Position, frame: bytes) -> None:
        segment = self._segments[-1] if self._file is not None else None
        if segment is None or segment.size >= self._segment_bytes or segment.end != position:
            segment = self._begin_segment(position)
        assert self._file is not None
        written = os.write(self._file, frame)
        if written < len(frame):
            # The rest is as a torn tail, where it cannot be taken back.
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, segment.size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        segment.size += len(frame)
        segment.count += 1
        self.bytes += len(frame)
        self.unread += 1

    def _begin_segment(self, position: Position) -> Segment:
        self._close_file()
        path = self._directory / f"{position.run:020}-{position.seq:020}.frames"
        self._file = _private(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        self._segments.append(Segment(path, position))
        return self._segments[-1]

    def _close_file(self) -> None:
        if self._file is None:
            return
        with contextlib.suppress(OSError):  # what was written was seen to be
            os.close(self._file)
        self._file = None
        if not self._segments[-1].count:
            self._delete(self._segments.pop())

    def _delete(self, segment: Segment) -> None:
        self.bytes -= segment.size
        self.unread -= segment.unread
        try:
            segment.path.unlink()
        except OSError as error:  # its records come again after a restart, and are known then
            log.warning("%s: cannot be deleted: %s", segment.path, error.strerror)

    def read(self, most: int) -> list[tuple[Position, bytes]]:
        """Return some of the next records, at most so many, as they go over the wire.

        What is damaged is left out and counted. None are returned if there are no more.
        """
        records: list[tuple[Position, bytes]] = []
        while self.unread and not records:
            segment = next(each for each in self._segments if each.unread)
            before = segment.unread
            for position, frame in segment.frames():
                self.unread -= 1
                if self._is_sound(position, frame):
                    self._last = position
                    records.append((position, frame))
                else:
                    self.dropped["stream_spool_damaged"] += 1
                if len(records) == most:
                    break
            if segment.unread == before:
                self.dropped["stream_spool_damaged"] += before
                self.unread -= before
                segment.read = segment.count
        return records

    def _is_sound(self, position: Position, frame: bytes) -> bool:
        if self._last is not None and position <= self._last:
            return False
        try:
            message = unpack_body(frame[LENGTH.size :], RECORDS)
            check_record(message)
        except MessageError:
            return False
        return (message["run"], message["seq"]) == position

    def acknowledge(self, position: Position) -> int:
        """Forget the records up to this position; return how many of them were unread."""
        before = self.unread
        while self._segments and self._segments[0].last <= position:
            if len(self._segments) == 1:
                self._close_file()
            self._delete(self._segments.popleft())
        if self._segments:
            self._skip(self._segments[0], position)
        return before - self.unread

    def _skip(self, segment: Segment, position: Position) -> None:
        before = -1
        while segment.next <= position and segment.unread != before:
            before = segment.unread
            for _ in segment.frames():
                self.unread -= 1
                if segment.next > position:
                    break

    def close(self) -> None:
        """Leave the directory to the next run."""
        self._close_file()
        os.close(self._lock)


def _private(path: Path | str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)
