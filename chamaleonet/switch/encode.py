"""Rules to OpenFlow 1.3 messages.

The framework's own encoder spends 70 µs on a flow-mod, most of it on objects for match fields.
Rules here are few kinds of fields, all known; packing them takes a tenth. Tests compare the bytes
with the framework's. Layouts: OpenFlow Switch Specification 1.3.5, section 7; for Open vSwitch's
extensions nicira-ext.h and ofp-actions(7).
"""

from __future__ import annotations

import struct
from functools import lru_cache

from chamaleonet.switch.rules import (
    Action,
    Commit,
    Controller,
    Match,
    Meter,
    Normal,
    Output,
    Resubmit,
    Rule,
    Track,
)

VERSION = 4


FLOW_MOD, MULTIPART_REQUEST, BARRIER_REQUEST, METER_MOD = 14, 18, 20, 29  # OFPT_
ADD, DELETE, DELETE_STRICT = 0, 3, 4  # OFPFC_

SEND_FLOW_REM = 1  # OFPFF_
_ANY = 0xFFFFFFFF  # OFPP_ANY, OFPG_ANY, OFP_NO_BUFFER
_ALL_TABLES = 0xFF
_NORMAL = 0xFFFFFFFA
_CONTROLLER = 0xFFFFFFFD

_BASIC = 0x8000  # OFPXMC_OPENFLOW_BASIC
_NXM_1 = 0x0001

# field -> (class, number, bytes)
_FIELDS = {
    "in_port": (_BASIC, 0, 4), "eth_type": (_BASIC, 5, 2), "vlan_vid": (_BASIC, 6, 2),
    "ip_proto": (_BASIC, 10, 1), "ipv4_src": (_BASIC, 11, 4), "ipv4_dst": (_BASIC, 12, 4),
    "tcp_src": (_BASIC, 13, 2), "tcp_dst": (_BASIC, 14, 2), "udp_src": (_BASIC, 15, 2),
    "udp_dst": (_BASIC, 16, 2), "sctp_src": (_BASIC, 17, 2), "sctp_dst": (_BASIC, 18, 2),
    "icmpv4_type": (_BASIC, 19, 1), "icmpv4_code": (_BASIC, 20, 1),
    "ipv6_src": (_BASIC, 26, 16), "ipv6_dst": (_BASIC, 27, 16),
    "icmpv6_type": (_BASIC, 29, 1), "icmpv6_code": (_BASIC, 30, 1),
    "tcp_flags": (_NXM_1, 34, 2), "ct_state": (_NXM_1, 105, 4), "ct_mark": (_NXM_1, 107, 4),
}  # fmt: skip


def _header(field: str, masked: bool) -> bytes:
    oxm_class, number, size = _FIELDS[field]
    return struct.pack("!HBB", oxm_class, number << 1 | masked, size << masked)


_HEADERS = {field: (_header(field, False), _header(field, True), _FIELDS[field][2])
            for field in _FIELDS}  # fmt: skip

_NICIRA = 0x2320
_RESUBMIT_TABLE, _CT, _CONTROLLER2, _OUTPUT_TRUNC = 14, 35, 37, 39  # NXAST_
_IN_PORT = 0xFFF8  # OFPP_IN_PORT in 16 bits: the port that the packet came in by stays
_CT_COMMIT = 1
_NO_TABLE = 0xFF
_output = struct.Struct("!HHIH6x").pack
_output_trunc = struct.Struct("!HHIHHI").pack
_ct = struct.Struct("!HHIHHIHB3xH").pack
_resubmit = struct.Struct("!HHIHHB3x").pack
# Its properties are types 0 and 5, NXAC2PT_.
_MAX_LEN, _METER_ID = 0, 5
_controller2 = struct.Struct("!HHIH6xHHH2xHHI").pack
_meter_mod = struct.Struct("!BBHIHHIHHII4x").pack
_meter_stats = struct.Struct("!HH4xI4x").pack
_flow_mod = struct.Struct("!BBHIQQBBHHHIIIHxx").pack
_instruction = struct.Struct("!HH4x").pack
_goto = struct.Struct("!HHB3x").pack
_multipart_header = struct.Struct("!HH4x").pack
_ofp_header = struct.Struct("!BBHI").pack


def _pad(data: bytes) -> bytes:
    return data + bytes(-len(data) % 8)


def encode_match(match: Match) -> bytes:
    """Return an ofp_match of type OXM, padded."""
    parts: list[bytes] = []
    for field, value in match:
        plain, masked, size = _HEADERS[field]
        if isinstance(value, tuple):
            parts += (masked, value[0].to_bytes(size), value[1].to_bytes(size))
        else:
            parts += (plain, value.to_bytes(size))
    fields = b"".join(parts)
    return _pad(struct.pack("!HH", 1, 4 + len(fields)) + fields)


def _encode_ct(flags: int, zone: int, table: int, nested: bytes = b"") -> bytes:
    # zone_src 0 makes the field after it the zone itself; alg 0 is no helper.
    return _ct(0xFFFF, 24 + len(nested), _NICIRA, _CT, flags, 0, zone, table, 0) + nested


def _encode_action(action: Action) -> bytes:
    match action:
        case Output(port, 0):
            return _output(0, 16, port, 0)
        case Output(port, max_len):
            return _output_trunc(0xFFFF, 16, _NICIRA, _OUTPUT_TRUNC, port, max_len)
        case Controller(max_len, 0):
            return _output(0, 16, _CONTROLLER, max_len)
        case Controller(max_len, meter):
            return _controller2(
                0xFFFF, 32, _NICIRA, _CONTROLLER2, _MAX_LEN, 6, max_len, _METER_ID, 8, meter
            )
        case Resubmit(table):
            return _resubmit(0xFFFF, 16, _NICIRA, _RESUBMIT_TABLE, _IN_PORT, table)
        case Normal():
            return _output(0, 16, _NORMAL, 0)
        case Track(zone, table):
            return _encode_ct(0, zone, table)
        case Commit(zone, 0):
            return _encode_ct(_CT_COMMIT, zone, _NO_TABLE)
        case Commit(zone, mark):
            set_field = _pad(
                struct.pack("!HH", 25, 16) + _header("ct_mark", False) + struct.pack("!I", mark)
            )
            return _encode_ct(_CT_COMMIT, zone, _NO_TABLE, set_field)


@lru_cache(maxsize=1024)
def _encode_instructions(actions: tuple[Action, ...], goto: int | None) -> bytes:
    applied = b"".join(map(_encode_action, actions))
    return (_instruction(4, 8 + len(applied)) + applied if applied else b"") + (
        _goto(1, 8, goto) if goto is not None else b""
    )


def add(rule: Rule, generation: int, xid: int) -> bytes:
    """Return the flow-mod that adds a rule, in place of an identical one if there is any."""
    body = encode_match(rule.match) + _encode_instructions(rule.actions, rule.goto)
    return _flow_mod(
        VERSION, FLOW_MOD, 48 + len(body), xid,
        rule.cookie.at(generation), 0, rule.table, ADD, rule.idle_timeout, 0,
        rule.priority, _ANY, 0, 0, SEND_FLOW_REM if rule.notify else 0,
    ) + body  # fmt: skip


def delete(rule: Rule, cookie: int, xid: int) -> bytes:
    """Return the flow-mod that deletes exactly this rule, and only where its cookie is this one."""
    return delete_strict(cookie, rule.table, rule.priority, encode_match(rule.match), xid)


def delete_strict(cookie: int, table: int, priority: int, match: bytes, xid: int) -> bytes:
    """Return the flow-mod that deletes the one rule with this cookie at this place.

    Args:
        cookie: all 64 bits.
        table: number of its flow table.
        priority: its priority.
        match: an encoded match.
        xid: transaction id.
    """
    return _flow_mod(
        VERSION, FLOW_MOD, 48 + len(match), xid,
        cookie, (1 << 64) - 1, table, DELETE_STRICT, 0, 0,
        priority, _ANY, _ANY, _ANY, 0,
    ) + match  # fmt: skip


def delete_by_cookie(cookie: int, mask: int, xid: int) -> bytes:
    """Return the flow-mod that deletes the rules with such cookies from all tables."""
    return _flow_mod(
        VERSION, FLOW_MOD, 56, xid, cookie, mask, _ALL_TABLES, DELETE, 0, 0,
        0, _ANY, _ANY, _ANY, 0,
    ) + encode_match(())  # fmt: skip


def multipart(kind: int, body: bytes, xid: int) -> bytes:
    """Return a multipart request of an OFPMP_ kind, in one part."""
    return (
        _ofp_header(VERSION, MULTIPART_REQUEST, 16 + len(body), xid)
        + _multipart_header(kind, 0)
        + body
    )


ADD_METER, MODIFY_METER = 0, 1  # OFPMC_
_METER_FLAGS = 2 | 4 | 8  # OFPMF_PKTPS, BURST, STATS
_METERS = 9  # OFPMP_METER
_ALL_METERS = 0xFFFFFFFF  # OFPM_ALL


def set_meter(command: int, meter: Meter, xid: int) -> bytes:
    """Return the meter-mod that adds or modifies a meter of one dropping band."""
    return _meter_mod(
        VERSION, METER_MOD, 32, xid, command, _METER_FLAGS, meter.number,
        1, 16, meter.rate, meter.burst,
    )  # fmt: skip


def ask_meters(xid: int) -> bytes:
    """Return the question for what the switch's meters have counted (OFPMP_METER)."""
    return multipart(_METERS, struct.pack("!I4x", _ALL_METERS), xid)


def barrier(xid: int) -> bytes:
    """Return a barrier request."""
    return _ofp_header(VERSION, BARRIER_REQUEST, 8, xid)
