import os
from collections import Counter
from pathlib import Path

import pytest

from chamaleonet.log.store.layout import make_folders, path_of
from chamaleonet.log.store.retention import Retention, retire
from tests.log.build import START
from tests.log.store.build import DAY, HOUR, LABELS, open_store, settle, step

KINDS = (".pcapng.zst", ".flows.parquet", ".events.json.zst")


@pytest.fixture
def hours(tmp_path):
    """Five hours of files, of 100 bytes each."""
    paths = [path_of(START + hour * HOUR, kind) for hour in range(5) for kind in KINDS]
    for path in paths:
        make_folders((tmp_path / path).parent)
        (tmp_path / path).write_bytes(bytes(100))
    return tmp_path


def left(directory):
    found = Counter(path.parent.name for path in directory.rglob("chamaleonet-*"))
    return {int(hour.removeprefix("hour=")): count for hour, count in found.items()}


def test_the_old_are_removed(hours):
    retired = retire(hours, Retention(2 * HOUR, None), START + 4 * HOUR)
    assert retired.causes == {"age": 6}
    assert retired.size == 900
    assert left(hours) == {16: 3, 17: 3, 18: 3}


def test_of_too_many_the_oldest_are_removed(hours):
    retired = retire(hours, Retention(None, 1050), START + 4 * HOUR)
    assert retired.causes == {"size": 5}
    assert retired.size == 1000
    assert left(hours) == {15: 1, 16: 3, 17: 3, 18: 3}


def test_each_file_has_one_cause(hours):
    retired = retire(hours, Retention(3 * HOUR, 850), START + 4 * HOUR)
    assert retired.causes == {"age": 3, "size": 4}
    assert left(hours) == {16: 2, 17: 3, 18: 3}


@pytest.mark.parametrize("retention", [Retention(None, None), Retention(4 * HOUR, 1500)])
def test_what_is_within_bounds_stays(hours, retention):
    retired = retire(hours, retention, START + 4 * HOUR)
    assert retired == ({}, set(), 1500)
    assert sum(left(hours).values()) == 15


def test_partial_files_count_but_stay(hours):
    for path in list(hours.rglob("*.pcapng.zst")):
        path.rename(path.with_name(path.name + ".partial"))
    retired = retire(hours, Retention(1, 1), START + DAY)
    assert retired.causes == {"age": 10}
    assert retired.size == 500
    assert left(hours) == dict.fromkeys(range(14, 19), 1)


def test_a_file_that_cannot_be_removed_keeps_no_other(hours, monkeypatch, caplog):
    unlink = Path.unlink

    def guarded(path):
        if "hour=15" in str(path):
            raise PermissionError(1, "Operation not permitted")
        unlink(path)

    monkeypatch.setattr(Path, "unlink", guarded)
    retired = retire(hours, Retention(None, 850), START)
    assert retired.causes == {"size": 7}
    assert left(hours) == {15: 3, 17: 2, 18: 3}
    assert "cannot be removed: Operation not permitted" in caplog.text


def test_the_last_events_are_forgotten_with_age(tmp_path):
    path = tmp_path / "events.json.1"
    path.write_bytes(b"{}\n")
    os.utime(path, ns=(START, START))
    retire(tmp_path, Retention(None, 1), START + DAY)
    retire(tmp_path, Retention(DAY, None), START + DAY)
    assert path.exists()
    retire(tmp_path, Retention(DAY - 1, None), START + DAY)
    assert not path.exists()


def test_a_store_keeps_what_it_should(tmp_path):
    store = open_store(tmp_path, most=150_000)
    for hour in range(24):
        step(store, 100, START + hour * HOUR)
        settle(store)
    store.commit(None, START + 24 * HOUR)
    settle(store)
    store.commit(None, START + 24 * HOUR + 60 * 10**9)
    settle(store)
    store.close()
    files = [path for path in tmp_path.rglob("*") if path.name.startswith("chamaleonet-")]
    kept = sum(path.stat().st_size for path in files)
    # While the last hour's files were partial, they took 42,000 bytes.
    assert 80_000 < kept <= 150_000
    assert store.size == kept
    # Every second step ended the files of the one before.
    assert store.removed == {"size": 12 * len(LABELS) - len(files)}
    assert all(any(folder.iterdir()) for folder in tmp_path.glob("day=*/hour=*"))


def test_a_store_looks_for_old_files_at_the_start_and_each_minute(tmp_path):
    store = open_store(tmp_path, age=DAY)
    step(store, 1, START)
    store.close()

    store = open_store(tmp_path, START + DAY, age=DAY)
    settle(store)
    store.commit(None, START + DAY + 59 * 10**9)
    assert store.removed == {}
    store.commit(None, START + DAY + 61 * 10**9)
    settle(store)
    store.commit(None, START + DAY + 61 * 10**9)
    assert store.removed == {}
    store.commit(None, START + DAY + 121 * 10**9)
    assert store.removed == {"age": len(LABELS)}
    assert list(tmp_path.glob("day=*")) == []
    store.close()

    store = open_store(tmp_path, START + DAY, age=DAY)
    step(store, 1, START + DAY)
    store.close()
    store = open_store(tmp_path, START + 3 * DAY, age=DAY)
    store.close()
    assert store.removed == {"age": len(LABELS)}
