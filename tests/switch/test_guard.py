import random
import struct

import pytest

from chamaleonet.metrics import OPENFLOW_ERRORS
from chamaleonet.switch.guard import Guard, Stage
from tests.fake_switch import (
    BARRIER_REPLY,
    ECHO_REPLY,
    ECHO_REQUEST,
    ERROR,
    FEATURES_REPLY,
    FLOW_MOD,
    HELLO,
    MULTIPART_REPLY,
    features,
    flow_removed,
    message,
    multipart,
    packet_in,
)

PORTS = multipart(13)
ECHO = message(ECHO_REQUEST, b"?")


def hello(version=4, *words):
    bitmap = struct.pack(f"!HH{len(words)}I", 1, 4 + 4 * len(words), *words) if words else b""
    bitmap += bytes(-len(bitmap) % 8)
    return struct.pack("!BBHI", version, HELLO, 8 + len(bitmap), 7) + bitmap


def guard(*said):
    """Return a guard that was told so much, and all that it passed on."""
    guard = Guard()
    return guard, [passed for each in said for passed in guard.receive(each)]


def refused(*said):
    return guard(*said)[0].refusal


def shaken(*said):
    return guard(hello(), features(0xA1), PORTS, *said)


def test_a_handshake_passes_and_leads_through_its_stages():
    stages = []
    new, passed = guard()
    for said in (hello(), features(0xA1), PORTS):
        stages.append(new.stage)
        passed += new.receive(said)
    assert stages == [Stage.HELLO, Stage.FEATURES, Stage.PORTS]
    assert (new.stage, new.datapath_id, new.refusal) == (Stage.DONE, 0xA1, None)
    assert passed == [hello(), features(0xA1), PORTS]


@pytest.mark.parametrize("size", [1, 7, 8, 9, 1000])
def test_messages_are_whole_however_their_bytes_come(size):
    said = [hello(), features(1), ECHO, PORTS, packet_in(1, b"frame"), flow_removed(2)]
    data = b"".join(said)
    new, passed = guard(*(data[at : at + size] for at in range(0, len(data), size)))
    assert passed == said
    assert not new.within_message
    new.receive(ECHO[:-1])
    assert new.within_message


@pytest.mark.parametrize("offered", [(4,), (5,), (6,), (6, 1 << 6 | 1 << 4), (1, 1 << 4)])
def test_a_hello_is_passed_on_as_one_of_the_agreed_version(offered):
    new, passed = guard(hello(*offered))
    assert (new.refusal, passed) == (None, [hello()])


@pytest.mark.parametrize("offered", [(1,), (3,), (6, 1 << 6 | 1 << 5), (4, 1 << 1)])
def test_a_hello_without_our_version_is_answered_by_the_error_for_that(offered):
    refusal = refused(hello(*offered))
    assert refusal.cause == "version"
    version, kind, length, _, error, code = struct.unpack_from("!BBHIHH", refusal.answer)
    assert (version, kind, length, error, code) == (4, ERROR, len(refusal.answer), 0, 0)


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ([ECHO], "order"),
        ([b"GET / HTTP/1.1\r\n\r\n"], "order"),
        ([b"\x16\x03\x01\x02\0\x01\0\x01"], "order"),  # TLS
        ([hello(), hello()], "order"),
        ([hello(), message(BARRIER_REPLY)], "order"),
        ([hello(), PORTS], "order"),
        ([hello(), features(1), features(2)], "order"),
        ([hello(), b"\x05" + ECHO[1:]], "version"),
        ([hello(), message(FLOW_MOD, bytes(48))], "type"),
        ([hello(), message(99)], "type"),
        ([struct.pack("!BBHI", 4, HELLO, 7, 0)], "length"),
        ([struct.pack("!BBHI", 4, HELLO, 0xFFFF, 0)], "length"),
        ([hello(), message(FEATURES_REPLY, bytes(16))], "length"),
        ([hello(), message(ERROR, b"\xff\xff\0\0")], "length"),
        ([hello(), features(1), message(MULTIPART_REPLY, b"\0\x02\0\0\0\0\0\0")], "length"),
        ([hello(), features(1, auxiliary=1)], "auxiliary"),
        ([struct.pack("!BBHIHH4x", 4, HELLO, 16, 0, 1, 0)], "length"),  # an element of no length
    ],
)
def test_what_a_switch_does_not_say_is_refused(said, cause):
    new, _ = guard(*said[:-1])
    assert new.refusal is None
    assert new.receive(said[-1]) == []
    assert new.refusal.cause == cause
    assert new.receive(ECHO) == []


def test_a_wrong_header_is_refused_before_its_message_has_come():
    assert refused(struct.pack("!BBHI", 4, 99, 0xFFFF, 0)).cause == "order"
    assert refused(hello(), struct.pack("!BBHI", 4, FLOW_MOD, 0xFFFF, 0)).cause == "type"


def test_what_came_before_it_still_passes():
    new, passed = shaken(ECHO + message(ECHO_REPLY) + message(99))
    assert passed[3:] == [ECHO, message(ECHO_REPLY)]
    assert new.refusal.cause == "type"


def test_packets_before_the_features_are_counted_and_not_passed():
    new, passed = guard(hello(), packet_in(1, b"x") + flow_removed(2), packet_in(1, b"y"))
    assert (passed, new.early_packets, new.refusal) == ([hello()], 2, None)
    new.receive(features(1))
    assert new.receive(packet_in(1, b"z")) == [packet_in(1, b"z")]
    assert new.early_packets == 2


def test_a_reply_in_parts_must_come_to_an_end():
    part = multipart(1, bytes(60_000), more=True, xid=5)
    new, passed = shaken(*[part] * 1000)
    assert (len(passed), new.refusal) == (1003, None)
    new.receive(multipart(1, xid=5))  # the last one: another reply may begin
    for _ in range(1000):
        new.receive(part)
    assert new.refusal is None
    for _ in range(200):
        new.receive(part)
    assert new.refusal.cause == "multipart"


def test_small_parts_are_no_way_around_that():
    new, _ = shaken(multipart(1, more=True) * 65_536)
    assert new.refusal is None
    new.receive(multipart(1, more=True))
    assert new.refusal.cause == "multipart"


def test_few_replies_in_parts_may_be_unfinished():
    new, _ = shaken(*(multipart(1, more=True, xid=xid) for xid in range(64)))
    assert new.refusal is None
    new.receive(multipart(1, more=True, xid=64))
    assert new.refusal.cause == "multipart"


def test_no_bytes_make_it_fail():
    chance = random.Random(5)
    seeds = [hello(), features(1), PORTS, ECHO, packet_in(1, b"frame"), multipart(2, bytes(24))]
    for _ in range(3000):
        data = bytearray(b"".join(seeds[: chance.randrange(4)] + chance.choices(seeds, k=4)))
        for _ in range(chance.randrange(4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        new, passed = guard(bytes(data[: chance.randrange(len(data) + 1)]))
        assert new.refusal is None or new.refusal.cause in OPENFLOW_ERRORS
        for each in passed:
            assert struct.unpack_from("!BxH", each) == (4, len(each))
