"""Both ends of a verdict stream, and a third that says what it likes, for tests."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import time

import msgpack
import numpy as np

from chamaleonet.flows.records import FLOW, Change
from chamaleonet.log.stream.frames import FrameReader, pack_frame
from chamaleonet.log.stream.messages import FROM_CONTROLLER, ack, consumer_hello, controller_hello
from chamaleonet.log.stream.position import Position
from chamaleonet.log.stream.producer import VerdictStream
from chamaleonet.log.stream.reader import VerdictReader
from tests.log.build import NO_DATA, NO_PACKETS, event, flow

NO_FLOWS = np.empty(0, FLOW)
CONTROLLER_HELLO = pack_frame(controller_hello("tests", 1))


def greeting(acknowledges=True, position=None):
    """Return a consumer's hello."""
    return pack_frame(consumer_hello("tests", acknowledges=acknowledges, position=position))


def number(n, **fields):
    """Return a flow that can be told from the others by its port."""
    return flow("tcp", "10.0.0.1", "192.0.2.9", n, 80, **fields)


def port(message):
    """Return the number of a message's flow."""
    return int(message.flow["ports"][0]) >> 16


def end(stream, *numbers):
    """Have the stream tell that these flows ended."""
    events = [event(number(n), Change.ENDED) for n in numbers]
    stream.send(np.concatenate(events), NO_PACKETS, NO_DATA)


@contextlib.contextmanager
def producer(endpoint, snapshot=lambda: NO_FLOWS, **named):
    stream = VerdictStream(endpoint, snapshot, **named)
    try:
        yield stream
    finally:
        stream.close(timeout=0)


@contextlib.contextmanager
def consumer(endpoint, **named):
    reader = VerdictReader(endpoint, retry=0.02, **named)
    try:
        yield reader
    finally:
        reader.close()


def until(condition):
    for _ in range(4000):
        if condition():
            return
        time.sleep(0.005)
    raise AssertionError("waited in vain")


def take(reader, count):
    """Return the next messages."""
    return [reader.messages.get(timeout=20) for _ in range(count)]


def greet(reader):
    """Take all that comes before what happens from now on; return it."""
    messages = take(reader, 1)
    while messages[-1].kind != "current":
        messages += take(reader, 1)
    assert messages[0].kind == "hello"
    return messages


def take_records(reader, count):
    """Return the next records; other messages are passed over."""
    messages = []
    while len(messages) < count:
        messages += [message for message in take(reader, 1) if message.position is not None]
    return messages


def records(reader, count):
    """Return the numbers of the next records."""
    return [port(message) for message in take_records(reader, count)]


def frame(message):
    """Return any message as a frame."""
    body = msgpack.packb(message)
    return struct.pack(">I", len(body)) + body


class Peer:
    """A consumer of bytes: it says what it is told to, checks what it hears, and can be killed."""

    def __init__(self, endpoint, said=b""):
        self.socket = endpoint.connect(20)
        self._frames = FrameReader(FROM_CONTROLLER)
        self.run = None
        self.say(said)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def say(self, data):
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(data)

    def acknowledge(self, position):
        self.say(pack_frame(ack(position)))

    def hear(self, least=1):
        """Return messages, at least so many unless the stream ends."""
        messages = []
        while len(messages) < least:
            try:
                data = self.socket.recv(65536)
            except ConnectionResetError:
                data = b""
            if not data:
                break
            messages += self._frames.feed(data)
        return messages

    def hears_nothing(self, seconds=0.05):
        """Return whether the stream has nothing to say for a moment."""
        return not select.select([self.socket], [], [], seconds)[0]

    def is_left(self):
        """Return, at the end of the stream, whether it came in good time."""
        self.socket.settimeout(20)
        try:
            while self.socket.recv(65536):
                pass
        except ConnectionResetError:
            pass
        except TimeoutError:
            return False
        return True


def place(message):
    """Return the position of a record as Peer hears it, None of another message."""
    return Position(message["run"], message["seq"]) if "seq" in message else None


def closed_address():
    """Return a TCP address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return f"tcp:127.0.0.1:{probe.getsockname()[1]}"
