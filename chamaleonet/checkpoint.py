"""Live flows on disk, so that a controller that dies is followed by one that knows them.

A checkpoint is a file for each switch: a snapshot of its flows, replaced every second or so, and
after it what was judged and has ended since. An event is written before anybody is told of it: so
whatever the controller told before it was killed, its successor knows. What is lost are flows that
were opened after the snapshot and not judged yet. The system is handed the bytes and not asked to
sync them: they survive the process at any instant, and the machine as far as it had written them.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import struct
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from chamaleonet.errors import UserError
from chamaleonet.flows import snapshot
from chamaleonet.flows.records import FLOW, FLOW_EVENT, SLAB
from chamaleonet.flows.snapshot import Snapshot
from chamaleonet.flows.transitions import State

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

log = logging.getLogger(__name__)

_MAGIC = b"CHAMFLOW"
# magic, layout, run, term, time, flows, first packets, CRC-32
_HEADER = struct.Struct("<8s8sQQQIII")
# What another version of this program would read differently.
_LAYOUT = hashlib.sha256(
    repr((_HEADER.format, FLOW.descr, SLAB.descr, FLOW_EVENT.descr, list(State))).encode()
).digest()[:8]
_EVENTS = struct.Struct("<4sII")  # magic, events, CRC-32
_EVENTS_MAGIC = b"EVNT"
_MOST_RUN = 1 << 63


class DamagedError(ValueError):
    """A file that is no checkpoint, or one of another version."""


class Saved(NamedTuple):
    """What a checkpoint says.

    Attributes:
        flows: the live flows when the last event was written.
        run: the run of the verdict stream that told of them.
        term: the term of the master that wrote it; 0 where there is no election.
        time: when the snapshot was taken, ns since 1970.
    """

    flows: Snapshot
    run: int
    term: int
    time: int


def encode(flows: Snapshot, run: int, term: int, time: int) -> bytes:
    """Return what a checkpoint begins with."""
    body = flows.flows.tobytes() + flows.firsts.tobytes()
    head = _HEADER.pack(_MAGIC, _LAYOUT, run, term, time, len(flows.flows), len(flows.firsts), 0)
    return head[:-4] + struct.pack("<I", zlib.crc32(body, zlib.crc32(head))) + body


def encode_events(events: NDArray[Any]) -> bytes:
    """Return what is appended for these FLOW_EVENTs, shape (n,)."""
    body = events.tobytes()
    return _EVENTS.pack(_EVENTS_MAGIC, len(events), zlib.crc32(body)) + body


def decode(data: bytes) -> Saved:
    """Read a checkpoint; events that were not written as a whole are none.

    Raises:
        DamagedError: it cannot be read.
    """
    if len(data) < _HEADER.size:
        raise DamagedError("too short")
    magic, layout, run, term, time, flows, firsts, crc = _HEADER.unpack_from(data)
    if magic != _MAGIC:
        raise DamagedError("no checkpoint")
    if layout != _LAYOUT:
        raise DamagedError("written by another version")
    sizes = flows * FLOW.itemsize, firsts * SLAB.itemsize
    end = _HEADER.size + sum(sizes)
    head = data[: _HEADER.size - 4] + bytes(4)
    body = data[_HEADER.size : end]
    if len(data) < end or zlib.crc32(body, zlib.crc32(head)) != crc or run >= _MOST_RUN:
        raise DamagedError("damaged")
    taken = Snapshot(
        np.frombuffer(body, FLOW, flows).copy(), np.frombuffer(body, SLAB, firsts, sizes[0]).copy()
    )
    followed = snapshot.follow(taken, _decode_events(data, end))
    if not snapshot.sound(followed):
        raise DamagedError("damaged")
    return Saved(followed, run, term, time)


def _decode_events(data: bytes, at: int) -> NDArray[Any]:
    blocks = [np.empty(0, FLOW_EVENT)]
    while at + _EVENTS.size <= len(data):
        magic, count, crc = _EVENTS.unpack_from(data, at)
        at += _EVENTS.size
        body = data[at : at + count * FLOW_EVENT.itemsize]
        if magic != _EVENTS_MAGIC or zlib.crc32(body) != crc:
            break
        if len(body) < count * FLOW_EVENT.itemsize:
            break
        blocks.append(np.frombuffer(body, FLOW_EVENT))
        at += len(body)
    return np.concatenate(blocks)


class CheckpointFile:
    """One switch's checkpoint on disk.

    A disk that takes nothing is no reason not to watch the network: it is logged once, and tried
    again with the next snapshot.

    Args:
        path: the file; of mode 0600, for it holds addresses.

    Attributes:
        size: bytes of it now, 0 if it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.size = 0
        self._path = path
        self._file: int | None = None  # the file while events are appended to it
        self._failed = False

    def load(self) -> Saved | None:
        """Return what an earlier run left; None, with a warning, if it cannot be read."""
        try:
            return decode(self._path.read_bytes())
        except FileNotFoundError:
            return None
        except (DamagedError, OSError) as error:
            log.warning("%s: ignored: %s", self._path, error)
            return None

    def read(self) -> bytes:
        """Return what is in the file now, nothing if it is not being written."""
        if self._file is None:
            return b""
        try:
            return self._path.read_bytes()
        except OSError:
            return b""

    def begin(self, data: bytes) -> None:
        """Replace the file by ``encode``'s bytes, in one step."""
        fresh = self._path.with_suffix(".new")
        try:
            file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            try:
                _write(file, data)
                fresh.replace(self._path)
            except BaseException:
                os.close(file)
                raise
        except OSError as error:
            self._fail(error)
            return
        self._close_file()
        self._file, self.size = file, len(data)
        if self._failed:
            log.warning("%s: written again", self._path)
            self._failed = False

    def append(self, data: bytes) -> None:
        """Add ``encode_events``' bytes."""
        if self._file is None:
            return
        try:
            _write(self._file, data)
        except OSError as error:
            self._fail(error)
            return
        self.size += len(data)

    def _fail(self, error: OSError) -> None:
        # What is there would be followed by a gap: a successor is better off without.
        self._close_file()
        self.size = 0
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
        if not self._failed:
            log.warning("%s: cannot be written: %s", self._path, error.strerror)
        self._failed = True

    def _close_file(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):  # what was written was seen to be
                os.close(self._file)
        self._file = None

    def close(self) -> None:
        """Leave the file to the next run."""
        self._close_file()


def _write(file: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(file, left) :]


class Checkpoints:
    """The directory of checkpoints.

    Args:
        directory: made if missing, with mode 0700; one controller's own.

    Raises:
        UserError: it cannot be used, or another process uses it.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._files: dict[int, CheckpointFile] = {}
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            if directory.stat().st_mode & 0o077:
                raise UserError(f"{directory}: must be its owner's alone (mode 0700)")
            self._lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BaseException:
                os.close(self._lock)
                raise
        except BlockingIOError:
            raise UserError(f"{directory}: another controller uses these checkpoints") from None
        except OSError as error:
            raise UserError(f"{directory}: cannot hold checkpoints: {error.strerror}") from None

    def of(self, dp_id: int) -> CheckpointFile:
        """Return the file of the switch with this datapath id."""
        if dp_id not in self._files:
            self._files[dp_id] = CheckpointFile(self._directory / f"{dp_id:016x}.flows")
        return self._files[dp_id]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self._files.values())

    def close(self) -> None:
        """Leave the directory to the next run."""
        for file in self._files.values():
            file.close()
        os.close(self._lock)
