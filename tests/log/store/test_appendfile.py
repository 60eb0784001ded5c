import contextlib
import errno
import itertools
import os

import pytest

from chamaleonet.log.store.appendfile import AppendFile, Rotation
from tests.log.build import SECOND, START
from tests.log.store.build import HOUR


@pytest.fixture
def file(tmp_path):
    file = AppendFile(tmp_path, ".events.json")
    yield file
    file.close()


def test_a_file_is_begun_with_its_first_byte(file, tmp_path):
    file.put(START)
    assert file.empty
    assert file.path is None
    assert list(tmp_path.iterdir()) == []
    file.write(b"one\n")
    assert (file.empty, file.buffered, file.path) == (False, 4, None)
    file.put(START)
    assert (file.empty, file.buffered, file.written, file.committed) == (False, 0, 4, 0)
    assert (tmp_path / file.path).read_bytes() == b"one\n"


def test_short_writes_and_errors_lose_and_repeat_nothing(file, tmp_path, monkeypatch):
    write = os.pwrite
    turns = itertools.cycle("sesesssseess")

    def disturbed(descriptor, data, offset):
        turn = next(turns)
        written = write(descriptor, data[:7], offset)  # an error may leave some behind
        if turn == "e":
            raise OSError(errno.EIO, "Input/output error")
        return written

    monkeypatch.setattr(os, "pwrite", disturbed)
    expected = b""
    for n in range(12):
        line = f"line {n:03}\n".encode()
        expected += line
        file.write(line)
        with contextlib.suppress(OSError):
            file.put(START)
        assert file.written + file.buffered == len(expected)
    while file.buffered:
        with contextlib.suppress(OSError):
            file.put(START)
    assert (tmp_path / file.path).read_bytes() == expected


def test_it_ends_at_whole_multiples_of_the_time_or_at_its_size(file):
    rotation = Rotation(HOUR, 10)
    assert not file.due(rotation, START)
    file.write(b"x" * 9)
    file.put(START)
    assert not file.due(rotation, START + 2799 * SECOND)
    assert file.due(rotation, START + 2800 * SECOND)
    assert file.due(rotation, START - HOUR)  # the clock was set back
    file.write(b"x")
    file.put(START)
    assert file.due(rotation, START)


def test_of_a_closed_file_the_committed_bytes_count(file, tmp_path):
    file.write(b"one\n")
    file.put(START)
    file.committed = file.written
    path = file.path
    file.write(b"two\n")
    assert file.close() == (path, 4)
    assert file.empty
    assert file.close() is None


def test_a_closed_file_of_which_nothing_is_committed_is_removed(file, tmp_path):
    file.write(b"one\n")
    file.put(START)
    assert file.close() is None
    assert not list(tmp_path.rglob("chamaleonet-*"))


def test_a_name_to_follow_that_cannot_be_made_is_an_error(tmp_path):
    file = AppendFile(tmp_path, ".events.json", follow=True)
    (tmp_path / "events.json").mkdir()
    (tmp_path / "events.json.1").touch()
    file.write(b"one\n")
    with pytest.raises(FileExistsError):
        file.put(START)
    assert not list(tmp_path.rglob("chamaleonet-*"))
    (tmp_path / "events.json").rmdir()
    file.put(START)
    assert (tmp_path / "events.json").read_bytes() == b"one\n"
    file.close()
