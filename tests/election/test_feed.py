"""What one node tells the other."""

import time

import pytest

from chamaleonet.election.feed import _HEADER, Feed, FeedReader, Frame, pack
from chamaleonet.log.stream.endpoint import Endpoint
from tests.certificates import make_authority, make_certificate, needs_openssl
from tests.election.services import free_port


def until(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class Ends:
    """A feed and its reader."""

    def __init__(self, endpoint):
        self.endpoint = endpoint
        self.role, self.first, self.taken = (3, False), [], []
        self.feed = None
        self.begin()
        self.reader = FeedReader(endpoint, lambda *frame: self.taken.append(frame))

    def begin(self):
        self.feed = Feed(self.endpoint, lambda: self.role, lambda: self.first)

    def close(self):
        self.reader.close()
        self.feed.close()


@pytest.fixture
def ends(tmp_path):
    ends = Ends(Endpoint(f"unix:{tmp_path}/feed"))
    yield ends
    ends.close()


def test_what_is_there_comes_first_and_what_happens_then_in_order(tmp_path):
    ends = Ends.__new__(Ends)
    ends.endpoint = Endpoint(f"unix:{tmp_path}/feed")
    ends.role, ends.first, ends.taken = (3, True), [pack(Frame.BEGIN, 0xA1, b"flows")], []
    ends.begin()
    ends.reader = FeedReader(ends.endpoint, lambda *frame: ends.taken.append(frame))
    until(lambda: ends.taken == [(Frame.BEGIN, 0xA1, b"flows")])
    for number in range(500):
        ends.feed.put(Frame.APPEND, 0xA1, b"%d" % number * 1000)
    until(lambda: len(ends.taken) == 501)
    assert ends.taken[1:] == [(Frame.APPEND, 0xA1, b"%d" % n * 1000) for n in range(500)]
    ends.close()


def test_both_roles_are_told_again_and_again(ends):
    until(lambda: ends.reader.peer.priority == 3)
    assert not ends.reader.peer.is_master
    ends.role = (3, True)
    until(lambda: ends.reader.peer.is_master)
    heard = ends.reader.peer.heard
    until(lambda: ends.reader.peer.heard > heard)


def test_a_reader_connects_again(ends):
    until(lambda: ends.reader.peer.priority == 3)
    ends.feed.close()
    ends.role = (4, True)
    ends.begin()
    until(lambda: ends.reader.peer.priority == 4)


def test_a_feed_that_nobody_hears_holds_nobody_up(ends):
    ends.reader.close()
    begin = time.monotonic()
    for _ in range(100):
        ends.feed.put(Frame.BEGIN, 1, bytes(1 << 20))
    assert time.monotonic() - begin < 30


def test_one_that_is_too_far_behind_begins_anew(ends, monkeypatch):
    monkeypatch.setattr("chamaleonet.election.feed._MOST_QUEUED", 4 << 20)
    connection = ends.endpoint.connect(5.0)
    until(lambda: len(ends.feed._clients) == 2)
    for _ in range(100):
        ends.feed.put(Frame.BEGIN, 1, bytes(1 << 18))
        time.sleep(0.001)
    connection.settimeout(30)
    while connection.recv(1 << 20):
        pass
    connection.close()


@pytest.mark.parametrize(
    "noise", [b"\xff" * 13, _HEADER.pack(9, 0, 0), _HEADER.pack(1, 0, 1 << 31)], ids=range(3)
)
def test_noise_ends_the_connection_and_nothing_else(tmp_path, noise):
    endpoint = Endpoint(f"unix:{tmp_path}/feed")
    listener = endpoint.listen()
    taken = []
    reader = FeedReader(endpoint, lambda *frame: taken.append(frame))
    for _ in range(2):
        connection, _ = listener.accept()
        connection.sendall(noise)
        connection.settimeout(30)
        assert connection.recv(1) == b""
        connection.close()
    assert taken == []
    reader.close()
    listener.close()


@needs_openssl
def test_over_tcp_both_ends_prove_who_they_are(tmp_path):
    ours, theirs = (make_authority(tmp_path, name) for name in ("ours", "theirs"))
    address = f"tcp:127.0.0.1:{free_port()}"
    taken = []
    feed = Feed(
        Endpoint(address, make_certificate(tmp_path, "master", ours)),
        lambda: (3, True),
        lambda: [pack(Frame.BEGIN, 0xA1, b"flows" * 100_000)],
    )
    stranger = Endpoint(address, make_certificate(tmp_path, "stranger", theirs))
    node = Endpoint(address, make_certificate(tmp_path, "standby", ours))
    refused = FeedReader(stranger, lambda *frame: taken.append(("stranger", *frame)))
    reader = FeedReader(node, lambda *frame: taken.append(frame))
    until(lambda: taken)
    feed.put(Frame.APPEND, 0xA1, b"more")
    until(lambda: len(taken) == 2)
    assert taken == [(Frame.BEGIN, 0xA1, b"flows" * 100_000), (Frame.APPEND, 0xA1, b"more")]
    assert refused.peer.priority == 0
    for end in (refused, reader, feed):
        end.close()
