"""Taking over a directory: from nobody who still writes there, and what he left behind."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
from typing import TYPE_CHECKING, NamedTuple

from chamaleonet.errors import UserError
from chamaleonet.log.store import layout
from chamaleonet.log.store.commit import Commit, read_commit
from chamaleonet.log.store.kinds import KINDS
from chamaleonet.log.store.layout import Stage

if TYPE_CHECKING:
    from pathlib import Path

    from chamaleonet.log.store.layout import Name

log = logging.getLogger(__name__)

_FULL = (errno.ENOSPC, errno.EDQUOT)


class Taken(NamedTuple):
    """A directory that was taken over.

    Attributes:
        lock: a descriptor; nobody else can take the directory over until it is closed.
        adopted: what is to be finished, with nothing else added to it.
        on_disk: what ``commit.json`` says; None if there is none, because the disk is full.
    """

    lock: int
    adopted: Commit
    on_disk: Commit | None


def take_over(directory: Path) -> Taken:
    """Make a directory ready to be written to, and find what is to be finished there.

    Args:
        directory: where the store is to be; made if it is missing, with what is above it.

    Raises:
        UserError: it cannot be used, or another logger writes there.
    """
    try:
        layout.make_folders(directory)
        with contextlib.ExitStack() as undo:
            lock = _lock(directory)
            undo.callback(os.close, lock)
            on_disk = read_commit(directory)
            adopted = Commit(
                position=on_disk.position if on_disk else None,
                files=_adopt(directory, on_disk),
                note=on_disk.note if on_disk else "",
            )
            # Whoever finds partial files, but no such file, takes it for lost.
            try:
                adopted.write(directory)
                on_disk = adopted
            except OSError as error:
                if error.errno not in _FULL:
                    raise
            undo.pop_all()
    except OSError as error:
        raise UserError(
            f"{error.filename or directory}: cannot be used: {error.strerror}"
        ) from error
    return Taken(lock, adopted, on_disk)


def _lock(directory: Path) -> int:
    descriptor = layout.create(directory / "lock")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            raise UserError(f"{directory}: another logger writes there") from None
        raise
    return descriptor


def _adopt(directory: Path, commit: Commit | None) -> dict[str, int]:
    """Return how many bytes of each partial file count; remove what was never committed."""
    adopted = {}
    for name in sorted(layout.scan(directory)):
        length = _length(directory, name, commit) if name.stage is Stage.PARTIAL else 0
        if length:
            adopted[name.path] = length
        elif name.stage is not Stage.COMPLETE:
            (directory / name.path).unlink()
            layout.remove_empty(directory, [name.path])
    return adopted


def _length(directory: Path, name: Name, commit: Commit | None) -> int:
    path = directory / name.path
    size = path.stat().st_size
    committed = size if commit is None else commit.files.get(name.path, 0)
    if commit is not None and committed <= size:
        return committed
    with path.open("rb") as file:
        length = KINDS[name.suffix].whole(file)
    log.warning("%s: %d bytes of %d are whole and adopted", path, length, committed)
    return length
