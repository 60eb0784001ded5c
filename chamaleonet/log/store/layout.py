"""Where the store's files lie, what they are called, and who may read them."""

from __future__ import annotations

import contextlib
import datetime
import os
import re
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from chamaleonet.log.store.kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

EVENTS, EARLIER_EVENTS = "events.json", "events.json.1"  # see the package's text

_FILE_MODE, _FOLDER_MODE = 0o640, 0o750


class Stage(Enum):
    """How far a file has come, by the end of its name."""

    PARTIAL = ".partial"  # appended to, or waits to be finished
    TEMPORARY = ".tmp"  # a complete file in the making
    COMPLETE = ""


class Name(NamedTuple):
    """A file's name; names sort by time.

    Attributes:
        time: UTC, when the file was begun, such as ``20261123T140000.000``.
        path: relative to the directory.
        suffix: what it holds, or will hold when it is complete: a key of ``kinds.KINDS``.
        stage: how far it has come.
    """

    time: str
    path: str
    suffix: str
    stage: Stage


_PATH = re.compile(
    r"day=\d{4}-\d\d-\d\d/hour=\d\d/chamaleonet-(\d{8}T\d{6}\.\d{3})Z((?:\.[a-z]+)+?)"
    rf"((?:{'|'.join(re.escape(stage.value) for stage in Stage if stage.value)})?)"
)


def parse(path: str) -> Name | None:
    """Return what a path, relative to the directory, says; None if it is no file of the store."""
    match = _PATH.fullmatch(path)
    if match is None or match[2] not in KINDS:
        return None
    return Name(match[1], path, match[2], Stage(match[3]))


def stamp(nanoseconds: int) -> str:
    """Return a time as in ``Name.time``."""
    seconds, rest = divmod(nanoseconds, 10**9)
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return f"{moment:%Y%m%dT%H%M%S}.{rest // 10**6:03}"


def path_of(nanoseconds: int, suffix: str) -> str:
    """Return the path, relative to the directory, of a complete file begun at this time."""
    time = stamp(nanoseconds)
    day = f"{time[:4]}-{time[4:6]}-{time[6:8]}"
    return f"day={day}/hour={time[9:11]}/chamaleonet-{time}Z{suffix}"


def scan(directory: Path) -> Iterator[Name]:
    """Find all files of the store, in no particular order."""
    for path in directory.glob("day=*/hour=*/chamaleonet-*"):
        if name := parse(path.relative_to(directory).as_posix()):
            yield name


def begin(directory: Path, suffix: str, now: int) -> tuple[str, int]:
    """Create a partial file.

    Returns:
        Its path, relative to the directory, and its descriptor.

    Raises:
        OSError: it cannot be created.
    """
    while True:
        complete = path_of(now, suffix)
        path = complete + Stage.PARTIAL.value
        make_folders((directory / path).parent)
        try:
            descriptor = create(directory / path, os.O_EXCL)
        except FileExistsError:
            pass
        else:
            # Looked for last: a file of this name that is being finished is always one or both.
            if not (directory / complete).exists():
                return path, descriptor
            os.close(descriptor)
            (directory / path).unlink()
        now += 10**6  # two files were begun in one millisecond, or the clock was set back


def create(path: Path, flags: int = os.O_TRUNC) -> int:
    """Open a file of the store for writing, and return its descriptor.

    Raises:
        OSError: it cannot be created.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | flags, _FILE_MODE)
    try:
        os.fchmod(descriptor, _FILE_MODE)  # whatever the umask is
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def make_folders(path: Path) -> None:
    """Make a folder and what is missing above it.

    Raises:
        OSError: one of them cannot be made.
    """
    if not path.is_dir():
        make_folders(path.parent)
        path.mkdir(_FOLDER_MODE)
        path.chmod(_FOLDER_MODE)


def sync_folder(path: Path) -> None:
    """Wait until the names in a folder are on disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_empty(directory: Path, paths: Iterable[str]) -> None:
    """Remove the folders that these files, which were removed, have left empty."""
    for folder in {(directory / path).parent for path in paths}:
        with contextlib.suppress(OSError):  # most often: there are others in it
            folder.rmdir()
            folder.parent.rmdir()
