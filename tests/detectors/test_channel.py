import socket

import pytest

from chamaleonet.detectors.channel import Channel
from chamaleonet.detectors.frames import Kind, pack, pack_numbers


@pytest.fixture
def ends():
    one, other = map(Channel, socket.socketpair())
    yield one, other
    one.close()
    other.close()


def numbers(channel):
    return [frame.numbers() for frame in channel.frames()]


def test_frames_go_both_ways(ends):
    one, other = ends
    one.put(pack_numbers(Kind.FORGET, 1, 2))
    one.put(pack_numbers(Kind.QUALITY, 3, 4))
    other.put(pack_numbers(Kind.COUNTS, 5))
    one.flush()
    other.flush()
    assert numbers(other) == [[1, 2], [3, 4]]
    assert numbers(one) == [[5]]
    assert numbers(one) == []
    assert one.queued == 0


def test_what_does_not_fit_waits(ends):
    one, other = ends
    frame = pack(Kind.OUTPUT, bytes(1 << 20))
    for _ in range(5):
        one.put(frame)
    one.flush()
    assert 0 < one.queued < 5 * len(frame)
    came = 0
    while came < 5:
        came += len(list(other.frames()))
        one.flush()
    assert one.queued == 0


def test_the_reader_gets_to_its_other_duties(ends, monkeypatch):
    monkeypatch.setattr("chamaleonet.detectors.channel._MOST_READ", 100)
    one, other = ends
    for _ in range(50):
        one.put(pack_numbers(Kind.COUNTS, 1))
    one.flush()
    turns = 0
    left = 50
    while left:
        left -= len(numbers(other))
        turns += 1
    assert turns > 5


def test_an_end_that_closes_is_noticed(ends):
    one, other = ends
    one.put(pack_numbers(Kind.COUNTS, 7))
    one.flush()
    one.close()
    assert numbers(other) == [[7]]
    assert other.ended
    other.put(pack(Kind.OUTPUT, bytes(10)))
    other.flush()
    assert numbers(other) == []
