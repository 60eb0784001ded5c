"""The backlog alone, and the whole life of records against a simple model."""

from __future__ import annotations

import errno
import os
import random
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from chamaleonet.log.stream.backlog import Backlog
from chamaleonet.log.stream.frames import FrameReader
from chamaleonet.log.stream.messages import RECORDS
from chamaleonet.log.stream.position import Position
from chamaleonet.log.stream.spool import Spool
from tests.log.stream.records import FRAME_BYTES, record


def fill(backlog, *seqs, run=7):
    for seq in seqs:
        backlog.append(*record(run, seq))


def positions(frames):
    messages = FrameReader(RECORDS).feed(b"".join(frames))
    return [Position(message["run"], message["seq"]) for message in messages]


def take(backlog, size=1 << 20):
    return [position.seq for position in positions(backlog.take(size))]


@pytest.fixture
def spool(tmp_path):
    made = Spool(tmp_path / "spool", 1 << 20)
    yield made
    made.close()


def test_what_is_not_acknowledged_is_sent_again():
    backlog = Backlog(100)
    fill(backlog, 1, 2, 3, 4, 5)
    assert take(backlog, 2 * FRAME_BYTES) == [1, 2, 3]
    assert (backlog.queued, backlog.last_sent) == (5, Position(7, 3))
    backlog.acknowledge(Position(7, 1))
    backlog.rewind()
    assert take(backlog) == [2, 3, 4, 5]
    assert take(backlog) == []
    backlog.acknowledge(Position(7, 5))
    assert (backlog.queued, backlog.sent, backlog.acknowledged) == (0, 7, 5)


def test_without_a_spool_new_records_are_dropped():
    backlog = Backlog(3)
    fill(backlog, 1, 2, 3, 4, 5)
    assert backlog.dropped == {"stream_queue_full": 2}
    assert take(backlog) == [1, 2, 3]
    fill(backlog, 6)  # sent is not acknowledged
    assert backlog.dropped == {"stream_queue_full": 3}
    backlog.acknowledge(Position(7, 2))
    fill(backlog, 7)
    assert take(backlog) == [7]


def test_more_than_memory_holds_goes_to_the_spool(spool):
    backlog = Backlog(4, spool)
    fill(backlog, *range(1, 11))
    assert (backlog.queued, backlog.spooled) == (4, 6)
    assert take(backlog) == [1, 2, 3, 4]
    assert take(backlog) == [], "the window is full"
    backlog.acknowledge(Position(7, 1))
    assert take(backlog) == []  # one record is not worth a look at the disk
    backlog.acknowledge(Position(7, 4))
    assert take(backlog) == [5, 6, 7, 8]
    fill(backlog, 11)
    backlog.acknowledge(Position(7, 8))
    assert take(backlog) == [9, 10, 11]
    assert (backlog.queued, backlog.spooled) == (3, 0)
    backlog.acknowledge(Position(7, 9))
    before = spool.bytes
    fill(backlog, 12)
    assert (spool.bytes, backlog.spooled) == (before, 0), "to memory again"
    assert take(backlog) == [12]
    backlog.acknowledge(Position(7, 12))
    assert (backlog.queued, spool.bytes, backlog.acknowledged) == (0, 0, 12)


def test_segments_stay_few_while_memory_is_just_full(spool, tmp_path):
    backlog = Backlog(20, spool)
    seq = 20
    fill(backlog, *range(1, 21))
    most = 0
    for acknowledged in range(1, 500):
        backlog.take(1 << 20)
        backlog.acknowledge(Position(7, acknowledged))
        seq += 1
        fill(backlog, seq)
        most = max(most, len(list((tmp_path / "spool").glob("*.frames"))))
    assert most <= 3
    assert not backlog.dropped.total()


def test_closing_leaves_everything_to_the_spool_in_order(tmp_path):
    backlog = Backlog(4, Spool(tmp_path / "spool", 1 << 20))
    fill(backlog, 1, 2, 3, 4)  # in memory
    fill(backlog, 5, 6)  # on disk
    take(backlog)
    backlog.acknowledge(Position(7, 3))
    fill(backlog, 7)  # on disk, too
    backlog.acknowledge(Position(7, 4))
    assert take(backlog) == [5, 6, 7]
    backlog.acknowledge(Position(7, 5))
    fill(backlog, 8, 9)  # in memory
    fill(backlog, 10)  # on disk
    backlog.close()
    again = Backlog(100, Spool(tmp_path / "spool", 1 << 20))
    assert again.spooled == 6  # of its segment, the fifth comes with the others
    again.acknowledge(Position(7, 5))
    assert take(again) + take(again) + take(again) == [6, 7, 8, 9, 10]
    again.close()


def test_what_does_not_fit_at_the_end_is_counted(tmp_path):
    backlog = Backlog(10, Spool(tmp_path / "spool", 3 * FRAME_BYTES))
    fill(backlog, *range(1, 9))
    backlog.close()
    fill(backlog, 9)
    assert backlog.dropped == {"stream_undelivered": 6}
    backlog = Backlog(3)
    fill(backlog, 1, 2)
    backlog.close()
    assert backlog.dropped == {"stream_undelivered": 2}


class Life(RuleBasedStateMachine):
    """A controller, its disk and a logger that all may fail, at any moment.

    The model: every record that was made is kept by the logger, exactly once and in order, unless
    it was counted as dropped or was in the memory of a controller that was killed.
    """

    @initialize(capacity=st.integers(1, 30), frames=st.integers(4, 80), noise=st.integers(0, 2**32))
    def begin(self, capacity, frames, noise):
        self.directory = Path(tempfile.mkdtemp())
        self.capacity, self.size = capacity, frames * FRAME_BYTES
        self.noise = random.Random(noise)
        self.now = 0.0
        self.full = False
        self.made = self.dropped = 0
        self.killed = set()  # what was in a killed controller's memory alone
        self.doubtful = 0  # dropped at an end, unacknowledged, but the logger may have it
        self.kept = []  # the logger's files
        self.received = []  # the logger's memory: not yet kept
        self.connected = False
        self._write, self._fsync = os.write, os.fsync
        os.write, os.fsync = self._written, lambda _: None
        self.start()

    def _written(self, file, data):
        if self.full:
            size = self.noise.randrange(len(data))
            if not size:
                raise OSError(errno.ENOSPC, "full")
            data = data[:size]
        return self._write(file, data)

    def in_memory(self):
        records = (*self.backlog._unacknowledged, *self.backlog._waiting)
        return {each.position for each in records if not each.spooled}

    def start(self):
        self.spool = Spool(self.directory / "spool", self.size, clock=lambda: self.now)
        self.backlog = Backlog(self.capacity, self.spool)
        self.seq = 0
        self.connected = False

    @rule(count=st.integers(1, 40))
    def make(self, count):
        for _ in range(count):
            self.seq += 1
            self.made += 1
            self.backlog.append(*record(self.spool.run, self.seq))

    @precondition(lambda self: not self.connected)
    @rule()
    def connect(self):
        if self.kept:
            self.backlog.acknowledge(self.kept[-1])
        self.connected = True

    @precondition(lambda self: self.connected)
    @rule(frames=st.integers(1, 30))
    def receive(self, frames):
        for position in positions(self.backlog.take(frames * FRAME_BYTES)):
            last = (self.received or self.kept or [Position(0, 0)])[-1]
            if position > last:  # else it was sent again
                self.received.append(position)

    @rule(part=st.floats(0, 1))
    def keep(self, part):
        count = round(part * len(self.received))
        self.kept += self.received[:count]
        del self.received[:count]

    @precondition(lambda self: self.connected and self.kept)
    @rule()
    def acknowledge(self):
        self.backlog.acknowledge(self.kept[-1])

    @precondition(lambda self: self.connected)
    @rule(dies=st.booleans())
    def disconnect(self, dies):
        if dies:
            self.received.clear()
        self.backlog.rewind()
        self.connected = False

    @rule(full=st.booleans())
    def disk(self, full):
        self.full = full
        self.now += 2

    @rule()
    def restart(self):
        self.doubtful += len(self.in_memory() & {*self.received, *self.kept})
        self.backlog.close()
        self.dropped += self.backlog.dropped.total()
        self.start()

    @rule()
    def kill(self):
        self.killed |= self.in_memory()
        self.dropped += self.backlog.dropped.total()
        for file in (self.spool._file, self.spool._lock):
            if file is not None:
                os.close(file)
        self.start()

    @invariant()
    def bounded(self):
        if not hasattr(self, "backlog"):
            return
        assert self.backlog.queued <= self.capacity
        on_disk = sum(path.stat().st_size for path in (self.directory / "spool").glob("*.frames"))
        assert on_disk == self.spool.bytes <= self.size

    def teardown(self):
        if not hasattr(self, "backlog"):
            return
        try:
            self.full = False
            if self.connected:
                self.disconnect(dies=True)
            self.connect()
            while self.backlog.queued or self.backlog.spooled:
                self.receive(1000)
                self.keep(1.0)
                self.acknowledge()
            assert self.kept == sorted(set(self.kept)), "each at most once, in order"
            lost = self.made - len(self.kept)
            gone = self.dropped + self.backlog.dropped.total() + len(self.killed - set(self.kept))
            assert gone - self.doubtful <= lost <= gone
            assert self.spool.bytes == 0
            self.backlog.close()
        finally:
            os.write, os.fsync = self._write, self._fsync
            shutil.rmtree(self.directory)


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
