"""Our messages, byte for byte those of the framework's own encoder."""

import struct
from ipaddress import ip_network

import pytest

from chamaleonet.switch import encode, framework
from chamaleonet.switch.aggregate import Prefix
from chamaleonet.switch.conntrack import ConntrackPipeline
from chamaleonet.switch.reactive import ReactivePipeline
from chamaleonet.switch.rules import (
    COOKIE_PREFIX,
    COOKIE_PREFIX_MASK,
    IPV4,
    IPV6,
    Commit,
    Controller,
    Cookie,
    Kind,
    Normal,
    Output,
    Resubmit,
    Rule,
    Track,
    rule_text,
)
from tests.switch.build import flow_key, frame

PARSER = framework._parser
PROTOCOL = framework.ofproto
NAMES = {"tcp_flags": "tcp_flags_nxm"}


class Datapath:
    ofproto = PROTOCOL
    ofproto_parser = PARSER


def action(ours):
    match ours:
        case Output(port, 0):
            return PARSER.OFPActionOutput(port, 0)
        case Output(port, max_len):
            return PARSER.NXActionOutputTrunc(port, max_len)
        case Resubmit(table):
            return PARSER.NXActionResubmitTable(in_port=0xFFF8, table_id=table)
        case Controller(max_len):
            return PARSER.OFPActionOutput(PROTOCOL.OFPP_CONTROLLER, max_len)
        case Normal():
            return PARSER.OFPActionOutput(PROTOCOL.OFPP_NORMAL, 0)
        case Track(zone, table):
            return PARSER.NXActionCT(0, "", zone, table, 0, [])
        case Commit(zone, mark):
            set_mark = [PARSER.OFPActionSetField(ct_mark=mark)] if mark else []
            return PARSER.NXActionCT(1, "", zone, 255, 0, set_mark)


def value(name, ours):
    if isinstance(ours, tuple):
        return tuple(value(name, part) for part in ours)
    size = {"ipv4": 4, "ipv6": 16}.get(name.partition("_")[0])
    if size is None or not name.endswith(("src", "dst")):
        return ours
    octets = ours.to_bytes(size)
    if size == 4:
        return ".".join(map(str, octets))
    return ":".join(f"{word:x}" for word in struct.unpack("!8H", octets))


def flow_mod(rule, command, generation, xid, **fields):
    match = PARSER.OFPMatch(**{NAMES.get(n, n): value(n, v) for n, v in rule.match})
    message = PARSER.OFPFlowMod(
        Datapath, cookie=rule.cookie.at(generation), table_id=rule.table, command=command,
        priority=rule.priority, buffer_id=PROTOCOL.OFP_NO_BUFFER, match=match, **fields,
    )  # fmt: skip
    message.set_xid(xid)
    message.serialize()
    return bytes(message.buf)


def instructions(rule):
    applied = [action(ours) for ours in rule.actions]
    return [
        *([PARSER.OFPInstructionActions(PROTOCOL.OFPIT_APPLY_ACTIONS, applied)] if applied else []),
        *([PARSER.OFPInstructionGotoTable(rule.goto)] if rule.goto is not None else []),
    ]


def canonical(message):
    """Sort the match fields: the order of independent ones is the encoder's choice."""
    (length,) = struct.unpack_from("!H", message, 50)
    fields, at = [], 52
    while at < 48 + length:
        size = 4 + message[at + 3]
        fields.append(message[at : at + size])
        at += size
    return message[:52], sorted(fields), message[at:]


DYNAMIC = [
    Rule(
        1, 100, (("eth_type", IPV4), ("ip_proto", 6), ("ipv4_src", 0x0A000001),
                 ("ipv4_dst", 0xC0000201), ("tcp_src", 40000), ("tcp_dst", 80)),
        (Output(4, 128),), 2, Cookie(Kind.REDIRECT, 7), 60, True,
    ),
    Rule(
        1, 100, (("eth_type", IPV6), ("ip_proto", 132), ("ipv6_src", 0x20010DB8 << 96 | 1),
                 ("ipv6_dst", 0xFD << 120 | 2), ("sctp_src", 1), ("sctp_dst", 65535)),
        (Output(4),), 2, Cookie(Kind.REDIRECT, 2**32 - 1), 60, True,
    ),
]  # fmt: skip
INSIDE = {
    "10.0.0.1": Prefix.of(ip_network("10.0.0.0/8")), "fc00::1": Prefix.of(ip_network("fc00::/7")),
}  # fmt: skip
AGGREGATES = [
    made.aggregate_rule(each)
    for made in (ConntrackPipeline(frame()), ReactivePipeline(frame("reactive"), 180 * 10**9))
    for client, server in (("192.0.2.1", "10.0.0.1"), ("2001:db8::1", "fc00::1"))
    for protocol in (6, 17)
    for each in made.aggregates(flow_key(client, server, protocol), INSIDE[server])
]

RULES = [
    *ConntrackPipeline(frame(candidates={"port": 3, "interface": "c"})).static_rules(),
    *ConntrackPipeline(frame(scope={"ports": [1, 2], "vlans": [10]})).static_rules(),
    *ReactivePipeline(frame("reactive", forward="none"), 180 * 10**9).static_rules(),
    *DYNAMIC,
    *AGGREGATES,
]
# The framework cannot encode the rest: tests/switch/test_meters.py.
RULES = [rule for rule in RULES if not any(getattr(a, "meter", 0) for a in rule.actions)]


@pytest.mark.parametrize("rule", RULES, ids=rule_text)
def test_flow_mods_equal_the_frameworks(rule):
    ours = encode.add(rule, 3, 99)
    theirs = flow_mod(
        rule, PROTOCOL.OFPFC_ADD, 3, 99, idle_timeout=rule.idle_timeout,
        flags=PROTOCOL.OFPFF_SEND_FLOW_REM if rule.notify else 0, instructions=instructions(rule),
    )  # fmt: skip
    assert canonical(ours) == canonical(theirs)


@pytest.mark.parametrize("rule", DYNAMIC, ids=rule_text)
def test_deletions_equal_the_frameworks_and_are_bound_to_our_cookie(rule):
    theirs = flow_mod(
        rule, PROTOCOL.OFPFC_DELETE_STRICT, 0, 7, cookie_mask=2**64 - 1,
        out_port=PROTOCOL.OFPP_ANY, out_group=PROTOCOL.OFPG_ANY, instructions=[],
    )  # fmt: skip
    assert canonical(encode.delete(rule, rule.cookie.at(0), 7)) == canonical(theirs)


def test_deletion_by_cookie_equals_the_frameworks():
    message = PARSER.OFPFlowMod(
        Datapath, cookie=COOKIE_PREFIX, cookie_mask=COOKIE_PREFIX_MASK, table_id=PROTOCOL.OFPTT_ALL,
        command=PROTOCOL.OFPFC_DELETE, priority=0, buffer_id=PROTOCOL.OFP_NO_BUFFER,
        out_port=PROTOCOL.OFPP_ANY, out_group=PROTOCOL.OFPG_ANY, match=PARSER.OFPMatch(),
        instructions=[],
    )  # fmt: skip
    message.set_xid(5)
    message.serialize()
    assert encode.delete_by_cookie(COOKIE_PREFIX, COOKIE_PREFIX_MASK, 5) == bytes(message.buf)


def test_barriers_equal_the_frameworks():
    message = PARSER.OFPBarrierRequest(Datapath)
    message.set_xid(8)
    message.serialize()
    assert encode.barrier(8) == bytes(message.buf)
