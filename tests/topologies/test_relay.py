"""The long wire: later, in order, and the same losses from the same seed."""

import pytest

from topologies.relay import Direction


class Source:
    def __init__(self, *frames):
        self._frames = list(frames)

    def recv(self, _):
        if not self._frames:
            raise BlockingIOError
        return self._frames.pop(0)


class Target(list):
    def send(self, frame):
        self.append(frame)


FRAMES = [bytes([n]) for n in range(50)]


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def carried(clock, loss, seed):
    target = Target()
    direction = Direction(Source(*FRAMES), target, 0.04, loss, seed)
    direction.take()
    clock[0] += 1
    direction.give()
    return target


def test_frames_arrive_in_order_when_their_time_has_come(clock):
    target = Target()
    direction = Direction(Source(*FRAMES), target, 0.04, 0.0, "1")
    assert direction.due() is None
    direction.take()
    assert direction.due() == pytest.approx(100.04)
    clock[0] = 100.039
    direction.give()
    assert target == []
    clock[0] = 100.041
    direction.give()
    assert target == FRAMES
    assert direction.due() is None


def test_losses_are_drawn_from_the_seed(clock):
    some = carried(clock, 0.5, "1")
    assert 10 < len(some) < 40
    assert carried(clock, 0.5, "1") == some
    assert carried(clock, 0.5, "2") != some
    assert carried(clock, 1.0, "1") == []
