"""The files that the logger writes to."""

from __future__ import annotations

import contextlib
import logging
import os
from collections import Counter
from typing import TYPE_CHECKING, Any, Literal

from chamaleonet.flows.records import raw
from chamaleonet.log.flowlog import FlowLog
from chamaleonet.log.pcapng import PcapngWriter
from chamaleonet.log.store import layout
from chamaleonet.log.store.adopt import take_over
from chamaleonet.log.store.appendfile import AppendFile
from chamaleonet.log.store.commit import Commit
from chamaleonet.log.store.finish import Finisher
from chamaleonet.log.store.retention import Retired, retire

if TYPE_CHECKING:
    from concurrent.futures import Future
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from chamaleonet.log.store.appendfile import Rotation
    from chamaleonet.log.store.retention import Retention
    from chamaleonet.log.stream.position import Position

log = logging.getLogger(__name__)

_TEND = 60 * 10**9  # ns from one look at what is too old, or could not be finished, to the next


class StoreError(Exception):
    """What waits could not be written. It goes on waiting: the next commit tries again."""


class Packets:
    """Takes captured packets; each file is a pcapng file of its own."""

    def __init__(self, file: AppendFile) -> None:
        self._file = file
        self._writer: PcapngWriter | None = None

    def write(self, packets: NDArray[Any], data: NDArray[np.uint8]) -> None:
        """Take CAPTURED records and the bytes they point into.

        Raises:
            ValueError: a packet lies beyond ``data``.
        """
        if not len(packets):
            return
        if self._writer is None or self._file.empty:
            self._writer = PcapngWriter(self._file)
        self._writer.write(packets, data)


class Records:
    """Takes flows, or counters, and keeps them as they are until their file is complete."""

    def __init__(self, file: AppendFile) -> None:
        self._file = file

    def write(self, records: NDArray[Any]) -> None:
        """Take FLOW records, or COUNT records."""
        self._file.write(raw(records).tobytes())

    def flush(self) -> None:
        """Nothing waits here."""


class Store:
    """Keeps packets, flows, counters and events on disk; the package's text tells how.

    It has one user thread, starts one more, and reads no clock: ``now`` is ns since 1970 UTC.

    Args:
        directory: made if it is missing, with what is above it.
        now: the time.
        flows: format of the flow log.
        compression: of complete pcapng and JSON files.
        rotation: when files end.
        retention: how long complete files are kept.

    Attributes:
        directory: where the files are.
        position: up to where the verdict stream is in the files; None before its first record.
        note: bytes that are committed with all else, and found again at the next start.
        packets: takes packets.
        flows: takes flows.
        healthy: takes counters of healthy flows.
        events: takes whole lines of JSON, as bytes; while it grows the file is ``events.json`` too.
        written: bytes committed, by label: ``packets``, ``flows``, ``healthy``, ``events``.
        removed: complete files removed, by cause: ``age``, ``size``.
        adopted: files that an earlier run had left partial.
        size: bytes of all files on disk, when retention last looked.

    Raises:
        UserError: the directory cannot be used, or another logger writes there.
    """

    def __init__(
        self,
        directory: Path,
        now: int,
        *,
        flows: Literal["parquet", "jsonl"],
        compression: Literal["zstd", "none"],
        rotation: Rotation,
        retention: Retention,
    ) -> None:
        self.directory, self._rotation, self._retention = directory, rotation, retention
        self._lock, adopted, self._on_disk = take_over(directory)
        self.position = adopted.position
        self.note = bytes.fromhex(adopted.note)
        self.adopted = len(adopted.files)
        self.written: Counter[str] = Counter()
        self.removed: Counter[str] = Counter()
        self.size = 0

        zst = ".zst" if compression == "zstd" else ""
        packets = AppendFile(directory, f".pcapng{zst}")
        self.packets = Packets(packets)
        self.flows: Records | FlowLog
        if flows == "parquet":
            rows = AppendFile(directory, ".flows.parquet")
            self.flows = Records(rows)
        else:
            rows = AppendFile(directory, f".flows.jsonl{zst}")
            self.flows = FlowLog(rows, "JsonlEncoder")
        self.events = AppendFile(directory, f".events.json{zst}", follow=True)
        counts = AppendFile(directory, ".healthy.parquet")
        self.healthy = Records(counts)
        self._files = {
            "packets": packets, "flows": rows, "healthy": counts, "events": self.events,
        }  # fmt: skip

        self._finisher = Finisher(directory)
        for path, committed in adopted.files.items():
            self._finisher.add(path, committed)
        self._retiring: Future[Retired] = self._finisher.call(retire, directory, retention, now)
        self._finished = False  # something, since retention last looked
        self._tended = now

    @property
    def buffered(self) -> int:
        """Bytes that wait for a commit."""
        return sum(file.buffered for file in self._files.values())

    @property
    def finishing(self) -> int:
        """Files that have ended, but are not known to be complete."""
        return len(self._finisher.files)

    def commit(self, position: Position | None, now: int) -> None:
        """Write what waits, so that it counts whatever happens next; then end files that are due.

        Args:
            position: everything up to it was given to this store. None: the same as before.
            now: the time.

        Raises:
            StoreError: not all of it could be written, and ``position`` stays as it was. Nothing
                is lost: call again.
        """
        self._tend(now)
        position = position or self.position
        try:
            if self._on_disk is None:
                self._record(self.position)
            self.flows.flush()
            for file in self._files.values():
                file.put(now)
            self._record(position)
        except OSError as error:
            raise StoreError(f"{self.directory}: cannot write: {error.strerror}") from error
        self.position = position
        for label, file in self._files.items():
            self.written[label] += file.written - file.committed
            file.committed = file.written
            if file.due(self._rotation, now):
                self._end(file)

    def _record(self, position: Position | None) -> None:
        """Write down that all files count as they are now."""
        files = {file.path: file.written for file in self._files.values() if file.path}
        commit = Commit(position=position, files=self._finisher.files | files, note=self.note.hex())
        if commit != self._on_disk:
            commit.write(self.directory)
            self._on_disk = commit

    def _end(self, file: AppendFile) -> None:
        if ended := file.close():
            self._finisher.add(*ended)

    def _tend(self, now: int) -> None:
        """Look at what the other thread has done, and give it more to do."""
        self._finished |= self._finisher.collect()
        due = not 0 <= now - self._tended < _TEND  # the clock may be set back
        if due:
            self._tended = now
            self._finisher.retry()
        if (due or self._finished) and self._retiring.done():
            self._finished = False
            self._look_at_retired()
            self._retiring = self._finisher.call(retire, self.directory, self._retention, now)

    def _look_at_retired(self) -> None:
        if error := self._retiring.exception():
            log.warning("%s: cannot be searched for old files: %s", self.directory, error)
            return
        retired = self._retiring.result()
        self.removed += retired.causes
        self.size = retired.size
        layout.remove_empty(self.directory, retired.paths)

    def close(self) -> None:
        """End and finish all files. What was not committed is dropped, as after a crash.

        What cannot be finished now, the next start will finish.
        """
        for file in self._files.values():
            self._end(file)
        self._finisher.close()
        self._look_at_retired()
        with contextlib.suppress(OSError):  # then it names files that are complete: no harm
            self._record(self.position)
        os.close(self._lock)
