"""The consumer, against producers that the test plays byte by byte."""

import contextlib
import random
import struct

import pytest

from chamaleonet.log.stream import channel as channel_module
from chamaleonet.log.stream.endpoint import Endpoint
from chamaleonet.log.stream.frames import MAX_FRAME, FrameReader, pack_frame
from chamaleonet.log.stream.messages import FROM_CONSUMER, VERSION, controller_hello
from chamaleonet.log.stream.position import Position
from tests.certificates import make_authority, make_certificate, needs_openssl
from tests.log.stream.records import record
from tests.log.stream.streams import (
    CONTROLLER_HELLO,
    closed_address,
    consumer,
    frame,
    take,
    until,
)

CURRENT = pack_frame({"kind": "current"})


@pytest.fixture
def address(tmp_path):
    return Endpoint(f"unix:{tmp_path}/verdicts")


@pytest.fixture
def listener(address):
    with address.listen() as listening:
        listening.settimeout(20)
        yield listening


class Producer:
    """The other end of one connection."""

    def __init__(self, listener, run=1):
        self.socket, _ = listener.accept()
        self.socket.settimeout(20)
        self._frames = FrameReader(FROM_CONSUMER)
        (self.greeting,) = self.hear()
        self.say(pack_frame(controller_hello("tests", run)))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def say(self, data):
        self.socket.sendall(data)

    def tell(self, run, *seqs):
        self.say(b"".join(record(run, seq)[1] for seq in seqs))

    def hear(self):
        messages = []
        while not messages:
            data = self.socket.recv(4096)
            if not data:
                return []
            messages += self._frames.feed(data)
        return messages


def places(reader, count):
    return [message.position for message in take(reader, count)]


def test_it_greets_as_it_was_told(address, listener):
    with consumer(address, acknowledges=False, name="a test"), Producer(listener) as producer:
        assert producer.greeting["name"] == "a test"
        assert (producer.greeting["acknowledges"], producer.greeting["position"]) == (False, None)
    with consumer(address, position=Position(5, 6)), Producer(listener) as producer:
        assert producer.greeting["acknowledges"] is True
        assert producer.greeting["position"] == {"run": 5, "seq": 6}


def test_what_is_sent_again_is_told_once(address, listener):
    with consumer(address) as reader:
        with Producer(listener) as producer:
            producer.tell(1, 1, 2, 3, 4)
            assert places(reader, 5) == [None, (1, 1), (1, 2), (1, 3), (1, 4)]
            reader.acknowledge(Position(1, 2))
            assert [(each["run"], each["seq"]) for each in producer.hear()] == [(1, 2)]
        with Producer(listener, run=2) as producer:  # restarted, with a spool
            assert producer.greeting["position"] == {"run": 1, "seq": 2}
            producer.tell(1, 3, 4, 5)
            producer.say(CURRENT)
            producer.tell(2, 1, 2)
            assert places(reader, 5) == [None, (1, 5), None, (2, 1), (2, 2)]


def test_what_the_application_had_before_is_not_told_again(address, listener):
    with consumer(address, position=Position(3, 2)) as reader, Producer(listener, 4) as producer:
        producer.tell(2, 9)
        producer.tell(3, 1, 2, 3)
        assert places(reader, 2) == [None, (3, 3)]


def test_a_producer_whose_clock_went_back_is_heard(address, listener):
    with consumer(address, position=Position(9, 9)) as reader:
        with Producer(listener, run=7) as producer:
            producer.tell(7, 1, 2)
            assert places(reader, 3) == [None, (7, 1), (7, 2)]
            reader.acknowledge(Position(9, 10))  # of the run before: it would be out of turn
            reader.acknowledge(Position(7, 1))
            assert [(each["run"], each["seq"]) for each in producer.hear()] == [(7, 1)]
        with Producer(listener, run=7) as producer:
            producer.tell(7, 2, 3)
            assert places(reader, 2) == [None, (7, 3)]


def test_a_follower_acknowledges_nothing(address, listener):
    with consumer(address, acknowledges=False) as reader, Producer(listener) as producer:
        producer.tell(1, 1)
        take(reader, 2)
        reader.acknowledge(Position(1, 1))
        reader.close()
        assert producer.hear() == []


def test_acknowledgements_get_out_while_nobody_takes_messages(address, listener):
    with consumer(address, capacity=2) as reader, Producer(listener) as producer:
        producer.tell(1, *range(1, 10))
        until(reader.messages.full)
        reader.acknowledge(Position(1, 1))
        assert [each["seq"] for each in producer.hear()] == [1]
        assert places(reader, 10)[1:] == [(1, n) for n in range(1, 10)]


def test_a_producer_that_floods_has_to_wait(address, listener):
    with consumer(address, capacity=2) as reader, Producer(listener) as producer:
        producer.socket.setblocking(False)
        sent = 0
        with contextlib.suppress(BlockingIOError):
            while sent < 16 << 20:
                sent += producer.socket.send(record(1, sent + 1)[1])
        assert sent < 4 << 20
        assert reader.messages.qsize() <= 2


def test_it_tries_until_somebody_listens(address):
    with consumer(address) as reader, address.listen() as listener:
        listener.settimeout(20)
        with Producer(listener):
            assert take(reader, 1)[0].kind == "hello"
            assert reader.connected
        until(lambda: not reader.connected)
        with Producer(listener, run=2):
            assert take(reader, 1)[0].run == 2


BAD = {
    "stream_oversized": CONTROLLER_HELLO + struct.pack(">I", MAX_FRAME + 1),
    "stream_malformed": CONTROLLER_HELLO + frame({"kind": "flow", "flow": {}}),
    "stream_version": frame({**controller_hello("tests", 1), "protocol": "http"}),
    "stream_truncated": CONTROLLER_HELLO + CONTROLLER_HELLO[:10],
}


def _is_left(listener, reader, said, cause):
    connection, _ = listener.accept()
    with connection:
        connection.sendall(said)
        connection.shutdown(1)
        until(lambda: reader.refused[cause] == 1)
    again, _ = listener.accept()  # it tries again
    again.close()
    assert reader.refused == {cause: 1}


@pytest.mark.parametrize("cause", BAD)
def test_a_bad_producer_is_left_and_counted(address, listener, cause):
    with consumer(address) as reader:
        _is_left(listener, reader, BAD[cause], cause)


@pytest.mark.parametrize(
    "said",
    [
        CURRENT,  # before the hello
        CONTROLLER_HELLO * 2,
        CONTROLLER_HELLO + frame({"kind": "ack", "run": 1, "seq": 1}),
        CONTROLLER_HELLO + frame({"kind": "flow", "run": 1, "seq": 1, "flow": {}}),
        CONTROLLER_HELLO + record(1, 1)[1][:-1] + b"\xc1",
    ],
)
def test_what_is_out_of_turn_or_malformed_ends_the_connection(address, listener, said):
    with consumer(address) as reader:
        _is_left(listener, reader, said, "stream_malformed")


def test_another_version_ends_the_connection(address, listener):
    with consumer(address) as reader:
        old = {"kind": "hello", "protocol": "chamaleonet-verdicts", "version": VERSION - 1}
        said = frame({**old, "name": "old", "instance": "1"})
        _is_left(listener, reader, said, "stream_version")


def test_a_producer_that_says_nothing_is_left(address, listener, monkeypatch):
    monkeypatch.setattr("chamaleonet.log.stream.reader._HANDSHAKE_SECONDS", 0.1)
    with consumer(address) as reader:
        for _ in range(3):
            connection, _ = listener.accept()
            with connection:
                while connection.recv(4096):
                    pass
        assert not reader.connected


@needs_openssl
def test_a_producer_without_tls_is_left_in_time(tmp_path, monkeypatch):
    monkeypatch.setattr("chamaleonet.log.stream.reader._HANDSHAKE_SECONDS", 0.1)
    files = make_certificate(tmp_path, "one", make_authority(tmp_path, "ca"))
    endpoint = Endpoint(closed_address(), files)
    with endpoint.listen() as listener, consumer(endpoint):
        for _ in range(2):
            connection, _ = listener.accept()
            with connection:
                while connection.recv(4096):
                    pass


@pytest.mark.parametrize("seed", range(5))
def test_no_conversation_stops_the_consumer(address, listener, seed):
    noise = random.Random(seed)
    good = [CONTROLLER_HELLO, CURRENT, *(record(1, seq)[1] for seq in range(1, 5))]
    with consumer(address) as reader:
        for _ in range(40):
            said = bytearray(CONTROLLER_HELLO + b"".join(noise.choices(good, k=3)))
            for _ in range(noise.randrange(6)):
                said[noise.randrange(len(said))] = noise.randrange(256)
            if noise.randrange(3) == 0:
                said = said[: noise.randrange(len(said))]
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                connection.sendall(said)
        while True:
            with contextlib.suppress(OSError, ValueError), Producer(listener, 2**62) as producer:
                producer.tell(2**62, 1)
                break
        until(lambda: reader.messages.queue and reader.messages.queue[-1].position == (2**62, 1))
    seen = [each.position for each in reader.messages.queue if each.position is not None]
    assert len(seen) == len(set(seen))


def test_a_stalled_producer_is_left(address, listener, monkeypatch):
    monkeypatch.setattr(channel_module, "_STALL_SECONDS", 0.2)
    name = "x" * 16_000
    for _ in range(2):
        with consumer(address, name=name) as reader, Producer(listener) as producer:
            producer.tell(1, 1)
            take(reader, 2)
            seq = 0
            while reader.connected:  # what is acknowledged is not read
                seq += 1
                reader.acknowledge(Position(1, seq))


def test_of_several_producers_it_hears_the_one_that_speaks(address, listener, tmp_path):
    silent = Endpoint(f"unix:{tmp_path}/silent")
    with consumer(silent, others=[address]) as reader:
        with Producer(listener, run=1) as first:
            first.tell(1, 1)
            assert [message.kind for message in take(reader, 2)] == ["hello", "flow"]
        with silent.listen() as other:
            other.settimeout(20)
            with Producer(other, run=2) as second:
                second.tell(2, 1)
                assert [message.run for message in take(reader, 2)] == [2, 0]
