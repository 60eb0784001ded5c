"""Which complete files are removed, the oldest first."""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from chamaleonet.log.store import layout
from chamaleonet.log.store.layout import Stage

if TYPE_CHECKING:
    from pathlib import Path


log = logging.getLogger(__name__)


class Retention(NamedTuple):
    """How long files are kept.

    Attributes:
        age: ns; files that were begun before are removed. None: none for its age.
        size: bytes of all files of the store together. None: nothing for its size.
    """

    age: int | None
    size: int | None


class Retired(NamedTuple):
    """What was removed.

    Attributes:
        causes: files by cause, ``age`` or ``size``.
        paths: the files, relative to the directory.
        size: bytes of all files of the store that are left.
    """

    causes: Counter[str]
    paths: set[str]
    size: int


def retire(directory: Path, retention: Retention, now: int) -> Retired:
    """Remove what is too old or too much. Partial files count, but stay.

    Args:
        directory: where the store is.
        retention: what to keep.
        now: ns since 1970 UTC.
    """
    files = [(name, _size(directory / name.path)) for name in sorted(layout.scan(directory))]
    total = sum(size for _, size in files)
    oldest = "" if retention.age is None else layout.stamp(now - retention.age)
    causes: Counter[str] = Counter()
    paths = set()
    for name, size in files:
        if name.time < oldest:
            cause = "age"
        elif retention.size is not None and total > retention.size:
            cause = "size"
        else:
            break
        if name.stage is Stage.COMPLETE and _remove(directory / name.path):
            causes[cause] += 1
            paths.add(name.path)
            total -= size
    if retention.age is not None:
        _forget_events(directory, now - retention.age)
    return Retired(causes, paths, total)


def _forget_events(directory: Path, oldest: int) -> None:
    """Remove the second name of the last events that ended, if nothing was added to them since."""
    path = directory / layout.EARLIER_EVENTS
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_mtime_ns < oldest:
            _remove(path)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # somebody else was faster
        return 0


def _remove(path: Path) -> bool:
    try:
        path.unlink()
    except OSError as error:
        log.warning("%s cannot be removed: %s", path, error.strerror)
        return False
    return True
