"""Whatever packets there are, engines that share them tell what one engine tells."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chamaleonet.capture.spread import MOST_SNAPLEN, Secret, spreading
from chamaleonet.flows.decode import Decoder
from chamaleonet.flows.headers import BIT_QUOTED, Counted
from tests.capture.machine import received, run
from tests.captures import CAPTURES, needs_captures
from tests.flows.playbook import Played, address
from tests.flows.test_decode import _INTERNAL, _damaged
from tests.flows.test_engine import _records, _sequences
from tests.traffic import SECOND, Record, batch, ethernet, icmp_error, ip, udp

SECRET = Secret(0x9E3779B9, 0x85EBCA6B, 0xC2B2AE35)
PROGRAM = spreading(SECRET, MOST_SNAPLEN)
DECODER = Decoder(_INTERNAL)


def way(record):
    ethertype, packet = received(record.data)
    return run(PROGRAM, packet, ethertype)


def in_order(records):
    """Return the records cut and with times that never go back, as a ring tells them."""
    latest, found = 0, []
    for record in records:
        latest = max(latest, record.time)
        data = record.data[:MOST_SNAPLEN]
        found.append(Record(data, latest, wire_length=record.on_wire))
    return found


def judged(groups, end):
    """Return all that engines tell of their packets, in an order that does not depend on them."""
    verdicts, flows, captures, summaries = [], [], [], []
    for records in groups:
        played = Played([*records, Record(b"", end)])  # time passes alike for all
        verdicts += played.judgements()
        flows += played.flows()
        captures += [(*told, data) for told, (_, _, data) in
                     zip(played.captures(), played.captured, strict=True)]  # fmt: skip
        summaries.append(played.summary)
    verdict_counts = {
        name: sum(summary["verdicts"][name] for summary in summaries)
        for name in summaries[0]["verdicts"]
    }
    orphans = sum(summary["orphans"] for summary in summaries)
    return sorted(verdicts), sorted(flows), sorted(captures), verdict_counts, orphans


def check(records, number):
    records = in_order(records)
    end = records[-1].time + 10 * SECOND
    groups = [[] for _ in range(number)]
    for record in records:
        groups[way(record) % number].append(record)
    assert judged(groups, end) == judged([records], end)


@settings(max_examples=150, deadline=None)
@given(_sequences(), st.integers(2, 4))
def test_shares_lead_to_the_same_verdicts(records, number):
    check(records, number)


@needs_captures
@pytest.mark.parametrize("name", CAPTURES)
def test_shares_of_real_captures_lead_to_the_same_verdicts(name):
    records = [record for record in _records(CAPTURES[name])[:3000] if record.link == 1]
    if records:
        check(records, 3)


# Hop-by-hop, destination, routing, authentication, fragment, then ICMPv6.
_CHAIN = (
    b"\x3c\0" + bytes(6) + b"\x2b\1" + bytes(14) + b"\x33\0" + bytes(6) + b"\x2c\1" + bytes(10)
    + b"\x3a\0" + bytes(6)
)  # fmt: skip
_LOST = ip("fd00::1", "2001:db8::1", 60, b"\x11\0" + bytes(6) + b"\0\7\0\x35\0\x08\0\0")
_ERRORS = [
    ip("2001:db8::9", "fd00::1", 0, _CHAIN + icmp_error("2001:db8::9", lost, quote=60)[40:])
    for lost in (_LOST, udp("fd00::1", "2001:db8::1"))
] + [
    ip("192.0.2.9", "10.0.0.1", 1, b"\3\1" + bytes(6) + lost, options=b"\1" * 8)
    for lost in (
        ip("10.0.0.1", "192.0.2.1", 17, b"\0\7\0\x35", options=b"\1" * 20),
        udp("10.0.0.1", "192.0.2.1"),
    )
]  # fmt: skip


@st.composite
def _damaged_errors(draw):
    data = bytearray(draw(st.sampled_from(_ERRORS)))
    for _ in range(draw(st.integers(0, 2))):
        data[draw(st.integers(0, len(data) - 1))] ^= 1 << draw(st.integers(0, 7))
    return bytes(data)


@settings(max_examples=1000, deadline=None)
@given(_damaged() | _damaged_errors() | st.binary(max_size=120))
def test_what_belongs_to_one_flow_goes_one_way(data):
    """Of any bytes: where they are tied to a flow, they go the way of its addresses."""
    frame = ethernet(data)
    [header] = DECODER.decode(batch([Record(frame)]))
    tied = header["counted"] == Counted.FLOW_PACKETS or (
        header["counted"] == Counted.ICMP_ERRORS and header["bits"] & BIT_QUOTED
    )
    if tied:
        version = int(header["kind"]) & 15
        low = address(version, header["low_hi"], header["low_lo"])
        high = address(version, header["high_hi"], header["high_lo"])
        plain = ethernet(bytes_between(version, low, high))
        assert way(Record(frame)) == way(Record(plain))


def bytes_between(version, low, high):
    """Return the plainest packet between two hosts."""
    if version == 4:
        return b"\x45" + bytes(8) + b"\x11" + bytes(2) + low.packed + high.packed
    return b"\x60" + bytes(5) + b"\x11\x40" + low.packed + high.packed
