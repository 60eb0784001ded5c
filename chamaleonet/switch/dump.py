"""What rules a switch has: the question for them, and its answer.

A switch may give back a rule in another form than it got it: fields in another order, masks that
are all ones left out, a field under the number that an earlier standard gave it. So rules are
compared in a canonical form, which is made here from messages alone: of those that we send and of
what a switch answers. Layouts: OpenFlow Switch Specification 1.3.5, sections 7.2.2 and 7.3.5.2.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from chamaleonet.switch import encode

_FLOW = 1  # OFPMP_FLOW
_MORE = 1  # OFPMPF_REPLY_MORE
_HEADER = 16  # of a multipart message
_FLOW_MOD_MATCH = 48
_ENTRY_MATCH = 48

_request = struct.Struct("!BBHIHH4xB3xII4xQQ").pack
_reply = struct.Struct("!HH4x").unpack_from
_entry = struct.Struct("!HBxIIHHHH4xQQQ").unpack_from
_flow_mod = struct.Struct("!8xQQBBHHHIIIH").unpack_from
_oxm = struct.Struct("!HBB").unpack_from
_tlv = struct.Struct("!HH").unpack_from

_EXPERIMENTER = 0xFFFF  # OFPXMC_EXPERIMENTER: the field's number has four bytes more
_ANY, _ALL_TABLES = 0xFFFFFFFF, 0xFF
# TCP flags have three names: Open vSwitch's, the ONF's extension 109 for OpenFlow 1.3, which is
# what Open vSwitch answers with, and OpenFlow 1.5's.
_TCP_FLAGS = b"\x00\x01\x22"
_SAME = {b"\xff\xff\x2aONF\x00": _TCP_FLAGS, b"\x80\x00\x2a": _TCP_FLAGS}

Place = tuple[int, int, frozenset[tuple[bytes, int, int]]]


class DumpError(ValueError):
    """An answer that is no list of rules."""


class Found(NamedTuple):
    """A rule as it is in a switch.

    Attributes:
        place: table, priority and match in canonical form: what makes it one and the same entry.
        does: instructions, idle timeout and whether its removal is told.
        cookie: its 64 bits.
        table: number of its flow table.
        priority: its priority.
        match: the ofp_match as the switch wrote it, padded.
    """

    place: Place
    does: tuple[bytes, int, bool]
    cookie: int
    table: int
    priority: int
    match: bytes


def request(cookie: int, mask: int, xid: int) -> bytes:
    """Return the question for all rules with such cookies (OFPMP_FLOW)."""
    body = encode.encode_match(())
    return _request(
        encode.VERSION, encode.MULTIPART_REQUEST, 48 + len(body), xid, _FLOW, 0,
        _ALL_TABLES, _ANY, _ANY, cookie, mask,
    ) + body  # fmt: skip


def parse(message: bytes) -> tuple[list[Found], bool]:
    """Read one part of the answer.

    Args:
        message: an OFPT_MULTIPART_REPLY, header included.

    Returns:
        (rules, whether more parts follow).

    Raises:
        DumpError: it is malformed.
    """
    try:
        _, flags = _reply(message, 8)
        at, rules = _HEADER, []
        while at < len(message):
            length, table, _, _, priority, idle, _, bits, cookie, _, _ = _entry(message, at)
            if length < _ENTRY_MATCH + 8 or at + length > len(message):
                raise DumpError("a flow entry that is longer than its message")
            size = _match_size(message, at + _ENTRY_MATCH)
            if _ENTRY_MATCH + size > length:
                raise DumpError("a match that is longer than its flow entry")
            start = at + _ENTRY_MATCH
            match = message[start : start + size]
            does = message[start + size : at + length]
            rules.append(_found(table, priority, cookie, match, does, idle, bits))
            at += length
    except struct.error as error:
        raise DumpError(str(error)) from None
    return rules, bool(flags & _MORE)


def sent(message: bytes) -> Found:
    """Return the rule that a flow-mod of ours adds, as the switch is to have it."""
    cookie, _, table, _, idle, _, priority, _, _, _, bits = _flow_mod(message)
    size = _match_size(message, _FLOW_MOD_MATCH)
    match = message[_FLOW_MOD_MATCH : _FLOW_MOD_MATCH + size]
    does = message[_FLOW_MOD_MATCH + size :]
    return _found(table, priority, cookie, match, does, idle, bits)


def delete(found: Found, xid: int) -> bytes:
    """Return the flow-mod that deletes exactly this rule, if it still has its cookie."""
    return encode.delete_strict(found.cookie, found.table, found.priority, found.match, xid)


def _match_size(message: bytes, at: int) -> int:
    kind, length = _tlv(message, at)
    if kind != 1 or length < 4:
        raise DumpError("a match that is no OXM match")
    return int(length + 7 & ~7)


def _found(
    table: int, priority: int, cookie: int, match: bytes, does: bytes, idle: int, bits: int
) -> Found:
    place = table, priority, _canonical(match)
    notify = bool(bits & encode.SEND_FLOW_REM)
    return Found(place, (_instructions(does), idle, notify), cookie, table, priority, match)


def _canonical(match: bytes) -> frozenset[tuple[bytes, int, int]]:
    """Return a match as a set of (field, value, mask)."""
    end, at, fields = _tlv(match, 0)[1], 4, []
    if end > len(match):
        raise DumpError("a match that is longer than its message")
    while at < end:
        oxm_class, number, size = _oxm(match, at)
        payload = match[at + 4 : at + 4 + size]
        if len(payload) < size or at + 4 + size > end:
            raise DumpError("a match field that is longer than its match")
        name, skip = struct.pack("!HB", oxm_class, number >> 1), 0
        if oxm_class == _EXPERIMENTER:
            name, skip = name + payload[:4], 4
        width = (size - skip) // (1 + (number & 1))
        value = int.from_bytes(payload[skip : skip + width])
        mask = ones = (1 << 8 * width) - 1
        if number & 1:
            mask = int.from_bytes(payload[skip + width :]) & ones
        if mask:  # what is masked out altogether does not matter
            fields.append((_SAME.get(name, name), value & mask, mask))
        at += 4 + size
    return frozenset(fields)


def _instructions(data: bytes) -> bytes:
    """Return instructions sorted: a switch executes them by their kinds, in whatever order."""
    parts, at = [], 0
    while at < len(data):
        kind, length = _tlv(data, at)
        if length < 8 or at + length > len(data):
            raise DumpError("an instruction that is longer than its rule")
        parts.append((kind, data[at : at + length]))
        at += length
    return b"".join(part for _, part in sorted(parts))
