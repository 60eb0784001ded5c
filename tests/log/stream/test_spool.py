import contextlib
import errno
import os
import random
import stat
import subprocess
import sys
import time

import pytest

from chamaleonet.errors import UserError
from chamaleonet.log.stream.frames import LENGTH, FrameReader
from chamaleonet.log.stream.messages import RECORDS
from chamaleonet.log.stream.packing import check_record
from chamaleonet.log.stream.position import Position
from chamaleonet.log.stream.spool import Spool
from tests.log.stream.records import FRAME_BYTES, record

LARGE = 1 << 20


def fill(spool, *seqs, run=7):
    """Append records; return under which causes some were dropped."""
    return [cause for seq in seqs if (cause := spool.append(*record(run, seq)))]


def drain(spool, most=1000):
    """Return the seqs of all records that are left."""
    seqs = []
    while records := spool.read(most):
        for position, frame in records:
            assert frame == record(*position)[1]
            seqs.append(position.seq)
    return seqs


def segments(directory):
    return sorted(directory.glob("*.frames"))


@pytest.fixture(autouse=True)
def sooner(monkeypatch):
    """Do not wait for the disk each time that a spool is opened."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "spool"


def test_records_come_back_in_order(directory):
    spool = Spool(directory, LARGE)
    assert not fill(spool, *range(1, 101))
    assert (spool.unread, spool.bytes) == (100, sum(p.stat().st_size for p in segments(directory)))
    assert [p.seq for p, _ in spool.read(30)] == list(range(1, 31))
    assert drain(spool) == list(range(31, 101))
    assert (spool.unread, spool.read(1)) == (0, [])
    assert not fill(spool, 101, 102)
    assert drain(spool) == [101, 102]
    spool.close()


def test_the_next_run_reads_what_is_left(directory):
    spool = Spool(directory, LARGE)
    fill(spool, *range(1, 51))
    spool.read(10)  # reading is not acknowledging
    spool.close()
    again = Spool(directory, LARGE)
    assert again.unread == 50
    fill(again, 1, 2, run=again.run)
    assert drain(again) == [*range(1, 51), 1, 2]
    again.close()


def test_what_is_acknowledged_is_deleted(directory):
    spool = Spool(directory, LARGE)
    fill(spool, *range(1, 11), 21, 22)  # a gap begins another segment
    assert len(segments(directory)) == 2
    assert spool.acknowledge(Position(7, 4)) == 4
    assert (len(segments(directory)), spool.unread) == (2, 8)
    assert drain(spool) == [5, 6, 7, 8, 9, 10, 21, 22]
    assert spool.acknowledge(Position(7, 10)) == 0
    assert len(segments(directory)) == 1
    assert spool.acknowledge(Position(7, 22)) == 0
    assert (segments(directory), spool.bytes) == ([], 0)
    assert not fill(spool, 23)
    assert drain(spool) == [23]
    assert spool.acknowledge(Position(8, 0)) == 0
    assert segments(directory) == []
    spool.close()


def test_a_position_of_an_earlier_run_covers_what_it_says(directory):
    spool = Spool(directory, LARGE)
    fill(spool, 1, 2, 3, run=5)
    fill(spool, 1, 2, 3, run=6)
    assert spool.acknowledge(Position(4, 99)) == 0
    assert spool.acknowledge(Position(6, 1)) == 4
    assert drain(spool) == [2, 3]
    spool.close()


def test_it_is_bounded_and_goes_on_when_there_is_room(directory):
    spool = Spool(directory, 64 * FRAME_BYTES)
    causes = fill(spool, *range(1, 101))
    kept = 100 - len(causes)
    assert set(causes) == {"stream_spool_full"}
    assert 64 <= kept < 70
    assert sum(p.stat().st_size for p in segments(directory)) == spool.bytes <= 64 * FRAME_BYTES
    assert len(segments(directory)) > 8  # so that room is given back piece by piece
    assert drain(spool) == list(range(1, kept + 1))
    spool.acknowledge(Position(7, 20))
    assert not fill(spool, *range(101, 111))
    assert drain(spool) == list(range(101, 111))
    spool.close()


def test_it_is_its_owners_alone(directory):
    mask = os.umask(0)
    try:
        spool = Spool(directory, LARGE)
        fill(spool, 1)
    finally:
        os.umask(mask)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert [path for path in directory.iterdir() if path.stat().st_mode & 0o177] == []
    spool.close()
    directory.chmod(0o750)
    with pytest.raises(UserError, match=r"spool: a spool must be its owner's alone \(mode 0700\)"):
        Spool(directory, LARGE)


def test_a_second_controller_is_refused(directory):
    with pytest.raises(UserError, match="another controller uses this spool"):
        _ = [Spool(directory, LARGE), Spool(directory, LARGE)]


def test_a_directory_that_cannot_be_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file: cannot be the spool: File exists"):
        Spool(tmp_path / "file", LARGE)


def test_runs_increase_whatever_the_clock_says(directory, monkeypatch):
    runs = []
    for now in (1000, 500, 2000, 0):
        monkeypatch.setattr(time, "time_ns", lambda now=now: now)
        spool = Spool(directory, LARGE)
        runs.append(spool.run)
        spool.close()
    assert runs == [1000, 1001, 2000, 2001]


@pytest.mark.parametrize("noted", [b"", b"-1", b"9" * 19, b"9" * 40, b"\xff\x00", b"1e3"])
def test_a_damaged_note_of_the_run_is_ignored(directory, noted):
    spool = Spool(directory, LARGE)
    fill(spool, 1, run=2**62)
    spool.close()
    (directory / "run").write_bytes(noted)
    spool = Spool(directory, LARGE)
    assert 2**62 < spool.run < 2**63
    spool.close()


def test_a_torn_tail_is_ignored(directory):
    spool = Spool(directory, LARGE)
    fill(spool, 1, 2, 3)
    spool.close()
    (path,) = segments(directory)
    whole = path.read_bytes()
    for cut in range(1, len(record(7, 3)[1])):
        path.write_bytes(whole[:-cut])
        spool = Spool(directory, LARGE)
        assert drain(spool) == [1, 2]
        assert not spool.dropped.total()
        spool.close()


def test_a_damaged_frame_is_left_out_and_counted(directory):
    spool = Spool(directory, LARGE)
    fill(spool, 1, 2, 3)
    spool.close()
    (path,) = segments(directory)
    data = bytearray(path.read_bytes())
    data[len(record(7, 1)[1]) + LENGTH.size] ^= 0xFF
    path.write_bytes(data)
    spool = Spool(directory, LARGE)
    assert drain(spool) == [1, 3]
    assert spool.dropped == {"stream_spool_damaged": 1}
    spool.close()


@pytest.mark.parametrize("seed", range(10))
def test_whatever_lies_there_never_stops_it(directory, seed):
    noise = random.Random(seed)
    for number in range(30):
        _survives(directory / str(number), noise)


def _survives(directory, noise):
    spool = Spool(directory, 40 * FRAME_BYTES)
    fill(spool, *range(1, 31))
    spool.close()
    for path in segments(directory):
        data = bytearray(path.read_bytes())
        for _ in range(noise.randrange(4)):
            at = noise.randrange(len(data))
            kind = noise.randrange(4)
            if kind == 0:
                data[at] = noise.randrange(256)
            elif kind == 1:
                del data[at:]
                data += noise.randbytes(noise.randrange(40))
            elif kind == 2:
                data[at:at] = noise.randbytes(noise.randrange(1, 9))
            else:
                data[at:at] = data[: noise.randrange(len(data))]
            if not data:
                break
        path.write_bytes(data)
    name = f"{noise.randrange(9):020}-{noise.randrange(40):020}.frames"
    (directory / name).write_bytes(noise.randbytes(noise.randrange(100)))
    (directory / f"{noise.randrange(10**20):020}-{noise.randrange(10**20):020}.frames").touch()
    (directory / "stranger").mkdir()
    with contextlib.suppress(FileExistsError):  # the noise has that name once in a while
        (directory / f"{1:020}-{1:020}.frames").mkdir()
    spool = Spool(directory, 40 * FRAME_BYTES)
    before = spool.unread
    dropped = spool.dropped.total()
    if noise.randrange(2):
        spool.acknowledge(Position(7, noise.randrange(40)))
    most, seqs = noise.randrange(1, 20), []
    while records := spool.read(most):
        for position, frame in records:
            (message,) = FrameReader(RECORDS).feed(frame)
            check_record(message)
            assert (message["run"], message["seq"]) == position
            seqs.append(position)
    assert seqs == sorted(set(seqs)), "each at most once, in order"
    assert len(seqs) + spool.dropped.total() - dropped <= before
    assert spool.unread == 0
    fill(spool, 1, 2, run=spool.run)
    assert drain(spool) == [1, 2]
    spool.acknowledge(Position(spool.run, 2))
    assert spool.bytes == 0
    spool.close()


def test_a_segment_that_vanished_is_counted(directory):
    spool = Spool(directory, LARGE)
    fill(spool, 1, 2, 3, 11, 12)
    segments(directory)[0].unlink()
    assert drain(spool) == [11, 12]
    assert spool.dropped == {"stream_spool_damaged": 3}
    assert spool.acknowledge(Position(7, 12)) == 0
    assert spool.bytes == 0
    spool.close()


class Disk:
    """Stands in for os.write: takes so many bytes more, then fails."""

    def __init__(self, monkeypatch):
        self.room = LARGE
        self.error = errno.ENOSPC
        self.tries = 0
        self._write = os.write
        monkeypatch.setattr(os, "write", self)

    def __call__(self, file, data):
        self.tries += 1
        if not self.room:
            raise OSError(self.error, os.strerror(self.error))
        written = self._write(file, data[: self.room])
        self.room -= written
        return written


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (errno.ENOSPC, "stream_spool_full"),
        (errno.EDQUOT, "stream_spool_full"),
        (errno.EIO, "stream_spool_failed"),
    ],
)
def test_a_disk_that_fails_costs_records_not_more(directory, monkeypatch, error, cause):
    now = [0.0]
    spool = Spool(directory, LARGE, clock=lambda: now[0])
    disk = Disk(monkeypatch)
    fill(spool, 1, 2)
    disk.room, disk.error = 0, error
    assert fill(spool, 3, 4) == [cause] * 2
    disk.tries = 0
    assert fill(spool, *range(5, 100)) == [cause] * 95
    assert disk.tries == 0, "the disk is let alone for a while"
    disk.room = LARGE
    now[0] += 2
    assert not fill(spool, 100, 101)
    assert drain(spool) == [1, 2, 100, 101]
    spool.close()
    spool = Spool(directory, LARGE)
    assert drain(spool) == [1, 2, 100, 101]
    spool.close()


@pytest.mark.parametrize("room", [0, 1, 100, FRAME_BYTES + 50])
@pytest.mark.parametrize("truncates", [True, False])
def test_a_record_that_fits_in_part_is_taken_back(directory, monkeypatch, room, truncates):
    now = [0.0]
    spool = Spool(directory, LARGE, clock=lambda: now[0])
    disk = Disk(monkeypatch)
    if not truncates:
        monkeypatch.setattr(os, "ftruncate", lambda *_: os.fstat(-1))  # raises OSError
    disk.room = room
    causes = fill(spool, 1, 2, 3)
    kept = list(range(1, 4 - len(causes)))
    disk.room = LARGE
    now[0] += 2
    assert not fill(spool, 4, 5)
    for _ in range(2):
        assert drain(spool) == [*kept, 4, 5]
        assert not spool.dropped.total()
        spool.close()
        spool = Spool(directory, LARGE)
    spool.close()


def test_a_full_disk_is_no_reason_not_to_start(directory, monkeypatch):
    Spool(directory, LARGE).close()

    def full(*_):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "fsync", full)
    spool = Spool(directory, LARGE)
    assert spool.run > 0
    spool.close()


_KILLED = """
import os, signal, sys, time
from pathlib import Path
from chamaleonet.log.stream.spool import Spool
from tests.log.stream.records import record
spool = Spool(Path(sys.argv[1]), 1 << 24)
for seq in range(1, 100_000):
    assert spool.append(*record(7, seq)) is None
    if seq % 100 == 0:
        print(seq, flush=True)
"""


def test_what_was_appended_survives_a_kill(directory):
    process = subprocess.Popen(
        [sys.executable, "-c", _KILLED, directory], stdout=subprocess.PIPE, text=True
    )
    with process:
        for _ in range(5):
            appended = int(process.stdout.readline())
        process.kill()
        appended = max([appended, *map(int, process.stdout.read().split())])
    spool = Spool(directory, 1 << 24)  # the lock died with the process
    seqs = drain(spool)
    assert seqs == list(range(1, len(seqs) + 1))
    assert len(seqs) >= appended
    assert not spool.dropped.total()
    spool.close()
