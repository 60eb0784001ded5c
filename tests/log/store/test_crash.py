"""The store is stopped at each system call that changes the disk, and goes on from there.

The order of system calls is the same in every run: the other thread's work is done in line.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import random
import tempfile
from pathlib import Path

import pytest

from chamaleonet.errors import UserError
from chamaleonet.log.store import StoreError, finish
from chamaleonet.log.stream.position import Position
from tests.log.build import SECOND, START
from tests.log.store.build import (
    LABELS,
    Inline,
    contents,
    feed,
    open_store,
    seq,
    unfinished,
)

LAST = 36

_CALLS = (
    "open", "pwrite", "fchmod", "fsync", "mkdir", "chmod", "link", "rename", "replace", "truncate",
    "unlink", "rmdir",
)  # fmt: skip


class Crash(BaseException):
    """The process ends here."""


class Disk:
    """Counts the system calls that change the disk, and may let them fail.

    Attributes:
        fault: returns what the call of this number raises, or None.
    """

    def __init__(self, monkeypatch):
        self._descriptors = set()
        self.reset()
        for name in _CALLS:
            monkeypatch.setattr(os, name, self._counted(name, getattr(os, name)))
        for name in ("close", "fdopen"):  # whoever has a file from fdopen closes it
            monkeypatch.setattr(os, name, self._closing(getattr(os, name)))

    def _counted(self, name, call):
        def wrapper(*arguments, **named):
            if name == "open" and not arguments[1] & os.O_WRONLY:
                return call(*arguments, **named)
            self.count += 1
            if error := self.fault(self.count):
                if name == "pwrite":  # as much as there was room for
                    call(arguments[0], arguments[1][: len(arguments[1]) // 2], arguments[2])
                raise error
            result = call(*arguments, **named)
            if name == "open":
                self._descriptors.add(result)
            return result

        return wrapper

    def _closing(self, call):
        def wrapper(descriptor, *arguments, **named):
            self._descriptors.discard(descriptor)
            return call(descriptor, *arguments, **named)

        return wrapper

    def reset(self):
        """Close what a process that ended has left open: its lock goes with that."""
        self.count, self.fault = 0, lambda _: None
        for descriptor in tuple(self._descriptors):
            os.close(descriptor)


@pytest.fixture
def disk(monkeypatch):
    monkeypatch.setattr(finish, "ThreadPoolExecutor", Inline)
    return Disk(monkeypatch)


@pytest.fixture
def fast(tmp_path):
    """A directory in memory, if there is one: 400 stores are opened."""
    shared = Path("/dev/shm")
    if not os.access(shared, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=shared) as directory:
        yield Path(directory)


def live(directory, compression):
    """Go on from the position to LAST: over an hour's end, with files that end at their size."""
    now = START + 2750 * SECOND
    store = None
    while store is None:
        with contextlib.suppress(UserError):
            store = open_store(directory, now, compression=compression, size=2000)
    fed = seq(store)
    for _ in range(50):
        if fed == seq(store):
            if fed == LAST:
                break
            feed(store, range(fed + 1, fed + 7))
            fed += 6
        with contextlib.suppress(StoreError):
            store.commit(Position(1, fed), now)
        now += 30 * SECOND
    assert seq(store) == LAST
    store.close()


def check(directory):
    found = contents(directory)
    assert {label: sorted(found[label]) for label in LABELS} == {
        label: list(range(1, LAST + 1)) for label in LABELS
    }
    assert unfinished(directory) == []


@pytest.mark.parametrize("compression", ["zstd", "none"])
def test_each_record_is_there_once_after_crashes_anywhere(fast, disk, compression):
    for first in itertools.count(1):
        directory = fast / str(first)
        for crash in (first, random.Random(first).randrange(1, 80)):
            disk.fault = lambda count, crash=crash: Crash() if count >= crash else None
            crashed = False
            try:
                live(directory, compression)
            except Crash:
                crashed = True
            disk.reset()
            if crash == first and not crashed:
                assert first > 90
                return
        live(directory, compression)
        check(directory)


@pytest.mark.parametrize(
    ("compression", "error"),
    [("zstd", errno.ENOSPC), ("none", errno.ENOSPC), ("zstd", errno.EIO)],
)
def test_each_record_is_there_once_whatever_fails_for_a_while(fast, disk, compression, error):
    for first in itertools.count(1):
        directory = fast / str(first)
        disk.fault = lambda count, first=first: (
            OSError(error, os.strerror(error)) if first <= count < first + 3 else None
        )
        live(directory, compression)
        if disk.count < first:
            assert first > 90
            break
        disk.reset()
        open_store(directory).close()  # finishes what could not be finished at the end
        check(directory)
        disk.reset()
