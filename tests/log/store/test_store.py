import json
import os
import shutil
import stat
import subprocess

import numpy as np
import pyarrow.parquet as pq
import pytest

from chamaleonet.errors import UserError
from chamaleonet.log.store import StoreError
from chamaleonet.log.stream.position import Position
from tests.log.build import SECOND, START
from tests.log.store.build import (
    HOUR,
    LABELS,
    PACKET,
    complete,
    contents,
    each_once,
    feed,
    open_store,
    seq,
    settle,
    step,
    unfinished,
)

FORMATS = pytest.mark.parametrize(
    ("flows", "compression"),
    [("parquet", "zstd"), ("parquet", "none"), ("jsonl", "zstd"), ("jsonl", "none")],
)


@FORMATS
def test_what_is_given_is_found_in_the_files(tmp_path, flows, compression):
    store = open_store(tmp_path, flows=flows, compression=compression)
    for count in (1, 10, 200):
        step(store, count, START)
    store.close()
    assert contents(tmp_path) == each_once(211)
    zst = ".zst" if compression == "zstd" else ""
    assert [str(path.relative_to(tmp_path)) for path in complete(tmp_path)] == [
        f"day=2026-09-21/hour=14/chamaleonet-20260921T141320.000Z{suffix}"
        for suffix in (
            f".events.json{zst}",
            ".flows.parquet" if flows == "parquet" else f".flows.jsonl{zst}",
            ".healthy.parquet",
            f".pcapng{zst}",
        )
    ]
    assert unfinished(tmp_path) == []


def test_a_note_is_found_again(tmp_path):
    store = open_store(tmp_path)
    assert store.note == b""
    store.note = b"\0what to know"
    store.commit(None, START)
    store.close()
    assert open_store(tmp_path).note == b"\0what to know"


@FORMATS
def test_a_clean_stop_is_gone_on_from(tmp_path, flows, compression):
    for last in (5, 11, 18):
        store = open_store(tmp_path, flows=flows, compression=compression)
        assert store.adopted == 0
        step(store, last - seq(store), START)  # all begun in the same millisecond
        store.close()
        assert store.position == Position(1, last)
    assert len(complete(tmp_path)) == 3 * len(LABELS)
    assert contents(tmp_path) == each_once(18)


def test_an_idle_logger_leaves_no_files(tmp_path):
    store = open_store(tmp_path)
    assert store.position is None
    store.packets.write(PACKET[:0], np.empty(0, np.uint8))
    for hour in range(3):
        store.commit(None, START + hour * HOUR)
    store.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["commit.json", "lock"]


def test_a_kind_of_which_nothing_came_has_no_file(tmp_path):
    store = open_store(tmp_path)
    store.events.write(b'{"number":1}\n')
    store.commit(Position(1, 1), START)
    store.close()
    [path] = complete(tmp_path)
    assert path.name.endswith(".events.json.zst")


def test_what_was_not_committed_is_dropped(tmp_path):
    store = open_store(tmp_path)
    step(store, 3, START)
    feed(store, [99])
    assert store.buffered > 0
    store.close()
    assert contents(tmp_path) == each_once(3)


def position(directory):
    store = open_store(directory)
    store.close()
    return store.position


def test_no_position_leaves_it_as_it_was(tmp_path):
    store = open_store(tmp_path)
    step(store, 3, START)
    store.commit(None, START)
    store.close()
    assert position(tmp_path) == Position(1, 3)


def test_positions_are_64_bits_wide(tmp_path):
    store = open_store(tmp_path)
    last = Position(2**64 - 1, 2**64 - 1)
    store.commit(last, START)
    store.close()
    assert position(tmp_path) == last


def test_files_end_at_the_whole_hour(tmp_path):
    # 14:13:20, 14:59:59.999, 15:00, 15:59:59.999, 16:00: a commit writes before it ends a file.
    times = [START, START + 2800 * SECOND - 1, START + 2800 * SECOND]
    times += [times[1] + HOUR, times[2] + HOUR]
    store = open_store(tmp_path)
    for now in times:
        step(store, 1, now)
    store.close()
    names = [str(path.parent.relative_to(tmp_path)) for path in complete(tmp_path)]
    assert sorted(set(names)) == ["day=2026-09-21/hour=14", "day=2026-09-21/hour=15"]
    assert contents(tmp_path) == each_once(5)
    assert [pq.read_metadata(path).num_rows for path in tmp_path.rglob("*14*Z.flows.parquet")] == [
        3
    ]


def test_an_idle_file_ends_too(tmp_path):
    store = open_store(tmp_path)
    step(store, 1, START)
    store.commit(None, START + HOUR)
    settle(store)
    assert len(complete(tmp_path)) == len(LABELS)
    store.close()


def test_files_end_at_their_size_each_for_itself(tmp_path):
    store = open_store(tmp_path, size=10_000)
    for i in range(100):
        step(store, 10, START + i * SECOND)
    store.close()
    assert contents(tmp_path) == each_once(1000)
    files = {
        label: len(list(tmp_path.rglob(f"*{label}"))) for label in ("pcapng.zst", "flows.parquet")
    }
    # A packet's block has 164 bytes, a flow 128: the 7th and the 8th commit pass 10,000.
    assert files == {"pcapng.zst": 15, "flows.parquet": 13}


def test_a_clock_that_is_set_back_destroys_nothing(tmp_path):
    store = open_store(tmp_path)
    for now in (START, START + HOUR, START, START - 30 * HOUR, START + 1, START + HOUR):
        step(store, 7, now)
    store.close()
    found = contents(tmp_path)
    assert {label: sorted(found[label]) for label in LABELS} == each_once(42)


def test_events_can_be_followed(tmp_path):
    store = open_store(tmp_path)
    step(store, 2, START)
    with (tmp_path / "events.json").open() as follower:
        assert [json.loads(line) for line in follower] == [{"number": 1}, {"number": 2}]
        step(store, 1, START + HOUR)  # ends the file
        settle(store)
        assert follower.read() == '{"number":3}\n'
    assert not (tmp_path / "events.json").exists()
    assert len((tmp_path / "events.json.1").read_text().splitlines()) == 3
    step(store, 1, START + HOUR)
    assert (tmp_path / "events.json").read_text() == '{"number":4}\n'
    store.close()
    assert (tmp_path / "events.json.1").read_text() == '{"number":4}\n'
    assert contents(tmp_path) == each_once(4)


@pytest.mark.parametrize("umask", [0, 0o777])
def test_modes_do_not_depend_on_the_umask(tmp_path, umask):
    before = os.umask(umask)
    try:
        store = open_store(tmp_path / "new" / "log", size=1)
        for i in range(3):
            step(store, 1, START + i)
        settle(store)
        feed(store, [4])
        store.commit(Position(1, 4), START + 3)
        store.close()
    finally:
        os.umask(before)
    for path in (tmp_path / "new").rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o750 if path.is_dir() else 0o640), path
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o750
    assert stat.S_IMODE((tmp_path / "new/log/events.json.1").stat().st_mode) == 0o640


def test_two_stores_do_not_share_a_directory(tmp_path):
    store = open_store(tmp_path)
    with pytest.raises(UserError) as caught:
        open_store(tmp_path)
    assert str(caught.value) == f"{tmp_path}: another logger writes there"
    store.close()
    open_store(tmp_path).close()


def test_a_directory_that_cannot_be_used_is_named(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "log"):
        with pytest.raises(UserError) as caught:
            open_store(path)
        assert str(caught.value) == f"{tmp_path / 'file'}: cannot be used: File exists"


def test_bytes_are_counted_as_they_are_committed(tmp_path):
    store = open_store(tmp_path, size=1000)
    for _ in range(3):
        step(store, 10, START)
        assert store.buffered == 0
    assert store.written["flows"] == 30 * 128
    assert store.written["events"] == sum(len('{"number":1}\n') + (i > 9) for i in range(1, 31))
    feed(store, [31])
    assert store.buffered > 0
    assert store.written["flows"] == 30 * 128
    store.close()


def test_a_file_whose_folder_was_removed_stops_nothing(tmp_path, caplog):
    store = open_store(tmp_path)
    step(store, 2, START)
    shutil.rmtree(next(tmp_path.glob("day=*")))
    store.commit(None, START + HOUR)
    settle(store)
    step(store, 2, START + HOUR)
    store.close()
    assert "removed by somebody else" in caplog.text
    assert store.finishing == 0
    assert contents(tmp_path) == {label: [3, 4] for label in LABELS}


def test_a_directory_that_was_removed_is_an_error_until_it_is_back(tmp_path):
    store = open_store(tmp_path / "log")
    step(store, 2, START)
    (tmp_path / "log").rename(tmp_path / "away")
    with pytest.raises(StoreError) as caught:
        step(store, 2, START)
    assert str(caught.value) == f"{tmp_path / 'log'}: cannot write: No such file or directory"
    assert store.position == Position(1, 2)
    (tmp_path / "away").rename(tmp_path / "log")
    store.commit(Position(1, 4), START)
    store.close()
    assert contents(tmp_path / "log") == each_once(4)


@pytest.mark.skipif(not shutil.which("tshark"), reason="tshark is not installed")
def test_wireshark_reads_open_and_complete_files(tmp_path):
    def times(path):
        shown = subprocess.run(
            ["tshark", "-n", "-r", path, "-T", "fields", "-e", "frame.time_epoch"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert "cut short" not in shown.stderr
        return shown.stdout.split()

    expected = [f"1790000000.{number:09}" for number in (1, 2, 3)]
    store = open_store(tmp_path)
    step(store, 3, START)
    assert times(next(tmp_path.rglob("*.pcapng.zst.partial"))) == expected
    store.close()
    assert times(next(tmp_path.rglob("*.pcapng.zst"))) == expected
