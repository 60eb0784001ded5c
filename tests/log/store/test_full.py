"""A disk that is really full: a small one of its own, in memory."""

import contextlib

import pytest

from chamaleonet.log.store import StoreError
from chamaleonet.log.stream.position import Position
from tests.log.build import SECOND, START
from tests.log.store.build import complete, contents, each_once, feed, open_store, seq, unfinished


@pytest.fixture
def filler(small_disk):
    """A file that takes all the room but 400 KiB."""
    path = small_disk / "filler"
    path.write_bytes(bytes((2 << 20) - (400 << 10)))
    return path


def fill(path):
    with path.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


@pytest.mark.parametrize("compression", ["zstd", "none"])
def test_writing_stops_and_goes_on_by_itself(small_disk, filler, compression):
    directory = small_disk / "log"
    store = open_store(directory, compression=compression, size=100_000)
    now, fed, failures = START, 0, 0
    while failures < 5:
        if seq(store) == fed:
            feed(store, range(fed + 1, fed + 101))
            fed += 100
        try:
            store.commit(Position(1, fed), now)
        except StoreError as error:
            assert str(error) == f"{directory}: cannot write: No space left on device"
            assert seq(store) == fed - 100
            failures += 1
        now += SECOND
    assert store.buffered > 0
    contents(directory)  # what is complete is readable

    filler.unlink()
    store.commit(Position(1, fed), now)
    assert store.buffered == 0
    store.commit(None, now + 60 * SECOND)  # has another try at what could not be finished
    store.close()
    assert contents(directory) == each_once(fed)
    assert unfinished(directory) == []


def test_a_full_disk_does_not_keep_it_from_starting(small_disk, filler):
    directory = small_disk / "log"
    store = open_store(directory)
    feed(store, range(1, 101))
    store.commit(Position(1, 100), START)
    fill(filler)
    store.close()
    assert len(unfinished(directory)) > 0
    assert complete(directory) == []

    store = open_store(directory)
    assert store.position == Position(1, 100)
    feed(store, [101])
    with pytest.raises(StoreError, match="No space left"):
        store.commit(Position(1, 101), START)
    filler.unlink()
    store.commit(Position(1, 101), START)
    store.close()
    assert contents(directory) == each_once(101)
    assert unfinished(directory) == []
