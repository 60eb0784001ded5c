"""pcap: byte orders, resolutions, limits and damage."""

from __future__ import annotations

import struct

import pytest

from chamaleonet.capture.files import open_capture
from chamaleonet.capture.indexing import MAX_CAPTURED
from chamaleonet.errors import UserError
from tests.capture.build import SECOND, Packet, pcap, pcap_header, pcap_record, read

PACKETS = [
    Packet(b"first packet", 60, 1_600_000_000 * SECOND + 123_456_000),
    Packet(b"", 0, 0),
    Packet(b"x" * 1500, 9000, (2**32 - 1) * SECOND + 999_999_000),
]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("nano", [False, True])
def test_reads_all_four_magics(tmp_path, order, nano):
    finer = [packet._replace(time=packet.time + 789 * nano) for packet in PACKETS]
    path = tmp_path / "a.pcap"
    path.write_bytes(pcap(finer, order, nano))
    assert read(path) == (finer, False, None)


def test_a_header_alone_is_a_capture_of_no_packets(tmp_path):
    path = tmp_path / "a.pcap"
    path.write_bytes(pcap_header())
    assert read(path) == ([], False, None)


def test_link_type_stands_below_the_frame_check_sequence_bits(tmp_path):
    path = tmp_path / "a.pcap"
    path.write_bytes(pcap_header(link=0xF400_0000 | 101) + pcap_record(PACKETS[0]))
    assert read(path).packets == [PACKETS[0]._replace(link=101)]


def test_unsupported_link_type_is_told_at_once(tmp_path):
    path = tmp_path / "a.pcap"
    path.write_bytes(pcap([], link=105))
    with pytest.raises(UserError, match=r"a\.pcap: link type 105 \(IEEE802_11\) is not supported"):
        open_capture(str(path))


def test_unsupported_version_is_told_at_once(tmp_path):
    path = tmp_path / "a.pcap"
    path.write_bytes(struct.pack("<IHHiIII", 0xA1B2C3D4, 1, 2, 0, 0, 65535, 1))
    with pytest.raises(UserError, match=r"a\.pcap: pcap version 1\.2 is not supported"):
        open_capture(str(path))


def test_the_largest_packet_and_lengths_beyond_the_column(tmp_path):
    largest = Packet(b"y" * MAX_CAPTURED, 2**32 - 1, 5 * SECOND)
    path = tmp_path / "a.pcap"
    path.write_bytes(pcap([largest, PACKETS[0]]))
    assert read(path).packets == [largest._replace(wire_length=2**31 - 1), PACKETS[0]]


@pytest.mark.parametrize("claimed", [MAX_CAPTURED + 1, 2**31, 2**32 - 1])
@pytest.mark.parametrize("order", ["<", ">"])
def test_absurd_captured_length_is_damage(tmp_path, claimed, order):
    path = tmp_path / "a.pcap"
    good = pcap(PACKETS[:2], order)
    path.write_bytes(good + struct.pack(order + "4I", 1, 2, claimed, 60) + bytes(100))
    packets, truncated, error = read(path)
    assert packets == PACKETS[:2]
    assert not truncated
    assert error is not None
    assert error.startswith(f"{path}: damaged at byte {len(good)}: a packet of {claimed} ")
