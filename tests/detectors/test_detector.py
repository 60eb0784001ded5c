import socket

import numpy as np
import pytest

from chamaleonet.detectors import detector
from chamaleonet.detectors.channel import Channel
from chamaleonet.detectors.detector import Detector
from chamaleonet.detectors.frames import Counts, Kind, pack, pack_numbers
from chamaleonet.flows.engine import Engine
from chamaleonet.flows.records import Change, Direction, Quality
from chamaleonet.flows.sights import Seen, new_sights
from chamaleonet.flows.transitions import State
from chamaleonet.log.tally import COUNT
from tests.flows.playbook import settings
from tests.traffic import SECOND, Record, batch, ethernet, udp

C, S = "10.0.0.1", "192.0.2.1"
LAG = SECOND // 100


class PlayedRing:
    """A ring whose blocks a test fills."""

    def __init__(self):
        self.blocks = []
        self._silence = socket.socketpair()

    def fileno(self):
        return self._silence[0].fileno()

    def receive(self, *packets, at):
        self.blocks.append([Record(ethernet(packet), at) for packet in packets])

    def batches(self):
        while self.blocks:
            yield batch(self.blocks.pop(0))

    def close(self):
        for end in self._silence:
            end.close()


class Played:
    """A detector, and what the controller hears of it."""

    def __init__(self):
        ours, theirs = socket.socketpair()
        self.ring, self.channel = PlayedRing(), Channel(ours)
        self.engine = Engine(settings(), judged=tuple(State)[2:], ended=tuple(State)[1:])
        self._theirs = Channel(theirs)
        self.detector = Detector(self.ring, self.engine, self._theirs, LAG)
        self.monotonic = 1000.0
        self.rows = []  # of the events that were heard
        self.sights = new_sights(len(self.engine.prefixes))

    def turn(self, now):
        self.monotonic += 1
        self.detector.turn(now, self.monotonic)
        return self.heard()

    def heard(self):
        """Return what was told, all of it: (change, verdict) of events, Counts, and numbers."""
        told = []
        while True:
            self._theirs.flush()
            frames = list(self.channel.frames())
            if not frames and not self._theirs.queued:
                return told
            for frame in frames:
                if frame.kind == Kind.COUNTS:
                    told.append(Counts(*frame.numbers()))
                elif frame.kind == Kind.VERDICTS:
                    states = [State(key & 0xFF) for key in frame.numbers(0)]
                    told += zip(states, frame.numbers(1), strict=True)
                elif frame.kind == Kind.TALLY:
                    told += frame.parts[0].view(COUNT)["flows"].tolist()
                elif frame.kind == Kind.SIGHTS:
                    self.sights.join(*frame.sights())
                else:
                    self.rows += frame.output().events["row"].tolist()
                    told += [
                        (Change(event["change"]), State(event["flow"]["state"]))
                        for event in frame.output().events
                    ]

    def command(self, frame):
        """Have it run with a command, and then finish."""
        self.channel.put(frame)
        self.channel.put(pack(Kind.FINISH))
        self.channel.flush()
        self.detector.run()
        return [told for told in self.heard() if not isinstance(told, Counts)]

    def close(self):
        for each in (self.channel, self._theirs, self.ring):
            each.close()


@pytest.fixture
def played():
    detector = Played()
    yield detector
    detector.close()


def test_packets_are_judged_and_time_passes_behind_them(played):
    played.ring.receive(udp(C, S), at=SECOND)
    [counts] = played.turn(SECOND)
    assert (counts.packets, counts.tracked_flows, counts.pending_flows) == (1, 1, 1)
    assert played.turn(4 * SECOND)[:-1] == []
    told = played.turn(4 * SECOND + LAG)
    assert told[0] == (Change.JUDGED, State.UNANSWERED)
    assert told[1].pending_flows == 0


def test_a_reply_that_waits_in_the_ring_counts_before_the_deadline_passes(played):
    played.ring.receive(udp(C, S), at=SECOND)
    played.turn(SECOND)
    played.ring.receive(udp(S, C, sport=53, dport=40000), at=2 * SECOND)
    assert played.turn(9 * SECOND)[0] == (State.ANSWERED, 1)


def test_of_healthy_flows_numbers_alone_are_told(played):
    for port in range(3):
        played.ring.receive(
            udp(C, S, sport=port), udp(S, C, sport=53, dport=port), at=(1 + port) * SECOND
        )
    assert played.turn(5 * SECOND)[0] == (State.ANSWERED, 3)
    played.monotonic += 10
    assert played.turn(200 * SECOND)[0] == 3


def test_where_too_much_waits_packets_stay_in_the_ring_and_time_stands_still(played, monkeypatch):
    monkeypatch.setattr(detector, "_MOST_QUEUED", 100)
    for port in range(3):
        played.ring.receive(udp(C, S, sport=port), at=(1 + 4 * port) * SECOND)
    assert played.detector.turn(20 * SECOND, 0) is None
    assert played.engine.packets == 2  # the second block's time made the first flow unanswered
    assert played.engine.now == 5 * SECOND
    played.detector.turn(20 * SECOND, 0)
    assert played.engine.packets == 2
    assert played.heard() == [(Change.JUDGED, State.UNANSWERED)]
    played.detector.turn(20 * SECOND, 0)
    assert played.engine.packets == 3
    played.heard()
    played.detector.turn(20 * SECOND, 0)
    assert played.engine.now == 20 * SECOND - LAG


def test_counts_are_told_when_something_changed_and_now_and_then(played):
    def turn(after):
        played.monotonic += after
        played.detector.turn(0, played.monotonic)
        return len(played.heard())

    assert turn(after=0) == 1
    assert turn(after=0.2) == 0
    played.ring.receive(udp(C, S), at=SECOND)
    assert turn(after=0.01) == 1
    played.ring.receive(udp(C, S), at=SECOND)
    assert turn(after=0.01) == 0
    assert turn(after=0.1) == 1
    assert turn(after=1) == 1


def test_its_last_word_is_the_end_of_all_flows(played):
    played.ring.receive(udp(C, S), at=SECOND)
    played.turn(SECOND)
    assert played.command(b"") == [(Change.ENDED, State.PENDING)]
    assert played.engine.tracked_flows == 0


def test_qualities_hold_on_command(played):
    played.command(pack_numbers(Kind.QUALITY, Direction.OUTBOUND, Quality.SUSPECT, 2))
    quality = played.engine._table.quality
    assert quality[2, Direction.OUTBOUND] == Quality.SUSPECT
    assert np.count_nonzero(quality) == 1


def test_who_asks_and_who_is_heard_is_told_once(played):
    played.ring.receive(udp(C, S), udp(S, C, sport=53, dport=40000), at=SECOND)
    played.turn(SECOND)
    played.ring.receive(udp(C, S, sport=7), at=2 * SECOND)
    played.turn(2 * SECOND)
    played.turn(3 * SECOND)
    seen = played.sights.flows[0, Direction.OUTBOUND]
    assert (seen[Seen.ASKED], seen[Seen.HEARD]) == (2, 1)
    assert played.sights.counts[0, 0, Direction.OUTBOUND, Seen.ASKED].sum(axis=-1).tolist() == [
        2,
        2,
    ]
    assert not played.engine.sights.counts.any()


def test_a_flow_is_forgotten_on_command(played):
    played.ring.receive(udp(C, S), udp(C, S, sport=2), at=SECOND)
    played.turn(SECOND)
    played.turn(5 * SECOND)
    one, other = played.rows
    played.command(pack_numbers(Kind.FORGET, other, SECOND))
    assert played.rows == [one, other, other, one]  # judged, forgotten, ended with all


def test_it_ends_when_the_controller_is_gone(played):
    played.channel.close()
    played.detector.run()
