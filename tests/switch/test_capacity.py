import itertools
import struct

from chamaleonet.switch.capacity import TABLE, TABLE_FEATURES, Capacity
from tests.traffic import SECOND


def feature(table, entries, length=72):
    return struct.pack("!HB5x32sQQII", length, table, b"t", 0, 0, 3, entries) + bytes(length - 64)


def asked(message):
    """Return (OFPMP_ kind, xid) of a multipart request."""
    version, kind, length, xid, question, flags = struct.unpack_from("!BBHIHH", message)
    assert (version, kind, length, flags) == (4, 18, len(message), 0)
    return question, xid


def connected():
    capacity = Capacity((1, 2))
    question, xid = asked(capacity.connect(itertools.count(7).__next__))
    assert (question, xid) == (TABLE_FEATURES, 7)
    return capacity


def test_a_reply_in_parts_tells_what_our_tables_hold():
    capacity = connected()
    capacity.on_answer(7, bytes(16) + feature(0, 5) + feature(1, 20, 640))
    assert capacity.most == {1: 20}
    capacity.on_answer(7, bytes(16) + feature(2, 30) + feature(3, 40))
    assert capacity.most == {1: 20, 2: 30}


def test_a_malformed_reply_tells_what_it_tells():
    capacity = connected()
    capacity.on_answer(7, bytes(16) + feature(1, 20) + bytes(64) + feature(2, 30))
    capacity.on_answer(7, bytes(16) + feature(2, 30)[:40])
    capacity.on_answer(7, b"")
    assert capacity.most == {1: 20}


def test_the_rules_in_the_tables_are_asked_for_at_times():
    capacity = connected()
    assert asked(capacity.ask(100 * SECOND)) == (TABLE, 8)
    assert capacity.ask(109 * SECOND) == b""
    reply = b"".join(struct.pack("!B3xIQQ", table, 10 + table, 1, 1) for table in range(4))
    capacity.on_answer(8, bytes(16) + reply + b"rest")
    assert capacity.active == {1: 11, 2: 12}
    assert asked(capacity.ask(110 * SECOND)) == (TABLE, 9)


def test_only_its_own_questions_are_its():
    capacity = connected()
    assert capacity.asks(7)
    assert not capacity.asks(8)


def test_a_new_connection_knows_nothing_yet_and_none_asks_nothing():
    capacity = connected()
    capacity.on_answer(7, bytes(16) + feature(1, 20))
    capacity.disconnect()
    assert not capacity.asks(7)
    assert capacity.ask(100 * SECOND) == b""
    capacity.connect(itertools.count(50).__next__)
    assert capacity.most == {}
