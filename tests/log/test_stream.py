"""The verdict stream over real sockets: producer and consumer together."""

import contextlib
import os
import random
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import msgpack
import numpy as np
import pytest

from chamaleonet.flows.records import Change, Role
from chamaleonet.flows.transitions import State
from chamaleonet.log.endpoint import Endpoint
from chamaleonet.log.frames import MAX_FRAME, pack_frame
from chamaleonet.log.messages import hello
from chamaleonet.log.reader import VerdictReader
from chamaleonet.log.stream import VerdictStream
from tests.log.build import NO_DATA, NO_EVENTS, NO_PACKETS, captured, event, flow
from tests.log.certificates import make_authority, make_certificate, needs_openssl

HELLO = pack_frame(hello("tests", "1"))
NO_FLOWS = np.empty(0, flow("tcp", "1.1.1.1", "2.2.2.2").dtype)


def number(n, **fields):
    """Return a flow that can be told from the others by its port."""
    return flow("tcp", "10.0.0.1", "192.0.2.9", n, 80, **fields)


@contextlib.contextmanager
def producer(address, snapshot=lambda: NO_FLOWS, **named):
    stream = VerdictStream(address, snapshot, **named)
    try:
        yield stream
    finally:
        stream.close()


@contextlib.contextmanager
def consumer(address, **named):
    reader = VerdictReader(address, retry=0.02, **named)
    try:
        yield reader
    finally:
        reader.close()


def until(condition):
    for _ in range(2000):
        if condition():
            return
        time.sleep(0.005)
    raise AssertionError("waited in vain")


def take(reader, count):
    return [reader.messages.get(timeout=10) for _ in range(count)]


def port(message):
    return int(message.flow["ports"][0]) >> 16 or None


def end(stream, n):
    stream.send(event(number(n), Change.ENDED), NO_PACKETS, NO_DATA)


@pytest.fixture
def address(tmp_path):
    return Endpoint(f"unix:{tmp_path}/verdicts")


def test_verdicts_first_packets_and_ends_arrive_in_order(address):
    judged = [number(1, judged=100), number(2, judged=100)]
    packets, data = captured(judged[1], b"headers", role=Role.FIRST, row=2)
    other, _ = captured(judged[0], b"later", role=Role.LATER, row=1, offset=7)
    events = np.concatenate(
        [event(judged[0], row=1), event(judged[1], row=2), event(judged[0], Change.ENDED)]
    )
    with producer(address) as stream, consumer(address) as reader:
        stream.send(
            events,
            np.concatenate([other, packets]),
            np.frombuffer(bytearray(b"headerslater"), np.uint8),
        )
        greeting, one, two, ended = take(reader, 4)
    assert (greeting.kind, one.kind, two.kind, ended.kind) == (
        "hello",
        "verdict",
        "verdict",
        "flow",
    )
    assert one.flow.tobytes()[:40] == judged[0].tobytes()[:40]
    assert len(one.packets) == 0
    assert two.flow["judged"] == 100
    assert two.packets["role"].tolist() == [Role.FIRST]
    assert two.data.tobytes() == data.tobytes() == b"headers"
    assert (port(one), port(two), port(ended)) == (1, 2, 1)


def test_a_first_packet_without_its_event_is_sent_with_its_flow(address):
    with producer(address) as stream, consumer(address) as reader:
        stream.send(NO_EVENTS, *captured(number(3), b"headers"))
        _, message = take(reader, 2)
    assert (message.kind, port(message), message.data.tobytes()) == ("verdict", 3, b"headers")


def test_healthy_flows_stay_where_they_are(address):
    told = [
        event(number(1, state=State.ANSWERED), was=State.PENDING),
        event(number(2, state=State.REFUSED), was=State.PENDING),  # not captured by default
        event(number(3, state=State.RECOVERED), was=State.UNANSWERED),
        event(number(4, state=State.REFUSED), was=State.UNANSWERED),
        event(number(5, state=State.ICMP_ERROR), was=State.PENDING),
        *(event(number(10 + s, state=s), Change.ENDED, was=s) for s in list(State)[1:]),
    ]
    with producer(address) as stream, consumer(address) as reader:
        stream.send(np.concatenate(told), NO_PACKETS, NO_DATA)
        end(stream, 99)
        take(reader, 1)
        ports = []
        while 99 not in ports:
            ports += map(port, take(reader, 1))
    ended = (
        State.RECOVERED, State.REFUSED, State.ICMP_ERROR, State.UNANSWERED, State.UNSOLICITED,
    )  # fmt: skip
    assert ports == [3, 4, 5, *(10 + state for state in ended), 99]


def test_records_wait_for_the_first_consumer_and_come_before_what_is_active(address):
    active = np.concatenate([number(50), number(51)])
    with producer(address, lambda: active) as stream:
        for n in (1, 2, 3):
            end(stream, n)
        assert stream.queued == 3
        with consumer(address) as reader:
            messages = take(reader, 6)
            assert stream.queued == 0
    assert [message.kind for message in messages] == ["hello", *["flow"] * 3, *["active"] * 2]
    assert [port(message) for message in messages[1:]] == [1, 2, 3, 50, 51]


def test_either_side_may_restart(address):
    with consumer(address) as reader:  # nobody listens yet
        with producer(address) as stream:
            end(stream, 1)
            first, one = take(reader, 2)
        with producer(address) as stream:
            again, *_ = take(reader, 1)
            end(stream, 2)
            assert port(*take(reader, 1)) == 2
            reader.close()
            until(lambda: stream.consumers == 0)
            end(stream, 3)
            assert stream.queued == 1
            with consumer(address) as another:
                assert port(take(another, 2)[1]) == 3
    assert port(one) == 1
    assert first.kind == again.kind == "hello"
    assert first.instance != again.instance


def test_what_a_dead_consumer_did_not_take_goes_to_the_next(address):
    with producer(address) as stream:
        deaf = address.connect(5)
        deaf.sendall(HELLO)
        until(lambda: stream.consumers == 1)
        sent = 0
        while stream.queued < 100:  # the system's own buffers are full
            end(stream, sent % 60_000 + 1)
            sent += 1
        deaf.close()
        until(lambda: stream.consumers == 0)
        left = stream.queued
        with consumer(address) as reader:
            take(reader, 1)
            rest = [port(message) for message in take(reader, left)]
        numbers = [n % 60_000 + 1 for n in range(sent)]
        assert rest == numbers[sent - left :], "the newest, in order, each once"
        assert not stream.dropped.total()


def test_a_full_queue_drops_the_oldest_and_counts(address):
    with producer(address, capacity=5) as stream:
        for n in range(1, 9):
            end(stream, n)
        assert stream.queued == 5
        assert stream.dropped == {"stream_queue_full": 3}
        with consumer(address) as reader:
            assert [port(message) for message in take(reader, 6)[1:]] == [4, 5, 6, 7, 8]


def test_what_nobody_took_is_counted_when_the_stream_closes(address):
    stream = VerdictStream(address, lambda: NO_FLOWS)
    end(stream, 1)
    stream.close()
    assert stream.dropped == {"stream_undelivered": 1}


def test_closing_lets_consumers_take_what_waits(address):
    with consumer(address) as reader:
        stream = VerdictStream(address, lambda: NO_FLOWS)
        take(reader, 1)
        for n in range(1, 2001):
            end(stream, n)
        stream.close(timeout=10)
        assert [port(message) for message in take(reader, 2000)] == list(range(1, 2001))
        assert stream.dropped.total() == 0
        assert not address.path.exists()


def test_several_consumers_get_everything(address):
    with producer(address) as stream, consumer(address) as one, consumer(address) as two:
        until(lambda: stream.consumers == 2)
        end(stream, 7)
        for reader in (one, two):
            assert port(take(reader, 2)[1]) == 7


def test_a_producer_that_floods_a_slow_consumer_waits_for_it(address):
    with producer(address) as stream, consumer(address, capacity=2) as reader:
        for n in range(1, 3001):
            end(stream, n)
        take(reader, 1)
        assert [port(message) for message in take(reader, 3000)] == list(range(1, 3001))


def _frame(message):
    body = msgpack.packb(message)
    return struct.pack(">I", len(body)) + body


BAD_HELLOS = {
    "stream_oversized": struct.pack(">I", MAX_FRAME + 1),
    "stream_malformed": struct.pack(">I", 3) + b"\xc1\xc1\xc1",
    "stream_version": _frame({**hello("tests", "1"), "version": 2}),
    "stream_connection": HELLO[:10],  # cut short
}


@pytest.mark.parametrize("cause", BAD_HELLOS)
def test_a_bad_consumer_is_refused_and_counted(address, cause):
    with producer(address) as stream:
        with address.connect(5) as bad:
            bad.sendall(BAD_HELLOS[cause])
            bad.shutdown(socket.SHUT_WR)
            until(lambda: stream.refused[cause] == 1)
        assert stream.refused == {cause: 1}
        with consumer(address) as reader:
            end(stream, 1)
            assert port(take(reader, 2)[1]) == 1


def test_a_consumer_that_speaks_out_of_turn_is_refused(address):
    with producer(address) as stream, address.connect(5) as bad:
        bad.sendall(HELLO)
        until(lambda: stream.consumers == 1)
        bad.sendall(HELLO)
        until(lambda: stream.refused == {"stream_malformed": 1})


def test_too_many_consumers_are_refused(address):
    with producer(address) as stream, contextlib.ExitStack() as stack:
        for _ in range(17):
            stack.enter_context(address.connect(5)).sendall(HELLO)
        until(lambda: stream.consumers == 16)
        until(lambda: stream.refused == {"stream_busy": 1})


BAD_STREAMS = {
    "stream_oversized": HELLO + struct.pack(">I", MAX_FRAME + 1),
    "stream_malformed": HELLO + _frame({"kind": "flow", "flow": {}}),
    "stream_version": _frame({**hello("tests", "1"), "protocol": "http"}),
    "stream_truncated": HELLO + HELLO[:10],
}


@pytest.mark.parametrize("cause", BAD_STREAMS)
def test_a_bad_producer_is_left_and_counted(address, cause):
    with address.listen() as listener, consumer(address) as reader:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(BAD_STREAMS[cause])
            connection.shutdown(socket.SHUT_WR)
            until(lambda: reader.refused[cause] == 1)
        again, _ = listener.accept()  # it tries again
        again.close()
        assert reader.refused == {cause: 1}


def test_both_sides_survive_noise(address):
    noise = random.Random(4)
    good = _frame({"kind": "active", "flow": {}})
    with producer(address) as stream:
        for _ in range(60):
            garbage = bytearray(HELLO + good)
            for _ in range(noise.randrange(1, 6)):
                garbage[noise.randrange(len(garbage))] = noise.randrange(256)
            with address.connect(5) as bad, contextlib.suppress(OSError):
                bad.sendall(garbage[: noise.randrange(len(garbage))])
        with consumer(address) as reader:
            end(stream, 5)
            assert port(take(reader, 2)[1]) == 5
    with address.listen() as listener, consumer(address) as reader:
        for _ in range(60):
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                connection.sendall(HELLO + noise.randbytes(noise.randrange(60)))
        connection, _ = listener.accept()
        with connection:
            while not reader.messages.empty():
                reader.messages.get()
            connection.sendall(HELLO)
            until(lambda: reader.connected)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    directory = tmp_path_factory.mktemp("certificates")
    ours = make_authority(directory, "ours")
    return {
        "producer": make_certificate(directory, "producer", ours),
        "consumer": make_certificate(directory, "consumer", ours),
        "stranger": make_certificate(
            directory, "stranger", make_authority(directory, "theirs")
        ),
    }  # fmt: skip


def free_address():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return f"tcp:127.0.0.1:{probe.getsockname()[1]}"


@needs_openssl
def test_over_tcp_it_is_encrypted_and_both_ends_are_known(certificates):
    address = free_address()
    with producer(Endpoint(address, certificates["producer"])) as stream:
        end(stream, 1)
        with consumer(Endpoint(address, certificates["consumer"])) as reader:
            assert port(take(reader, 2)[1]) == 1
            for n in range(1, 2001):
                end(stream, n)
            assert [port(message) for message in take(reader, 2000)] == list(range(1, 2001))
        until(lambda: stream.consumers == 0)
        with consumer(Endpoint(address, certificates["stranger"])) as stranger:
            until(lambda: stream.refused["stream_connection"] > 0)
            until(lambda: stranger.refused["stream_connection"] > 0)
            assert stranger.messages.empty()
        with socket.create_connection(
            Endpoint(address, certificates["producer"]).host_and_port
        ) as plain:
            plain.sendall(HELLO)
            with contextlib.suppress(ConnectionResetError):
                assert b"hello" not in plain.recv(4096)


@needs_openssl
def test_a_consumer_does_not_trust_a_strange_producer(certificates):
    address = free_address()
    with (
        producer(Endpoint(address, certificates["stranger"])) as stream,
        consumer(Endpoint(address, certificates["consumer"])) as reader,
    ):
        end(stream, 1)
        until(lambda: reader.refused["stream_connection"] > 0)
        assert reader.messages.empty()
        assert stream.queued == 1


_GREEN = """
import eventlet
eventlet.monkey_patch()
import sys
import numpy as np
from chamaleonet.log.endpoint import Endpoint
from chamaleonet.log.stream import VerdictStream
from chamaleonet.flows.records import Change
from tests.log.build import NO_DATA, NO_PACKETS, event
from tests.log.certificates import Files
from tests.log.test_stream import number, NO_FLOWS
from pathlib import Path

address, *files = sys.argv[1:]
stream = VerdictStream(
    Endpoint(address, Files(*map(Path, files)) if files else None), lambda: NO_FLOWS
)
print("ready", flush=True)
ticks = 0
for n in range(1, 501):
    stream.send(event(number(n), Change.ENDED), NO_PACKETS, NO_DATA)
    eventlet.sleep(0)
while stream.consumers or stream.queued:
    ticks += 1
    eventlet.sleep(0.01)
stream.close()
assert not stream.dropped.total(), stream.dropped
print("ticks" if ticks else "never ran", flush=True)
"""


@needs_openssl
@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_the_producer_is_green_under_eventlet(kind, address, certificates):
    files = []
    if kind == "tcp":
        address = Endpoint(free_address(), certificates["consumer"])
        server = certificates["producer"]
        files = [server.certificate, server.key, server.ca]
    process = subprocess.Popen(
        [sys.executable, "-c", _GREEN, address.address, *map(str, files)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": "."},
    )
    with process:
        assert process.stdout.readline() == "ready\n"
        with consumer(address) as reader:
            got = [port(message) for message in take(reader, 501)[1:]]
        assert process.stdout.readline() == "ticks\n"
    assert got == list(range(1, 501))
    assert process.returncode == 0
