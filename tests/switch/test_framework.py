import struct
import subprocess
import sys

import pytest

from chamaleonet.switch import dump, encode, framework
from chamaleonet.switch.rules import COOKIE_PREFIX, Rule
from tests.fake_switch import (
    BARRIER_REPLY,
    ERROR,
    FlowTable,
    flow_removed,
    message,
    multipart,
    packet_in,
)

OURS, THEIRS = COOKIE_PREFIX | 1, 7
OUR_XID, THEIR_XID = 5, 6


class Datapath:
    ofproto = framework.ofproto
    ofproto_parser = framework._parser
    id = 0xA1
    xid = 0


@pytest.fixture
def got(monkeypatch):
    """What our two callbacks were called with."""
    monkeypatch.setattr(framework._parser, "_MSG_PARSERS", dict(framework._parser._MSG_PARSERS))
    got = []
    framework.receive_own(
        lambda cookie: cookie == OURS,
        lambda _, message: got.append((message.total_length, bytes(message.data))),
        lambda _, message: got.append((message.cookie, message.reason)),
        lambda _, xid: xid == OUR_XID,
        lambda _, message: got.append(message),
    )
    return got


def parsed(message):
    version, kind, length, xid = struct.unpack_from("!BBHI", message)
    return framework._parser.msg_parser(
        Datapath, version, kind, length, xid, bytearray(message) + b"the next message"
    )


def test_our_packet_ins_come_as_bytes_and_raise_no_event(got):
    assert parsed(packet_in(OURS, b"frame", total_length=1500)) is None
    assert got == [(1500, b"frame")]


def test_packet_ins_of_other_apps_are_parsed_as_ever(got):
    message = parsed(packet_in(THEIRS, b"frame", in_port=5))
    assert (message.data, message.match["in_port"], message.cookie) == (b"frame", 5, THEIRS)
    assert got == []


def test_removals_of_our_rules_come_with_their_cookie(got):
    assert parsed(flow_removed(OURS, reason=0)) is None
    assert got == [(OURS, 0)]
    assert parsed(flow_removed(THEIRS)).cookie == THEIRS


def test_the_answer_to_our_question_for_flow_entries_comes_as_it_is(got):
    table = FlowTable().add(encode.add(Rule(1, 9, (("in_port", 3),)), 0, 1))
    (ours,) = table.parts(dump.request(0, 0, OUR_XID)[8:], OUR_XID)
    (theirs,) = table.parts(dump.request(0, 0, THEIR_XID)[8:], THEIR_XID)
    assert parsed(ours) is None
    assert got == [(OUR_XID, ours)]
    assert [entry.priority for entry in parsed(theirs).body] == [9]
    assert len(got) == 1


def test_a_packet_in_whose_match_is_longer_than_itself_has_no_data(got):
    message = bytearray(packet_in(OURS, b"frame"))
    struct.pack_into("!H", message, 26, 0xFFF0)
    parsed(bytes(message))
    assert got == [(5, b"")]


@pytest.fixture
def malformed(monkeypatch):
    """What was told to be no message."""
    monkeypatch.setattr(framework._parser, "_MSG_PARSERS", dict(framework._parser._MSG_PARSERS))
    malformed = []
    framework.parse_safely(lambda _, error: malformed.append(type(error).__name__))
    return malformed


def test_what_cannot_be_parsed_is_told(malformed):
    assert parsed(multipart(2, bytes(24))).body.flow_count == 0
    assert malformed == []
    assert parsed(multipart(77)) is None
    assert len(malformed) == 1


def test_parsing_that_does_not_end_is_interrupted(malformed):
    assert parsed(multipart(1, bytes(56))) is None  # an entry of no length
    assert malformed == ["_EndlessError"]
    assert parsed(message(BARRIER_REPLY)).xid == 0


def test_errors_are_told_by_their_names():
    ours = parsed(message(ERROR, struct.pack("!HH", 5, 1)))
    assert framework.error_text(ours) == "OFPET_FLOW_MOD_FAILED(5), OFPFMFC_TABLE_FULL(1)"
    others = parsed(message(ERROR, struct.pack("!HHI", 0xFFFF, 7, 0x2320)))
    assert framework.error_text(others) == "OFPET_EXPERIMENTER(65535) 0x2320, 7"


def test_transaction_ids_are_the_connections_own():
    datapath = Datapath()
    datapath.xid = framework.ofproto.MAX_XID
    assert [framework.next_xid(datapath), framework.next_xid(datapath)] == [0, 1]


def test_another_hub_is_refused():
    code = (
        "import os; os.environ['OSKEN_HUB_TYPE'] = 'native'\n"
        "from chamaleonet.switch import framework"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "UserError: ChamaleoNet needs the eventlet hub" in done.stderr
