"""What a switch answers, compared with what it was sent."""

import struct

import pytest

from chamaleonet.switch import dump, encode
from chamaleonet.switch.rules import COOKIE_PREFIX, COOKIE_PREFIX_MASK, IPV4, Rule, rule_text
from tests.fake_switch import FlowTable
from tests.switch.test_encode import DYNAMIC, PARSER, PROTOCOL, RULES, Datapath


def answered(*messages):
    """Return what a switch answers after these flow-mods, as parsed."""
    table = FlowTable()
    for message in messages:
        table.add(message)
    question = dump.request(COOKIE_PREFIX, COOKIE_PREFIX_MASK, 6)
    rules = []
    for part in table.parts(question[8:], 6):
        found, more = dump.parse(part)
        rules += found
    assert not more
    return rules


def with_match(message, fields):
    """Return a flow-mod with other match fields."""
    (length,) = struct.unpack_from("!H", message, 50)
    old = length + 7 & ~7
    match = struct.pack("!HH", 1, 4 + len(fields)) + fields
    match += bytes(-len(match) % 8)
    rest = message[48 + old :]
    return (
        message[:2]
        + struct.pack("!H", 48 + len(match) + len(rest))
        + message[4:48]
        + (match + rest)
    )


def fields_of(message):
    (length,) = struct.unpack_from("!H", message, 50)
    fields, at = [], 52
    while at < 48 + length:
        size = 4 + message[at + 3]
        fields.append(message[at : at + size])
        at += size
    return fields


def test_the_question_equals_the_frameworks():
    message = PARSER.OFPFlowStatsRequest(
        Datapath, 0, PROTOCOL.OFPTT_ALL, PROTOCOL.OFPP_ANY, PROTOCOL.OFPG_ANY,
        COOKIE_PREFIX, COOKIE_PREFIX_MASK, PARSER.OFPMatch(),
    )  # fmt: skip
    message.set_xid(6)
    message.serialize()
    assert dump.request(COOKIE_PREFIX, COOKIE_PREFIX_MASK, 6) == bytes(message.buf)


def test_all_rules_are_told_apart_and_known_again():
    messages = {rule.place: encode.add(rule, 3, 1) for rule in RULES}.values()
    found = answered(*messages)
    assert [(each.place, each.does) for each in found] == [
        (sent.place, sent.does) for sent in map(dump.sent, messages)
    ]
    assert len({each.place for each in found}) == len(messages)


@pytest.mark.parametrize("rule", RULES, ids=rule_text)
def test_the_order_of_match_fields_is_the_switchs_own(rule):
    ours = encode.add(rule, 0, 1)
    theirs = with_match(ours, b"".join(reversed(fields_of(ours))))
    assert dump.sent(theirs)[:2] == dump.sent(ours)[:2]


def test_a_mask_of_ones_is_none_and_what_is_masked_out_does_not_matter():
    ours = encode.add(DYNAMIC[0], 0, 1)
    fields = fields_of(ours)
    at = next(i for i, field in enumerate(fields) if field[2] >> 1 == 11)  # ipv4_src
    head, value = fields[at][:4], fields[at][4:]
    masked = struct.pack("!HBB", 0x8000, 11 << 1 | 1, 8) + value + b"\xff" * 4
    assert head[2] == 11 << 1
    vlan = struct.pack("!HBBHH", 0x8000, 6 << 1 | 1, 4, 0x1005, 0)
    theirs = with_match(ours, b"".join([*fields[:at], masked, vlan, *fields[at + 1 :]]))
    assert dump.sent(theirs)[:2] == dump.sent(ours)[:2]


@pytest.mark.parametrize(
    "name", [struct.pack("!HB", 0x8000, 42 << 1), struct.pack("!HB", 0xFFFF, 42 << 1)]
)
def test_tcp_flags_are_the_same_by_all_their_names(name):
    rule = Rule(2, 90, (("eth_type", IPV4), ("ip_proto", 6), ("tcp_flags", 2)))
    ours = encode.add(rule, 0, 1)
    fields = fields_of(ours)
    flags = b"ONF\0" * name.startswith(b"\xff\xff") + b"\0\2"
    theirs = with_match(ours, b"".join([*fields[:-1], name, bytes([len(flags)]), flags]))
    assert fields[-1][:3] not in theirs
    assert dump.sent(theirs)[:2] == dump.sent(ours)[:2]


def test_other_fields_masks_and_experimenters_make_another_place():
    ours = encode.add(DYNAMIC[0], 0, 1)
    fields = fields_of(ours)
    experimenter = struct.pack("!HBBIH", 0xFFFF, 40 << 1, 6, 0x4F4E4600, 2)
    other = struct.pack("!HBBIH", 0xFFFF, 40 << 1, 6, 0x2320, 2)
    places = {
        dump.sent(with_match(ours, b"".join([*fields, *extra]))).place
        for extra in ([], [experimenter], [other])
    }
    assert len(places) == 3


def test_a_deletion_names_the_rule_as_the_switch_does():
    (found,) = answered(encode.add(DYNAMIC[0], 9, 1))
    ours = encode.delete(DYNAMIC[0], DYNAMIC[0].cookie.at(9), 5)
    assert dump.delete(found, 5) == ours


def test_damaged_answers_are_errors_whatever_is_damaged():
    table = FlowTable()
    for rule in DYNAMIC:
        table.add(encode.add(rule, 0, 1))
    (part,) = table.parts(dump.request(0, 0, 6)[8:], 6)
    for length in range(8, len(part)):
        if length not in (16, 16 + struct.unpack_from("!H", part, 16)[0]):
            with pytest.raises(dump.DumpError):
                dump.parse(part[:length])
    for at in range(16, len(part)):
        for value in (0, 0x7F, 0xFF):
            damaged = bytearray(part)
            damaged[at] = value
            try:
                dump.parse(bytes(damaged))
            except dump.DumpError:
                continue
