"""Partial files become complete ones, in a thread of its own."""

from __future__ import annotations

import logging
import os
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from chamaleonet.log.store import layout
from chamaleonet.log.store.kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

log = logging.getLogger(__name__)

_NICENESS = 10  # packets go first


def finish(directory: Path, path: str, committed: int) -> None:
    """Make a partial file complete. If that was interrupted at any point, do it again.

    Args:
        directory: where the store is.
        path: of the partial file, relative to it.
        committed: bytes of the file that count.

    Raises:
        OSError: something cannot be read or written.
        ValueError: the file is shorter than that.
    """
    name = layout.parse(path)
    assert name is not None
    partial = directory / path
    complete = partial.with_name(partial.name.removesuffix(layout.Stage.PARTIAL.value))
    if not partial.exists():
        if not complete.exists():
            log.warning("%s was removed by somebody else", partial)
        return
    convert = KINDS[name.suffix].convert
    if convert is None:
        os.truncate(partial, committed)
        _sync(partial)
        partial.replace(complete)
        layout.sync_folder(partial.parent)
        return
    temporary = complete.with_name(complete.name + layout.Stage.TEMPORARY.value)
    try:
        with partial.open("rb") as source, os.fdopen(layout.create(temporary), "wb") as target:
            convert(source, committed, target)
            target.flush()
            os.fsync(target.fileno())
        temporary.replace(complete)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    # The one must not go before the other is on disk under its name.
    layout.sync_folder(partial.parent)
    partial.unlink()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Finisher:
    """Finishes files one after the other, while the caller goes on.

    Attributes:
        files: committed bytes of those that are not known to be complete, by path.
    """

    def __init__(self, directory: Path) -> None:
        self.files: dict[str, int] = {}
        self._directory = directory
        self._thread = ThreadPoolExecutor(1, "finisher", os.nice, (_NICENESS,))
        self._futures: dict[str, Future[None]] = {}

    def add(self, path: str, committed: int) -> None:
        """Finish a file as soon as possible."""
        self.files[path] = committed
        self._futures[path] = self.call(finish, self._directory, path, committed)

    def call(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Have a function called in the thread, after what it has to do already."""
        return self._thread.submit(function, *arguments)

    def collect(self) -> bool:
        """Forget the files that are complete, and return whether there were any.

        What failed, most often because the disk is full, waits for ``retry``.
        """
        done = [path for path, future in self._futures.items() if future.done()]
        complete = False
        for path in done:
            error = self._futures.pop(path).exception()
            if error is None:
                complete = True
                del self.files[path]
            else:
                log.warning("%s waits to be finished: %s", self._directory / path, error)
        return complete

    def retry(self) -> None:
        """Begin again with the files that could not be finished."""
        for path in sorted(self.files.keys() - self._futures.keys()):
            self.add(path, self.files[path])

    def close(self) -> None:
        """Finish all files, each tried once more, and end the thread."""
        self.collect()
        self.retry()
        self._thread.shutdown()
        self.collect()
