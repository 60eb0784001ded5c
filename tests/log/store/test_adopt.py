import errno
import json
import os

import pytest

from chamaleonet.errors import UserError
from chamaleonet.log.store import StoreError, finish
from chamaleonet.log.store.commit import Commit
from chamaleonet.log.stream.position import Position
from tests.log.build import START
from tests.log.store.build import (
    HOUR,
    LABELS,
    Inline,
    complete,
    contents,
    each_once,
    feed,
    open_store,
    step,
    unfinished,
)


@pytest.fixture
def left(tmp_path):
    """A directory as a killed process leaves it: 10 committed records, and 5 that are not."""

    def make(**changes):
        store = open_store(tmp_path, **changes)
        step(store, 10, START)
        saved = (tmp_path / "commit.json").read_bytes()
        step(store, 5, START)
        (tmp_path / "commit.json").write_bytes(saved)
        for file in store._files.values():
            file.path = None  # close() will not see them
        store._record = lambda _: None
        store.close()
        return tmp_path

    return make


def partials(directory):
    return {path.name.split("Z.")[1]: path for path in directory.rglob("*.partial")}


def reopened(directory, **changes):
    store = open_store(directory, **changes)
    store.close()
    assert unfinished(directory) == []
    return store


@pytest.mark.parametrize("flows", ["parquet", "jsonl"])
@pytest.mark.parametrize("compression", ["zstd", "none"])
def test_what_was_not_committed_is_cut_off(left, flows, compression):
    directory = left(flows=flows, compression=compression)
    store = reopened(directory)
    assert store.position == Position(1, 10)
    assert store.adopted == len(LABELS)
    assert contents(directory) == each_once(10)
    assert (directory / "events.json.1").exists()


def test_another_configuration_finishes_files_as_they_were_begun(left):
    directory = left(flows="jsonl", compression="none")
    reopened(directory, flows="parquet", compression="zstd")
    assert contents(directory) == each_once(10)
    assert len(list(directory.rglob("*.jsonl"))) == 1


def test_a_file_that_is_not_listed_is_removed_with_its_folders(left):
    directory = left()
    commit = json.loads((directory / "commit.json").read_text())
    (directory / "commit.json").write_text(json.dumps(commit | {"files": {}}))
    store = reopened(directory)
    assert store.adopted == 0
    assert list(directory.glob("day=*")) == []


@pytest.mark.parametrize("damage", [None, b"", b"{", bytes(100), b'{"files":{"a":-1}}', b"[]"])
def test_without_what_was_committed_all_is_adopted(left, damage, caplog):
    directory = left()
    if damage is None:
        (directory / "commit.json").unlink()
    else:
        (directory / "commit.json").write_bytes(damage)
    for path in partials(directory).values():
        with path.open("ab") as file:
            file.write(bytes(50))  # what a power cut may leave at the end
    store = reopened(directory)
    assert store.position is None
    assert store.adopted == len(LABELS)
    assert contents(directory) == each_once(15)
    assert ("commit.json is damaged" in caplog.text) == (damage is not None)


def test_a_file_that_is_too_short_is_cut_behind_its_last_whole_record(left, caplog):
    directory = left()
    for path in partials(directory).values():
        committed = json.loads((directory / "commit.json").read_text())["files"]
        with path.open("r+b") as file:
            file.truncate(committed[str(path.relative_to(directory))] - 1)
    store = reopened(directory)
    assert store.position == Position(1, 10)
    assert contents(directory) == each_once(9)
    assert caplog.text.count("are whole and adopted") == len(LABELS)


def test_a_file_of_which_nothing_is_whole_is_removed(left):
    directory = left()
    for path in partials(directory).values():
        path.write_bytes(b"x")
    store = reopened(directory)
    assert store.adopted == 0
    assert complete(directory) == []


def test_what_another_process_was_making_is_removed(left):
    directory = left()
    [folder] = directory.glob("day=*/hour=*")
    (folder / "chamaleonet-20260921T141320.000Z.pcapng.zst.tmp").write_bytes(b"x")
    (directory / "commit.json.new").write_bytes(b"x")
    reopened(directory)
    assert not (directory / "commit.json.new").exists()
    assert contents(directory) == each_once(10)


def test_a_file_that_was_finished_already_is_finished_once_more(left):
    directory = left()
    for path in partials(directory).values():
        path.with_suffix("").write_bytes(b"cut by a crash before it was on disk")
    reopened(directory)
    assert contents(directory) == each_once(10)


def test_nothing_else_is_touched(left):
    directory = left()
    [folder] = directory.glob("day=*/hour=*")
    others = [
        directory / "notes.partial",
        directory / "chamaleonet-20260921T141320.000Z.pcapng.partial",
        folder / "chamaleonet-20260921T141320.000Z.pcapng.gz.partial",
        folder / "chamaleonet-20260921T141320.000Z.pcapng.partial.bak",
        folder / "chamaleonet-2026.pcapng.tmp",
        folder.parent / "chamaleonet-20260921T141320.000Z.pcapng.tmp",
    ]
    for other in others:
        other.write_bytes(b"mine")
    reopened(directory, most=1, age=1, now=START + 100 * HOUR)
    assert [other.read_bytes() for other in others] == [b"mine"] * len(others)


def test_a_path_that_leads_elsewhere_is_not_followed(tmp_path):
    directory = tmp_path / "log"
    directory.mkdir()
    mine = tmp_path / "chamaleonet-20260921T141320.000Z.pcapng.partial"
    mine.write_bytes(b"mine")
    commit = {"version": 1, "position": None, "files": {f"../{mine.name}": 2, str(mine): 2}}
    (directory / "commit.json").write_text(json.dumps(commit))
    assert reopened(directory).adopted == 0
    assert mine.read_bytes() == b"mine"


def test_another_version_is_named_and_nothing_is_touched(left):
    directory = left()
    (directory / "commit.json").write_text('{"version":2,"position":[1,5],"files":{}}')
    with pytest.raises(UserError) as caught:
        open_store(directory)
    assert str(caught.value) == (
        f"{directory / 'commit.json'}: written by another version of ChamaleoNet;"
        " start and stop that one first"
    )
    assert len(partials(directory)) == len(LABELS)
    (directory / "commit.json").unlink()
    reopened(directory)  # it is not locked


def test_a_kill_before_the_first_commit_duplicates_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(finish, "ThreadPoolExecutor", Inline)
    store = open_store(tmp_path)
    feed(store, [1])
    store._record = lambda _: 1 / 0  # as if killed between the files and commit.json
    with pytest.raises(ZeroDivisionError):
        store.commit(Position(1, 1), START)
    assert len(partials(tmp_path)) == len(LABELS)
    os.close(store._lock)
    store = open_store(tmp_path)
    assert store.adopted == 0
    step(store, 1, START)
    store.close()
    assert contents(tmp_path) == each_once(1)


def test_a_kill_after_a_start_on_a_full_disk_duplicates_nothing(tmp_path, monkeypatch):
    write, full = Commit.write, [True]

    def limited(commit, directory):
        if full.pop():
            raise OSError(errno.ENOSPC, "No space left on device")
        write(commit, directory)

    monkeypatch.setattr(Commit, "write", limited)
    store = open_store(tmp_path)
    assert not (tmp_path / "commit.json").exists()
    full += [True, False]  # commit.json is made first, and what follows fails
    feed(store, [1])
    with pytest.raises(StoreError):
        store.commit(Position(1, 1), START)
    assert len(partials(tmp_path)) == len(LABELS)
    os.close(store._lock)
    full += [False] * 9
    store = open_store(tmp_path)
    assert store.adopted == 0
    step(store, 1, START)
    store.close()
    assert contents(tmp_path) == each_once(1)
