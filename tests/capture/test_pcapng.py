"""pcapng: sections, interfaces, time stamps, block types and damage."""

from __future__ import annotations

import struct

import pytest

from chamaleonet.capture.files import open_capture
from chamaleonet.capture.indexing import MAX_CAPTURED
from chamaleonet.errors import UserError
from tests.capture.build import (
    SECOND,
    Packet,
    block,
    enhanced,
    interface,
    obsolete,
    option,
    read,
    section,
    simple,
)

MICRO = 1_000_000


@pytest.fixture
def write(tmp_path):
    path = tmp_path / "a.pcapng"

    def write(*blocks: bytes):
        path.write_bytes(b"".join(blocks))
        return path

    return write


@pytest.mark.parametrize("order", ["<", ">"])
def test_reads_every_kind_of_packet_block(write, order):
    path = write(
        section(order),
        interface(order=order, snaplen=5),
        simple(b"12345", 77, order),  # before any time stamp
        enhanced(b"enhanced", 3 * MICRO + 7, order, wire_length=1500),
        block(0x0BAD, b"custom", order),
        simple(b"12345", 90, order),
        simple(b"123", 3, order),
        obsolete(b"obsolete!", 2 * MICRO, order),
        block(5, b"statistics", order),
    )
    assert read(path) == (
        [
            Packet(b"12345", 77, 0),
            Packet(b"enhanced", 1500, 3 * SECOND + 7000),
            Packet(b"12345", 90, 3 * SECOND + 7000),
            Packet(b"123", 3, 3 * SECOND + 7000),
            Packet(b"obsolete!", 18, 2 * SECOND),
        ],
        False,
        None,
    )


def test_simple_packet_without_snapshot_length(write):
    path = write(section(), interface(snaplen=0), simple(b"12345678", 500))
    assert read(path).packets == [Packet(b"12345678", 500, 0)]


def test_sections_have_their_own_byte_order_and_interfaces(write):
    path = write(
        section("<"),
        interface(1, "<"),
        interface(101, "<", resolution=9),
        enhanced(b"a", 1, "<", interface=0),
        enhanced(b"b", 2, "<", interface=1),
        section(">", version=(1, 2), options=option(4, b"editor", ">")),
        interface(276, ">", resolution=3),
        enhanced(b"c", 3, ">", interface=0),
        interface(12, ">", resolution=0),
        enhanced(b"d", 4, ">", interface=1),
        enhanced(b"e", 5, ">", interface=0),
    )
    assert read(path).packets == [
        Packet(b"a", 1, 1000, 1),
        Packet(b"b", 1, 2, 101),
        Packet(b"c", 1, 3_000_000, 276),
        Packet(b"d", 1, 4 * SECOND, 101),
        Packet(b"e", 1, 5_000_000, 276),
    ]


def test_interfaces_are_forgotten_with_their_section(write):
    good = [section(), interface(), enhanced(b"a", 1), section()]
    path = write(*good, enhanced(b"b", 2))
    packets, _, error = read(path)
    assert packets == [Packet(b"a", 1, 1000)]
    assert error == (
        f"{path}: damaged at byte {len(b''.join(good))}: a packet of the undescribed interface 0"
    )


def test_many_interfaces(write):
    blocks = [interface(resolution=n % 10) for n in range(50)]
    path = write(section(), *blocks, *(enhanced(b"", 1, interface=n) for n in range(50)))
    assert [packet.time for packet in read(path).packets] == [10 ** (9 - n % 10) for n in range(50)]


@pytest.mark.parametrize(
    ("resolution", "offset", "ticks", "nanoseconds"),
    [
        (None, None, 1_700_000_000_123_456, 1_700_000_000_123_456_000),
        (0, None, 1_700_000_000, 1_700_000_000 * SECOND),
        (6, -3, 5 * MICRO + 1, 2 * SECOND + 1000),
        (9, None, 1_700_000_000_123_456_789, 1_700_000_000_123_456_789),
        (9, 1_600_000_000, 100_000_000 * SECOND + 1, 1_700_000_000 * SECOND + 1),
        (12, None, 1_700_000 * 10**12 + 999, 1_700_000 * SECOND),
        (19, None, 10**19 + 2_345_678_901, SECOND),
        (0x80, None, 7, 7 * SECOND),
        (0x80 | 10, None, 1025, SECOND + 976_562),
        (0x80 | 30, None, (1_700_000_000 << 30) + (1 << 29), 1_700_000_000 * SECOND + SECOND // 2),
        (0x80 | 32, None, (1_700_000_000 << 32) + 1, 1_700_000_000 * SECOND),
        (0x80 | 63, 5, (1 << 63) + (1 << 62), 6 * SECOND + SECOND // 2),
        # Clamped.
        (6, -1_700_000_000, 5 * MICRO, 0),
        (0, None, 2**64 - 1, (2**62 // SECOND) * SECOND),
        (6, 2**63 - 1, 0, (2**62 // SECOND) * SECOND),
        (6, -(2**63), 2**64 - 1, 709_551_615_000 % SECOND),
        (9, None, 2**64 - 1, (2**62 // SECOND) * SECOND + (2**64 - 1) % SECOND),
    ],
)
@pytest.mark.parametrize("order", ["<", ">"])
def test_time_stamps(write, order, resolution, offset, ticks, nanoseconds):
    about = interface(order=order, resolution=resolution, offset=offset)
    path = write(section(order), about, enhanced(b"x", ticks, order))
    assert read(path).packets == [Packet(b"x", 1, nanoseconds)]


def test_link_type_is_checked_when_a_packet_comes(write):
    path = write(section(), interface(1), interface(105), enhanced(b"a", 1))
    assert read(path).error is None
    path = write(
        section(), interface(1), interface(105), enhanced(b"a", 1), enhanced(b"b", 2, "<", 1)
    )
    packets, _, error = read(path)
    assert packets == [Packet(b"a", 1, 1000)]
    assert error is not None
    assert error.startswith(f"{path}: interface 1: link type 105 (IEEE802_11) is not supported")


def test_byte_order_magic_is_checked_at_once(write):
    path = write(section()[:8] + b"\x1a\x2b\x3c\x4e" + section()[12:])
    with pytest.raises(UserError, match=r"a\.pcapng: not a capture"):
        open_capture(str(path))


GOOD = [section(), interface(), enhanced(b"whole", 1)]


@pytest.mark.parametrize(
    ("damaged", "what"),
    [
        (struct.pack("<II", 6, 8) + bytes(40), "a block with length 8"),
        (struct.pack("<II", 6, 0) + bytes(40), "a block with length 0"),
        (struct.pack("<II", 99, 41) + bytes(40), "a block with length 41"),
        (struct.pack("<II", 99, 0xFFFFFFFC) + bytes(40), "a block with length 4294967292"),
        (struct.pack("<II", 99, (1 << 24) + 4) + bytes(40), "a block with length 16777220"),
        (block(99, b"abcd")[:-4] + b"\x14\0\0\0", "a block whose length is repeated as 20"),
        (block(6, bytes(16)), "a packet block with the too short length 28"),
        (block(2, bytes(16)), "a packet block with the too short length 28"),
        (block(3, b""), "a packet block with the too short length 12"),
        (enhanced(b"x", 1, interface=1), "a packet of the undescribed interface 1"),
        (
            enhanced(b"x", 1, interface=2**32 - 1),
            "a packet of the undescribed interface 4294967295",
        ),
        (obsolete(b"x", 1, interface=65535), "a packet of the undescribed interface 65535"),
        (
            block(6, struct.pack("<5I", 0, 0, 1, 5, 5) + b"1234"),
            "a packet block with captured length 5",
        ),
        (
            block(6, struct.pack("<5I", 0, 0, 1, MAX_CAPTURED + 1, 5) + bytes(MAX_CAPTURED + 1)),
            f"a packet block with captured length {MAX_CAPTURED + 1}",
        ),
        (
            block(0x0A0D0D0A, b"\1\2\3\4" + bytes(12)),
            "a section header with byte-order magic 16909060",
        ),
        (section(version=(2, 0)), "a section of the unsupported version 2.0"),
        (
            block(0x0A0D0D0A, struct.pack("<I", 0x1A2B3C4D)),
            "a section header with the too short length 16",
        ),
        (block(1, bytes(4)), "an interface description with the too short length 16"),
        (interface(resolution=20), "an interface description with time unit 10^-20 s"),
        (interface(resolution=0xC0), "an interface description with time unit 2^-64 s"),
        (
            block(1, bytes(8) + option(9, b"")),
            "an interface description whose if_tsresol has not 1 byte",
        ),
        (
            block(1, bytes(8) + option(14, bytes(4))),
            "an interface description whose if_tsoffset has not 8 bytes",
        ),
        (
            block(1, bytes(8) + struct.pack("<HH", 2, 9) + bytes(8)),
            "option 2 runs over its block's end",
        ),
    ],
)
def test_damage_is_told_after_what_stands_before_it(write, damaged, what):
    path = write(*GOOD, damaged, enhanced(b"never seen", 1))
    packets, truncated, error = read(path)
    assert packets == [Packet(b"whole", 5, 1000)]
    assert not truncated
    assert error == f"{path}: damaged at byte {len(b''.join(GOOD))}: {what}"


def test_the_largest_packet(write):
    path = write(section(), interface(), enhanced(b"z" * MAX_CAPTURED, 1), enhanced(b"after", 1))
    assert [len(packet.data) for packet in read(path).packets] == [MAX_CAPTURED, 5]
