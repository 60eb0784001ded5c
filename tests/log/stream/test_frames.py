import struct
from contextlib import nullcontext

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chamaleonet.flows.records import SLAB_BYTES
from chamaleonet.log.stream.frames import (
    MAX_FRAME,
    FrameReader,
    OversizedError,
    TruncatedError,
    pack_frame,
)
from chamaleonet.log.stream.messages import FROM_CONTROLLER, MessageError, controller_hello
from chamaleonet.log.stream.packing import pack_flow, pack_packet
from tests.log.build import captured, flow

HELLO = controller_hello("tests", 1)
BIGGEST = 2**64 - 1


def framed(body):
    return struct.pack(">I", len(body)) + body


@given(st.integers(0, 6), st.lists(st.integers(1, 50)))
def test_messages_survive_any_cutting(count, sizes):
    data = pack_frame(HELLO) * count
    reader, got, at = FrameReader(FROM_CONTROLLER), [], 0
    for size in [*sizes, len(data)]:
        got += reader.feed(data[at : at + size])
        at += size
    assert got == [HELLO] * count
    reader.end()


def test_the_end_of_the_stream_inside_a_frame_is_noticed():
    data = pack_frame(HELLO)
    for size in range(1, len(data)):
        reader = FrameReader(FROM_CONTROLLER)
        assert list(reader.feed(data[:size])) == []
        with pytest.raises(TruncatedError):
            reader.end()


def test_the_largest_verdict_fits_into_a_frame():
    owner = flow(
        "tcp", "fd00::1", "fd00::2", 65535, 65535, attempts=2**32 - 1, client_packets=2**32 - 1,
        server_packets=2**32 - 1, client_bytes=BIGGEST, server_bytes=BIGGEST,
        sender_hi=BIGGEST, sender_lo=BIGGEST, reply_delay=2**62,
    )  # fmt: skip
    packet = pack_packet(captured(owner, bytes(SLAB_BYTES))[0][0], captured(None, bytes(128))[1])
    flow_and_packets = {"flow": pack_flow(owner[0]), "packets": [packet] * 16}
    message = {"kind": "verdict", "run": BIGGEST, "seq": BIGGEST, **flow_and_packets}
    assert list(FrameReader(FROM_CONTROLLER).feed(pack_frame(message))) == [message]


def test_an_oversized_frame_is_refused_before_it_is_received():
    with pytest.raises(OversizedError):
        list(FrameReader(FROM_CONTROLLER).feed(struct.pack(">I", MAX_FRAME + 1)))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",  # never used
        b"\x81",  # cut short
        msgpack.packb(HELLO) + b"\0",  # too long
        b"\x91" * MAX_FRAME,  # deep
        msgpack.packb({"kind": msgpack.ExtType(5, b"x")}),
        msgpack.packb({"kind": b"hello"}),
        msgpack.packb({1: 2}),
        b"\x81\xa4kind\xa2\xff\xff",  # not UTF-8
        b"\xdf\xff\xff\xff\xff",  # a map of 4 G entries
        b"\xdd\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\x81\x90\x90",  # a key that cannot be one
    ],
)
def test_what_is_no_message_is_refused(body):
    with pytest.raises(MessageError):
        list(FrameReader(FROM_CONTROLLER).feed(framed(body)))


@given(st.binary(max_size=300) | st.binary(max_size=300).map(framed))
def test_random_bytes_are_refused_or_waited_for(data):
    reader = FrameReader(FROM_CONTROLLER)
    try:
        assert list(reader.feed(data)) == []
    except MessageError:
        pass
    else:
        with pytest.raises(TruncatedError) if data else nullcontext():
            reader.end()


@given(st.data())
def test_a_damaged_frame_is_a_message_or_refused(data):
    frame = bytearray(pack_frame(HELLO))
    for _ in range(data.draw(st.integers(1, 4))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    try:
        got = list(FrameReader(FROM_CONTROLLER).feed(bytes(frame)))
    except MessageError:
        return
    assert all(message["kind"] == "hello" for message in got)
