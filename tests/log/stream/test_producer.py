"""The verdict stream over real sockets: producer and consumers together."""

import contextlib
import os
import random
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from chamaleonet.flows.records import Change, Role
from chamaleonet.flows.transitions import State
from chamaleonet.log.stream import channel
from chamaleonet.log.stream import producer as stream_module
from chamaleonet.log.stream.endpoint import Endpoint
from chamaleonet.log.stream.frames import MAX_FRAME, pack_frame
from chamaleonet.log.stream.messages import ack, consumer_hello
from chamaleonet.log.stream.position import Position
from chamaleonet.log.stream.producer import VerdictStream
from chamaleonet.log.stream.spool import Spool
from tests.certificates import make_authority, make_certificate, needs_openssl
from tests.log.build import NO_DATA, NO_EVENTS, NO_PACKETS, captured, event
from tests.log.stream.streams import (
    NO_FLOWS,
    Peer,
    closed_address,
    consumer,
    end,
    frame,
    greet,
    greeting,
    number,
    place,
    port,
    producer,
    records,
    take,
    take_records,
    until,
)

HELLO = greeting()


@pytest.fixture
def address(tmp_path):
    return Endpoint(f"unix:{tmp_path}/verdicts")


# What is told.


def test_verdicts_first_packets_and_ends_arrive_in_order(address):
    judged = [number(1, judged=100), number(2, judged=100)]
    packets, data = captured(judged[1], b"headers", role=Role.FIRST, row=2)
    other, _ = captured(judged[0], b"later", role=Role.LATER, row=1, offset=7)
    events = np.concatenate(
        [event(judged[0], row=1), event(judged[1], row=2), event(judged[0], Change.ENDED)]
    )
    with producer(address) as stream, consumer(address) as reader:
        (hello, _) = greet(reader)
        stream.send(
            events,
            np.concatenate([other, packets]),
            np.frombuffer(bytearray(b"headerslater"), np.uint8),
        )
        one, two, ended = take(reader, 3)
    assert hello.run == stream.run
    assert [each.kind for each in (one, two, ended)] == ["verdict", "verdict", "flow"]
    assert [each.position for each in (one, two, ended)] == [(stream.run, n) for n in (1, 2, 3)]
    assert one.flow.tobytes()[:40] == judged[0].tobytes()[:40]
    assert len(one.packets) == 0
    assert two.flow["judged"] == 100
    assert two.packets["role"].tolist() == [Role.FIRST]
    assert two.data.tobytes() == data.tobytes() == b"headers"
    assert (port(one), port(two), port(ended)) == (1, 2, 1)


def test_a_first_packet_without_its_event_is_sent_with_its_flow(address):
    with producer(address) as stream, consumer(address) as reader:
        greet(reader)
        stream.send(NO_EVENTS, *captured(number(3), b"headers"))
        (message,) = take(reader, 1)
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
    ended = (
        State.RECOVERED, State.REFUSED, State.ICMP_ERROR, State.UNANSWERED, State.UNSOLICITED,
    )  # fmt: skip
    with producer(address) as stream, consumer(address) as reader:
        stream.send(np.concatenate(told), NO_PACKETS, NO_DATA)
        end(stream, 99)
        assert records(reader, 9) == [3, 4, 5, *(10 + state for state in ended), 99]


def test_what_waited_comes_first_then_what_is_erroneous_now(address):
    active = np.concatenate([number(50), number(51)])
    with producer(address, lambda: active) as stream:
        end(stream, 1, 2, 3)
        assert stream.queued == 3
        with consumer(address) as reader:
            told = greet(reader)
            end(stream, 4)
            assert records(reader, 1) == [4]
    kinds = [message.kind for message in told]
    assert kinds == ["hello", *["flow"] * 3, *["active"] * 2, "current"]
    assert [port(message) for message in told[1:-1]] == [1, 2, 3, 50, 51]


@pytest.mark.parametrize("acknowledges", [True, False])
def test_what_happens_meanwhile_comes_after_what_is_erroneous_now(address, acknowledges):
    senders = []

    def snapshot():
        senders.append(threading.Thread(target=end, args=(stream, 7)))
        senders[0].start()
        senders[0].join(0.05)
        assert senders[0].is_alive(), "it has to wait"
        return number(50)

    with producer(address, snapshot) as stream:
        with consumer(address, acknowledges=acknowledges) as reader:
            told = greet(reader)
            assert records(reader, 1) == [7]
        senders[0].join()
    assert [message.kind for message in told] == ["hello", "active", "current"]


# The consumer that acknowledges.


def test_what_is_acknowledged_is_forgotten_and_the_rest_told_again(address):
    with producer(address) as stream:
        with consumer(address) as reader:
            end(stream, *range(1, 101))
            assert records(reader, 100) == list(range(1, 101))
            assert stream.queued == 100
            reader.acknowledge(Position(stream.run, 60))
            until(lambda: stream.queued == 40)
        with consumer(address) as reader:
            assert records(reader, 40) == list(range(61, 101))
            reader.acknowledge(Position(stream.run, 100))
            until(lambda: stream.queued == 0)
        with consumer(address) as reader:
            assert [message.kind for message in greet(reader)] == ["hello", "current"]
        assert (stream.sent, stream.acknowledged) == (140, 100)


def test_the_position_of_the_greeting_counts_as_acknowledged(address):
    with producer(address) as stream:
        with consumer(address) as reader:
            end(stream, *range(1, 11))
            records(reader, 10)
        with consumer(address, position=Position(stream.run, 4)) as reader:
            assert records(reader, 6) == [5, 6, 7, 8, 9, 10]
            assert stream.acknowledged == 4
    with producer(address) as stream:
        end(stream, 1, 2)
        with consumer(address, position=Position(stream.run - 1, 999)) as reader:
            assert records(reader, 2) == [1, 2]  # of the run before


def test_a_position_of_a_later_run_says_nothing(address):
    with producer(address) as stream:
        end(stream, 1, 2)
        with consumer(address, position=Position(stream.run + 10**9, 1)) as reader:
            assert records(reader, 2) == [1, 2]
            reader.acknowledge(Position(stream.run, 2))
            until(lambda: stream.queued == 0)
        assert not stream.refused.total()


def test_the_last_acknowledgement_gets_out(address):
    with producer(address) as stream:
        for n in range(1, 30):
            with consumer(address) as reader:
                end(stream, n)
                assert records(reader, 1) == [n]
                reader.acknowledge(Position(stream.run, n))
            until(lambda: stream.queued == 0)


def test_either_side_may_restart(address):
    with consumer(address) as reader:  # nobody listens yet
        with producer(address) as stream:
            first, _ = greet(reader)
            end(stream, 1)
            (one,) = take(reader, 1)
            reader.acknowledge(one.position)
            until(lambda: stream.queued == 0)
        with producer(address) as stream:
            again, _ = greet(reader)
            end(stream, 2)
            assert records(reader, 1) == [2]
            reader.close()
            until(lambda: stream.consumers == 0)
            end(stream, 3)
            with consumer(address) as another:
                assert records(another, 2) == [2, 3]
    assert (first.kind, again.kind) == ("hello", "hello")
    assert first.run < again.run


def test_a_consumer_that_is_killed_loses_nothing(address):
    with producer(address) as stream:
        with Peer(address, HELLO) as deaf:
            deaf.hear()
            end(stream, *range(1, 10_001))  # more than the system takes
            until(lambda: stream.sent > 100)
        until(lambda: stream.consumers == 0)
        with consumer(address) as reader:
            assert records(reader, 10_000) == list(range(1, 10_001))
        assert not stream.dropped.total()


def test_without_a_spool_what_finds_no_room_is_counted(address):
    with producer(address, capacity=5) as stream:
        end(stream, *range(1, 9))
        assert stream.queued == 5
        assert stream.dropped == {"stream_queue_full": 3}
        with consumer(address) as reader:
            assert records(reader, 5) == [1, 2, 3, 4, 5]
            reader.acknowledge(Position(stream.run, 5))
            until(lambda: stream.queued == 0)
            end(stream, 9)
            (message,) = [each for each in take(reader, 2) if each.position]
            assert message.position == (stream.run, 9), "the gap tells what is missing"


def test_with_a_spool_nothing_is_dropped(address, tmp_path):
    spool = Spool(tmp_path / "spool", 1 << 20)
    with producer(address, capacity=50, spool=spool) as stream:
        for n in range(0, 1000, 10):
            end(stream, *range(n + 1, n + 11))
        assert (stream.queued, stream.spooled, stream.run) == (50, 950, spool.run)
        assert stream.spool_bytes == spool.bytes > 950 * 100
        with consumer(address) as reader:
            for n in range(1, 1001):
                assert records(reader, 1) == [n]
                if n % 25 == 0:
                    reader.acknowledge(Position(stream.run, n))
            assert take(reader, 1)[0].kind == "current"
            until(lambda: stream.acknowledged == 1000)
        assert (stream.queued, stream.spooled, stream.spool_bytes) == (0, 0, 0)
        assert not stream.dropped.total()


def test_the_spool_is_told_before_what_is_erroneous_now(address, tmp_path):
    spool = Spool(tmp_path / "spool", 1 << 20)
    with producer(address, lambda: number(99), capacity=10, spool=spool) as stream:
        end(stream, *range(1, 41))
        with Peer(address, HELLO) as peer:
            heard = peer.hear(11)
            assert [message["kind"] for message in heard] == ["hello", *["flow"] * 10]
            for n in (10, 20, 30):
                assert peer.hears_nothing(), "the window is full"
                peer.acknowledge(Position(stream.run, n))
                heard = peer.hear(10)
                assert [each["seq"] for each in heard[:10]] == list(range(n + 1, n + 11))
            heard = heard[10:] or peer.hear()
            assert heard[0]["kind"] == "active"


def test_one_run_goes_on_where_another_stopped(address, tmp_path):
    with consumer(address) as reader:
        with producer(address, spool=Spool(tmp_path / "spool", 1 << 20)) as stream:
            end(stream, *range(1, 11))
            assert records(reader, 10) == list(range(1, 11))
            reader.acknowledge(Position(stream.run, 5))
            until(lambda: stream.queued == 5)
            first = stream.run
        with producer(address, spool=Spool(tmp_path / "spool", 1 << 20)) as stream:
            assert not stream.dropped.total()
            end(stream, 11)
            assert records(reader, 1) == [11], "6 to 10 were told already"
            assert stream.run > first
    with producer(address, spool=Spool(tmp_path / "spool", 1 << 20)) as stream:
        with consumer(address) as reader:
            assert records(reader, 6) == [6, 7, 8, 9, 10, 11]
            reader.acknowledge(Position(stream.run - 1, 10**6))
            until(lambda: stream.acknowledged == 6)
        assert stream.spool_bytes == 0


def test_there_is_one_consumer_that_acknowledges(address, monkeypatch):
    monkeypatch.setattr(stream_module, "_DEATH_SECONDS", 0.1)
    with producer(address) as stream, consumer(address) as reader:
        greet(reader)
        with Peer(address, HELLO) as second:
            assert second.hear() == []
        until(lambda: stream.refused == {"stream_busy": 1})
        end(stream, 1)
        assert records(reader, 1) == [1]


def test_a_successor_waits_until_the_death_is_noticed(address):
    with producer(address) as stream:
        for _ in range(50):
            with Peer(address, HELLO) as peer:
                assert peer.hear()[0]["kind"] == "hello"
        assert not stream.refused.total()


@pytest.mark.parametrize(
    "said",
    [
        pack_frame(ack(Position(0, 1))) + b"\0\0",
        frame({"kind": "ack", "run": 1}),
        frame({"kind": "ack", "run": -1, "seq": 1}),
        frame({"kind": "current"}),
        HELLO,
        pack_frame(ack(Position(2**64 - 1, 1))),
        "beyond",
    ],
)
def test_a_consumer_that_says_what_it_may_not_is_refused(address, said):
    with producer(address) as stream:
        end(stream, 1, 2, 3)
        with Peer(address, HELLO) as bad:
            bad.hear(5)
            if said == "beyond":
                said = pack_frame(ack(Position(stream.run, 4)))
            bad.say(said)
            bad.socket.shutdown(socket.SHUT_WR)
            assert bad.is_left()
        cause = "stream_truncated" if said.endswith(b"\0\0") else "stream_malformed"
        until(lambda: stream.refused == {cause: 1})
        with consumer(address) as reader:
            assert records(reader, 3) == [1, 2, 3]


def test_a_greeting_with_a_position_that_was_not_sent_is_refused(address):
    with producer(address) as stream:
        end(stream, 1, 2, 3)
        with Peer(address, greeting(position=Position(stream.run, 1))) as bad:
            assert bad.is_left()
        assert stream.refused == {"stream_malformed": 1}
        assert stream.queued == 3


# Followers.


def test_a_follower_gets_what_happens_from_now_on(address):
    with producer(address, lambda: number(50)) as stream:
        end(stream, 1)
        with consumer(address, acknowledges=False) as one:
            assert [message.kind for message in greet(one)] == ["hello", "active", "current"]
            with consumer(address, acknowledges=False) as two:
                greet(two)
                end(stream, 2, 3)
                assert records(one, 2) == records(two, 2) == [2, 3]
            assert stream.queued == 3, "nobody acknowledges"


def test_a_follower_has_no_part_in_what_is_acknowledged(address):
    with producer(address) as stream, consumer(address, acknowledges=False) as follower:
        greet(follower)
        with Peer(address, greeting(acknowledges=False)) as bad:
            assert [message["kind"] for message in bad.hear(2)] == ["hello", "current"]
            end(stream, 1)
            assert [message["kind"] for message in bad.hear()] == ["flow"]
            bad.acknowledge(Position(stream.run, 1))
            assert bad.is_left()
        assert stream.refused == {"stream_malformed": 1}
        (message,) = take(follower, 1)
        follower.acknowledge(message.position)  # is not sent
        end(stream, 2)
        assert records(follower, 1) == [2]
        assert stream.queued == 2


def test_a_slow_follower_loses_the_oldest_and_disturbs_nobody(address):
    with producer(address, capacity=20_000) as stream, consumer(address) as reader:
        with Peer(address, greeting(acknowledges=False)) as slow:
            assert len(slow.hear(2)) == 2
            sent = 0
            while not stream.dropped and sent < 60_000:
                end(stream, *range(sent + 1, sent + 501))
                sent += 500
                assert records(reader, 500) == list(range(sent - 499, sent + 1))
                reader.acknowledge(Position(stream.run, sent))
                until(lambda: not stream.queued)
            assert set(stream.dropped) == {"stream_follower_slow"}
            heard = []
            while not heard or heard[-1] < sent:
                heard += [message["seq"] for message in slow.hear()]
        assert heard == sorted(set(heard))
        assert len(heard) + stream.dropped["stream_follower_slow"] == sent


def test_followers_leave_room_for_the_one_that_acknowledges(address):
    with producer(address) as stream:
        peers = [Peer(address, greeting(acknowledges=False)) for _ in range(15)]
        assert all(peer.hear() for peer in peers)
        with Peer(address, greeting(acknowledges=False)) as late:
            assert late.hear() == []
        assert stream.refused == {"stream_busy": 1}
        with consumer(address) as reader:
            greet(reader)
            assert stream.consumers == 16
        for peer in peers:
            peer.socket.close()


# The end.


def test_what_nobody_took_is_counted_when_the_stream_closes(address):
    stream = VerdictStream(address, lambda: NO_FLOWS)
    end(stream, 1, 2)
    stream.close()
    assert stream.dropped == {"stream_undelivered": 2}
    assert not address.path.exists()


@pytest.mark.parametrize("acknowledges", [True, False])
def test_closing_lets_consumers_take_what_waits(address, acknowledges):
    stream = VerdictStream(address, lambda: NO_FLOWS)
    with consumer(address, acknowledges=acknowledges) as reader:
        greet(reader)
        end(stream, *range(1, 2001))
        closing = threading.Thread(target=stream.close, args=(20,))
        closing.start()
        assert records(reader, 2000) == list(range(1, 2001))
        reader.acknowledge(Position(stream.run, 2000))
        closing.join()
    assert stream.dropped.total() == (0 if acknowledges else 2000)


def test_closing_does_not_wait_for_ever(address, tmp_path):
    spool = Spool(tmp_path / "spool", 1 << 20)
    stream = VerdictStream(address, lambda: NO_FLOWS, spool=spool)
    with Peer(address, HELLO) as peer:
        end(stream, 1, 2, 3)
        assert len(peer.hear(5)) >= 4
        stream.close(timeout=0.05)
        peer.acknowledge(Position(stream.run, 3))  # too late
        assert peer.is_left()
    assert not stream.dropped.total()
    with producer(address, spool=Spool(tmp_path / "spool", 1 << 20)) as stream:
        assert stream.spooled == 3


# Who does not keep to the rules.


GREETING = consumer_hello("tests", acknowledges=True, position=None)
BAD_HELLOS = {
    "stream_oversized": struct.pack(">I", MAX_FRAME + 1),
    "stream_malformed": struct.pack(">I", 3) + b"\xc1\xc1\xc1",
    "stream_version": frame({**GREETING, "version": 3}),
    "stream_truncated": HELLO[:10],
    "stream_connection": b"",
}


@pytest.mark.parametrize("cause", BAD_HELLOS)
def test_a_bad_consumer_is_refused_and_counted(address, cause):
    with producer(address) as stream:
        with Peer(address, BAD_HELLOS[cause]) as bad:
            bad.socket.shutdown(socket.SHUT_WR)
            heard = bad.hear()
            assert bad.is_left()
        until(lambda: stream.refused == {cause: 1})
        kinds = [message["kind"] for message in heard]
        assert kinds == (["hello"] if cause == "stream_version" else [])
        with consumer(address) as reader:
            end(stream, 1)
            assert records(reader, 1) == [1]


def test_a_consumer_of_version_1_is_told_so(address):
    old = {"kind": "hello", "protocol": "chamaleonet-verdicts", "version": 1, "name": "old"}
    with producer(address) as stream, Peer(address, frame({**old, "instance": "1"})) as peer:
        assert [message["version"] for message in peer.hear()] == [2]
        assert peer.is_left()
        assert stream.refused == {"stream_version": 1}


def test_who_speaks_before_the_answer_is_refused(address):
    with producer(address) as stream:
        with Peer(address, HELLO + pack_frame(ack(Position(1, 1)))) as bad:
            assert bad.is_left()
        assert stream.refused == {"stream_malformed": 1}


def test_who_greets_too_slowly_is_left(address, monkeypatch):
    monkeypatch.setattr(stream_module, "_HANDSHAKE_SECONDS", 0.2)
    with producer(address) as stream:
        peers = [Peer(address) for _ in range(32)]
        with Peer(address, HELLO) as late:
            assert late.is_left()  # no room
        stop = threading.Event()

        def drip():
            at = 0
            while not stop.wait(0.02):
                peers[0].say(HELLO[at : at + 1])
                at += 1

        dripping = threading.Thread(target=drip)
        dripping.start()
        assert all(peer.is_left() for peer in peers)
        stop.set()
        dripping.join()
        assert stream.refused == {"stream_connection": 32, "stream_busy": 1}
        with consumer(address) as reader:
            greet(reader)
        for peer in peers:
            peer.socket.close()


def test_who_takes_nothing_is_left(address, monkeypatch):
    monkeypatch.setattr(channel, "_STALL_SECONDS", 0.2)
    with producer(address) as stream:
        with Peer(address, HELLO) as deaf:
            deaf.hear()
            end(stream, *range(1, 10_001))  # more than the system takes
            until(lambda: stream.consumers == 0)
        assert stream.queued == 10_000


def test_a_flood_of_acknowledgements_disturbs_nobody(address):
    with producer(address) as stream, consumer(address, acknowledges=False) as follower:
        greet(follower)
        with Peer(address, HELLO) as peer:
            peer.hear(2)
            end(stream, 1)
            peer.hear()
            stop = threading.Event()

            def flood():
                while not stop.is_set():
                    peer.say(1000 * pack_frame(ack(Position(stream.run, 1))))

            flooding = threading.Thread(target=flood)
            flooding.start()
            end(stream, *range(2, 1002))
            assert records(follower, 1001) == list(range(1, 1002))
            heard = []
            while len(heard) < 1000:
                heard += peer.hear()
            stop.set()
            flooding.join()
            assert stream.queued == 1000
        assert not stream.refused.total()


@pytest.mark.parametrize("seed", range(5))
def test_no_conversation_stops_the_producer(address, seed):
    noise = random.Random(seed)
    with producer(address, capacity=50) as stream:
        end(stream, *range(1, 21))
        good = [
            HELLO,
            greeting(acknowledges=False),
            greeting(position=Position(stream.run - 1, 7)),
            *(pack_frame(ack(Position(stream.run, n))) for n in range(3)),
        ]
        for _ in range(40):
            said = bytearray(b"".join(noise.choices(good, k=noise.randrange(1, 5))))
            for _ in range(noise.randrange(4)):
                said[noise.randrange(len(said))] = noise.randrange(256)
            if noise.randrange(3) == 0:
                said = said[: noise.randrange(len(said))]
            if noise.randrange(8) == 0:
                said = noise.randbytes(noise.randrange(40_000))
            with Peer(address) as peer:
                if said:
                    cut = noise.randrange(len(said))
                    peer.say(said[:cut])
                    if noise.randrange(2):
                        peer.hears_nothing()
                    peer.say(said[cut:])
                if noise.randrange(2):
                    peer.socket.shutdown(socket.SHUT_WR)
                    assert peer.is_left()
        with consumer(address) as reader:
            end(stream, 100)
            assert records(reader, stream.queued)[-1] == 100
        assert stream.consumers <= 1


# Either end dies, at any moment.


@pytest.mark.parametrize("seed", range(3))
def test_each_record_arrives_once_whoever_dies(address, tmp_path, seed):
    """A logger that keeps, acknowledges and is killed at random; producers come and go."""
    noise = random.Random(seed)
    kept = []  # (run, seq) and number, as in the logger's files
    made = 0

    def new():
        spool = Spool(tmp_path / "spool", 1 << 22)
        return VerdictStream(address, lambda: NO_FLOWS, capacity=100, spool=spool)

    def live(stream, most):
        """One life of a logger."""
        position = kept[-1] if kept else None
        received = []
        answered = False
        with Peer(address, greeting(position=position)) as peer:
            for _ in range(noise.randrange(most)):
                heard = [] if peer.hears_nothing(0.01) else peer.hear()
                answered |= bool(heard)
                for message in heard:
                    where = place(message)
                    if where is not None and where > (received or kept or [(0, 0)])[-1]:
                        received.append(where)
                count = noise.randrange(len(received) + 1)
                kept.extend(received[:count])
                del received[:count]
                if kept and answered and noise.randrange(2):
                    peer.acknowledge(kept[-1])

    stream = new()
    for _ in range(60):
        count = noise.randrange(1, 80)
        end(stream, *range(made % 60_000 + 1, made % 60_000 + count + 1))
        made += count
        live(stream, 8)
        if noise.randrange(6) == 0:
            stream.close(timeout=0)
            assert not stream.dropped.total()
            assert not stream.refused["stream_malformed"]
            stream = new()
    with consumer(address, position=kept[-1] if kept else None) as reader:
        message = None
        while message is None or message.kind != "current":
            (message,) = take(reader, 1)
            if message.position is not None:
                kept.append(message.position)
                reader.acknowledge(message.position)
    stream.close()
    assert kept == sorted(set(kept)), "each at most once, in order"
    assert len(kept) == made, "and each"


_KILLED = """
import sys
from pathlib import Path
from chamaleonet.log.stream.endpoint import Endpoint
from chamaleonet.log.stream.spool import Spool
from chamaleonet.log.stream.producer import VerdictStream
from tests.log.stream.streams import NO_FLOWS, end

endpoint, spool = Endpoint(sys.argv[1]), Spool(Path(sys.argv[2]), 1 << 22)
stream = VerdictStream(endpoint, lambda: NO_FLOWS, capacity=50, spool=spool)
for n in range(1, 2001):
    end(stream, n)
print(stream.run, flush=True)
sys.stdin.read()
"""


def test_a_producer_that_is_killed_loses_what_was_in_its_memory_alone(address, tmp_path):
    kept = []
    runs = []
    with consumer(address) as reader:
        for _ in range(3):
            process = subprocess.Popen(
                [sys.executable, "-c", _KILLED, address.address, tmp_path / "spool"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                cwd=Path(__file__).parents[3],
                env={**os.environ, "PYTHONPATH": "."},
            )
            with process:
                runs.append(int(process.stdout.readline()))
                more = len(kept) + 700
                while len(kept) < more:
                    kept.append(take_records(reader, 1)[0].position)
                    reader.acknowledge(kept[-1])
                process.kill()
    with producer(address, spool=Spool(tmp_path / "spool", 1 << 22)) as stream:
        with consumer(address, position=kept[-1]) as reader:
            kept += [message.position for message in greet(reader) if message.position]
        assert not stream.dropped.total()
    assert kept == sorted(set(kept)), "each at most once, in order"
    for run in runs:
        assert 1950 <= len([position for position in kept if position.run == run]) <= 2000


# TLS.


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


@needs_openssl
def test_over_tcp_it_is_encrypted_and_both_ends_are_known(certificates):
    address = closed_address()
    with producer(Endpoint(address, certificates["producer"])) as stream:
        end(stream, 1)
        ours = Endpoint(address, certificates["consumer"])
        with consumer(ours) as reader, consumer(ours, acknowledges=False) as follower:
            assert records(reader, 1) == [1]
            greet(follower)
            end(stream, *range(2, 5001))
            assert records(reader, 4999) == records(follower, 4999) == list(range(2, 5001))
            reader.acknowledge(Position(stream.run, 4000))
            until(lambda: stream.queued == 1000)
        until(lambda: stream.consumers == 0)
        with consumer(ours, position=Position(stream.run, 4500)) as reader:
            assert records(reader, 500) == list(range(4501, 5001))
        assert not stream.refused.total()
        with consumer(Endpoint(address, certificates["stranger"])) as stranger:
            until(lambda: stream.refused["stream_connection"] > 0)
            until(lambda: stranger.refused["stream_connection"] > 0)
            assert stranger.messages.empty()
        with socket.create_connection(ours.host_and_port) as plain:
            plain.sendall(HELLO)
            try:
                heard = plain.recv(4096)
            except ConnectionResetError:
                heard = b""
            assert b"hello" not in heard


@needs_openssl
def test_who_does_not_speak_tls_in_time_is_left(certificates, monkeypatch):
    monkeypatch.setattr(stream_module, "_HANDSHAKE_SECONDS", 0.2)
    endpoint = Endpoint(closed_address(), certificates["producer"])
    with producer(endpoint) as stream:
        with Peer(endpoint, b"\x16\x03\x01\x02") as slow:  # a ClientHello begins so
            assert slow.is_left()
        until(lambda: stream.refused == {"stream_connection": 1})


@needs_openssl
def test_a_consumer_does_not_trust_a_strange_producer(certificates):
    address = closed_address()
    with (
        producer(Endpoint(address, certificates["stranger"])) as stream,
        consumer(Endpoint(address, certificates["consumer"])) as reader,
    ):
        end(stream, 1)
        until(lambda: reader.refused["stream_connection"] > 0)
        assert reader.messages.empty()
        assert stream.queued == 1


# As the controller runs it: green threads.

_GREEN = """
import eventlet
eventlet.monkey_patch()
import sys
import numpy as np
from pathlib import Path
from chamaleonet.log.stream.endpoint import Endpoint
from chamaleonet.log.stream.spool import Spool
from chamaleonet.log.stream.producer import VerdictStream
from tests.log.build import NO_DATA, NO_PACKETS, event
from tests.certificates import Files
from tests.log.stream.streams import NO_FLOWS, number

address, spool, *files = sys.argv[1:]
known = 0
stream = VerdictStream(
    Endpoint(address, Files(*map(Path, files)) if files else None),
    lambda: np.concatenate([NO_FLOWS, *map(number, range(1, known + 1))]),
    capacity=300,
    spool=Spool(Path(spool), 1 << 24),
)
print("ready", flush=True)
ticks = 0


def tick():
    global ticks
    while True:
        ticks += 1
        eventlet.sleep(0.01)


eventlet.spawn(tick)
while known < 800:
    # The flow engine judges and tells with nothing in between, as green threads do.
    for _ in range(5):
        known += 1
        stream.send(event(number(known)), NO_PACKETS, NO_DATA)
    eventlet.sleep(0.001)
while stream.consumers or stream.queued:
    eventlet.sleep(0.01)
stream.close()
assert not stream.dropped.total(), stream.dropped
assert not stream.refused.total(), stream.refused
print("ticks" if ticks > 10 else "hardly ran", flush=True)
"""


@needs_openssl
@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_the_producer_is_green_under_eventlet(kind, address, tmp_path, certificates):
    files = []
    if kind == "tcp":
        address = Endpoint(closed_address(), certificates["consumer"])
        server = certificates["producer"]
        files = [server.certificate, server.key, server.ca]
    process = subprocess.Popen(
        [sys.executable, "-c", _GREEN, address.address, tmp_path / "spool", *map(str, files)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
        env={**os.environ, "PYTHONPATH": "."},
    )
    with process, contextlib.ExitStack() as stack:
        stack.callback(process.kill)
        assert process.stdout.readline() == "ready\n"
        got = []
        position = None
        while not got or got[-1] < 800:  # loggers come and go
            with consumer(address, position=position) as reader:
                for _ in range(5):
                    with consumer(address, acknowledges=False) as follower:
                        active = [port(each) for each in greet(follower)[1:-1]]
                        assert active == list(range(1, len(active) + 1))
                        more = min(50, 800 - len(active))
                        after = records(follower, more)
                        assert after == list(range(len(active) + 1, len(active) + 1 + more))
                    told = take_records(reader, min(80, 800 - len(got)))
                    got += map(port, told)
                    position = told[-1].position
                    reader.acknowledge(position)
                    if got[-1] == 800:
                        break
        assert process.stdout.readline() == "ticks\n"
        assert process.wait() == 0
    assert got == list(range(1, 801))
