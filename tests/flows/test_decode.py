"""The decoder: link types, malformed packets, and no read outside the captured bytes."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from ipaddress import ip_network

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chamaleonet.flows.decode import Decoder
from chamaleonet.flows.headers import Counted
from tests.flows.playbook import compare
from tests.reference import Error, Judge, Seen
from tests.traffic import (
    ACK,
    RST,
    SYN,
    Record,
    batch,
    ethernet,
    icmp,
    icmp_error,
    ip,
    ping,
    tcp,
    udp,
)  # fmt: skip

LINKS = (0, 1, 101, 108, 113, 228, 229, 276)
_INTERNAL = (ip_network("10.0.0.0/8"),)
_JUDGE = Judge(internal=("10.0.0.0/8",))


def decode(data, link=1):
    """Return one packet's HEADERS record; the packet lies between other bytes, as in a file."""
    around = b"\xff" * 64
    packets = batch([Record(data, link=link)])
    packets.buffer = np.frombuffer(around + data + around, np.uint8).copy()
    packets.offset += len(around)
    return Decoder(_INTERNAL).decode(packets)[0]


def counted(data, link=1):
    """Return under which name a packet is counted."""
    return Counted(decode(data, link)["counted"]).label


V4 = udp("10.0.0.1", "192.0.2.1")
V6 = udp("fd00::1", "2001:db8::1")


@pytest.mark.parametrize("network", [V4, V6], ids=["IPv4", "IPv6"])
def test_link_types(network):
    kind = b"\x08\x00" if network is V4 else b"\x86\xdd"
    sll = b"\0\0\0\1\0\6" + b"\2" * 6 + b"\0\0"
    assert counted(ethernet(network)) == "flow_packets"
    assert counted(sll + kind + network, 113) == "flow_packets"
    assert counted(kind + bytes(18) + network, 276) == "flow_packets"
    assert counted(network, 101) == "flow_packets"
    assert counted(network, 228 if network is V4 else 229) == "flow_packets"
    assert counted(network, 229 if network is V4 else 228) == "malformed"
    for family in (2,) if network is V4 else (10, 24, 28, 30):
        for order in "<>":
            for link in (0, 108):
                assert counted(struct.pack(order + "I", family) + network, link) == "flow_packets"
    assert counted(struct.pack("<I", 7) + network, 0) == "non_ip"


def test_vlan_stacks_are_opened_and_the_outermost_is_recorded():
    for tags, vlan in (
        ([(0x8100, 0x2064)], 100),
        ([(0x88A8, 0x0FFE), (0x8100, 0x0001)], 4094),
        ([(0x8100, i) for i in range(1, 20)], 1),
    ):
        header = decode(ethernet(V4, tags=tags))
        assert (Counted(header["counted"]), header["vlan"]) == (Counted.FLOW_PACKETS, vlan)
    assert counted(ethernet(V4, tags=[(0x8100, 1)])[:17]) == "non_ip"
    assert counted(ethernet(b"", tags=[])[:13]) == "non_ip"
    assert counted(b"\2" * 12 + b"\x08\x06" + bytes(28)) == "non_ip"  # ARP


@pytest.mark.parametrize(
    ("network", "name"),
    [
        (b"\x55" + V4[1:], "malformed"),  # version
        (b"\x44" + V4[1:], "malformed"),  # IHL
        (b"\x4f" + V4[1:], "malformed"),  # options beyond the capture
        (V4[:19], "malformed"),
        (V4[:2] + b"\0\x13" + V4[4:], "malformed"),  # total length below the header's
        (V4[:2] + b"\0\0" + V4[4:], "flow_packets"),  # segmentation offload
        (V4[:6] + b"\0\1" + V4[8:], "fragments"),
        (V4[:6] + b"\x20\0" + V4[8:], "flow_packets"),  # first fragment
        (V4[:23], "malformed"),  # UDP ports cut
        (tcp("10.0.0.1", "192.0.2.1", SYN)[:33], "malformed"),  # TCP flags cut
        (tcp("10.0.0.1", "192.0.2.1", SYN)[:34], "flow_packets"),
        (ping("10.0.0.1", "192.0.2.1")[:25], "malformed"),  # identifier cut
        (icmp("10.0.0.1", "192.0.2.1", 3, 1)[:21], "malformed"),  # code cut
        (icmp("10.0.0.1", "192.0.2.1", 3, 1)[:22], "icmp_errors"),
        (icmp("10.0.0.1", "192.0.2.1", 3, 4), "icmp_info"),
        (icmp("10.0.0.1", "192.0.2.1", 42), "excluded"),
        (ip("10.0.0.1", "192.0.2.1", 58, b"\x80\0\0\0\0\1"), "flow_packets"),  # only a protocol
        (ip("10.0.0.1", "192.0.2.1", 51, bytes(12)), "flow_packets"),  # AH under IPv4
        (V6[:39], "malformed"),
        (b"\x40" + V6[1:], "malformed"),
        (V6[:4] + b"\0\0" + V6[6:], "flow_packets"),  # jumbogram
        (V6[:4] + b"\0\3" + V6[6:], "malformed"),  # ports beyond the IP length
        (ip("fd00::1", "2001:db8::1", 44, b"\x11\0\0\x08" + bytes(12)), "fragments"),
        (ip("fd00::1", "2001:db8::1", 44, b"\x11\0\0\x01" + bytes(12)), "flow_packets"),
        (ip("fd00::1", "2001:db8::1", 0, b"\x11\1" + bytes(10)), "malformed"),
        (ip("fd00::1", "2001:db8::1", 0, b"\x11\1" + bytes(22)), "flow_packets"),
        (ip("fd00::1", "2001:db8::1", 51, b"\x11\1" + bytes(18)), "flow_packets"),
        (ip("fd00::1", "2001:db8::1", 43, b"\x3c\0\0\0\0\0\0\0" * 2 + bytes(9)), "malformed"),
        (ip("fd00::1", "2001:db8::1", 43, b"\x3b\0\0\0\0\0\0\0"), "flow_packets"),
        (ip("fd00::1", "2001:db8::1", 1, b"\x08\0\0\0\0\1"), "flow_packets"),  # only a protocol
    ],
)  # fmt: skip
def test_section_1(network, name):
    link = 229 if network[0] >> 4 == 6 else 228
    assert counted(network, link) == name
    if name != "malformed":
        assert counted(network, 101) == counted(ethernet(network)) == name


def test_raw_ip_tells_its_version_itself():
    assert counted(b"\x55" + V4[1:], 101) == counted(b"", 101) == "non_ip"


_LOST_TCP = tcp("10.0.0.1", "192.0.2.1", SYN, payload=b"PAYLOAD")
_LOST_V6 = udp("fd00::1", "2001:db8::1", payload=b"PAYLOAD")


def test_padding_is_not_read():
    short = ip("10.0.0.1", "192.0.2.1", 17, b"\0\x35\0", length=23)
    assert counted(ethernet(short) + bytes(30)) == "malformed"


@pytest.mark.parametrize(
    ("network", "end"),
    [
        (tcp("10.0.0.1", "192.0.2.1", SYN, options=b"\1" * 20, payload=b"PAYLOAD"), 60),
        (tcp("10.0.0.1", "192.0.2.1", SYN, payload=b"PAYLOAD"), 40),
        (udp("10.0.0.1", "192.0.2.1", payload=b"PAYLOAD"), 28),
        (ping("10.0.0.1", "192.0.2.1") + b"PAYLOAD", 28),
        (ip("10.0.0.1", "192.0.2.1", 132, bytes(12) + b"PAYLOAD"), 32),
        (ip("10.0.0.1", "192.0.2.1", 47, b"PAYLOAD"), 20),
        (ip("10.0.0.1", "192.0.2.1", 17, bytes(8) + b"PAYLOAD", options=bytes(8)), 36),
        (ip("fd00::1", "2001:db8::1", 60, b"\x11\0" + bytes(6) + bytes(8) + b"PAYLOAD"), 56),
        (icmp_error("192.0.2.9", udp("10.0.0.1", "192.0.2.1", payload=b"PAYLOAD"), quote=99), 56),
        (icmp_error("192.0.2.9", _LOST_TCP, quote=99), 68),
        (icmp_error("2001:db8::9", _LOST_V6, quote=99), 96),
    ],
)  # fmt: skip
def test_what_is_captured_ends_with_the_last_header(network, end):
    assert decode(network, 101)["cut"] == end
    assert decode(ethernet(network, tags=[(0x8100, 5)]))["cut"] == end + 18


# Fragment, authentication, TCP.
_CHAIN = b"\x2c\0" + bytes(6) + b"\x33\0" + bytes(6) + b"\x06\1" + bytes(40)


def _network_packets():
    return st.sampled_from(
        [V4, V6, tcp("10.0.0.1", "192.0.2.1", SYN | ACK), tcp("fd00::1", "2001:db8::1", RST),
         icmp_error("192.0.2.9", V4), icmp_error("2001:db8::9", V6), ping("fd00::1", "fd00::2"),
         ip("fd00::1", "2001:db8::1", 0, _CHAIN)]
    )  # fmt: skip


@st.composite
def _damaged(draw):
    data = bytearray(draw(_network_packets()))
    for _ in range(draw(st.integers(0, 4))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.integers(0, len(data)))])


@settings(max_examples=1500, deadline=None)
@given(_damaged() | st.binary(max_size=120), st.sampled_from(LINKS), st.booleans())
def test_agrees_with_the_reference_on_any_bytes(data, link, framed):
    if framed:
        data, link = ethernet(data), 1
    header = decode(data, link)
    name = Counted(header["counted"]).label
    try:
        seen = _JUDGE.decode(link, data)
    except Seen as expected:
        assert name == str(expected)
        return
    assert header["cut"] == seen.cut <= len(data)
    assert name == ("icmp_errors" if isinstance(seen, Error) else "flow_packets")
    compare([Record(data, link=link)])


def test_no_read_outside_the_captured_bytes():
    """The same again with Numba's bounds checks on, each packet alone in its buffer."""
    code = """
import numpy as np
from hypothesis import given, settings, strategies as st
from tests.flows import test_decode as t
from tests.traffic import Record, batch, ethernet
decoder = t.Decoder(t._INTERNAL)

@settings(max_examples=3000, deadline=None, database=None)
@given(t._damaged() | st.binary(max_size=120), st.sampled_from(t.LINKS), st.booleans())
def test(data, link, framed):
    decoder.decode(batch([Record(ethernet(data) if framed else data, link=1 if framed else link)]))

test()
try:  # and the checks are really on
    broken = batch([Record(t.ethernet(t.V4))])
    broken.length += 1 << 20
    broken.buffer[16:18] = 0
    broken.buffer[14] = 0x4f
    broken.buffer = broken.buffer[:30]
    decoder.decode(broken)
except IndexError:
    print("checked")
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"NUMBA_BOUNDSCHECK": "1"}, capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    assert done.stdout == "checked\n", done.stderr[-2000:]
