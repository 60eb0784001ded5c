"""The pcapng file format (draft-ietf-opsawg-pcapng): sections of blocks.

A kernel walks the blocks and reads those that hold packets. Section headers and interface
descriptions are rare and read in Python; all other blocks are skipped.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

from chamaleonet.capture.indexing import MAX_CAPTURED, MAX_WIRE_LENGTH, Indexed
from chamaleonet.capture.link import link_type
from chamaleonet.capture.words import u16, u32
from chamaleonet.errors import UserError
from chamaleonet.kernels import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from chamaleonet.capture.batch import PacketBatch

MAGIC = b"\x0a\x0d\x0d\x0a"  # a section header's block type reads the same in both byte orders
MIN_SECTION_HEADER = 28
BYTE_ORDERS = {b"\x1a\x2b\x3c\x4d": ">", b"\x4d\x3c\x2b\x1a": "<"}

_SECTION_HEADER = 0x0A0D0D0A
_INTERFACE = 1
_PACKET = 2  # obsolete, but still found in old captures
_SIMPLE_PACKET = 3
_ENHANCED_PACKET = 6

_MAX_BLOCK = 1 << 24  # bytes; longer ones are taken for damage, as in Wireshark
_OPTION_END, _OPTION_TSRESOL, _OPTION_TSOFFSET = 0, 9, 14

_NANOSECONDS = 1_000_000_000
_MAX_TIME = 1 << 62  # ns, in 2116: leaves the engine room to add its timeouts
_MAX_SECONDS = 1 << 40  # adds up and still compares in int64


class _Stop(IntEnum):
    """Why the kernel returned."""

    MORE = 0  # the next block is not whole yet, or there is no row for it
    SECTION = 1
    INTERFACE = 2
    UNREADABLE = 3  # a packet of an interface with a link type that we cannot read
    # From here on: damage.
    BYTE_ORDER = 4
    LENGTH = 5
    TRAILER = 6
    SHORT = 7
    CAPTURED = 8
    UNKNOWN_INTERFACE = 9


# Each is followed by the value that the kernel found.
_DAMAGE = {
    _Stop.BYTE_ORDER: "a section header with byte-order magic",
    _Stop.LENGTH: "a block with length",
    _Stop.TRAILER: "a block whose length is repeated as",
    _Stop.SHORT: "a packet block with the too short length",
    _Stop.CAPTURED: "a packet block with captured length",
    _Stop.UNKNOWN_INTERFACE: "a packet of the undescribed interface",
}

_INTERFACES = np.dtype(
    [
        ("link", np.int64),  # LinkType, or -1 - number for one that we cannot read
        ("snaplen", np.int64),  # bytes, 0: no limit
        # A time stamp T means offset + (T // drop) / units seconds. "drop" takes away what is finer
        # than a nanosecond, so that units <= 2**32 and a remainder × 10**9 fits into int64.
        ("drop", np.uint64),
        ("units", np.uint64),
        ("offset", np.int64),  # seconds
    ]
)


class Pcapng:
    """A pcapng file: a ``RecordFormat``."""

    def __init__(self, header: bytes, name: str) -> None:
        """Check the file's first bytes; ``index`` will see them again.

        Args:
            header: at least 12 bytes, beginning with ``MAGIC``.
            name: the file's name, for messages.

        Raises:
            UserError: they are no section header.
        """
        if header[8:12] not in BYTE_ORDERS:
            raise UserError(f"{name}: not a capture: pcapng without a byte-order magic")
        self._name = name
        self._order = BYTE_ORDERS[header[8:12]]
        self._interfaces = np.zeros(4, _INTERFACES)
        self._described = 0  # interfaces of this section so far
        self._time = 0  # of the last packet, ns: simple packet blocks have no time of their own

    def index(self, space: PacketBatch, end: int, position: int) -> Indexed:
        """Find the packets in a buffer, as ``RecordFormat`` says."""
        row = at = 0
        while True:
            row, at, self._time, stop, value = _index_blocks(
                space.buffer, end, at, row, self._order == ">",
                self._interfaces[: self._described], self._time,
                space.offset, space.length, space.wire_length, space.time, space.link,
            )  # fmt: skip
            if stop == _Stop.MORE:
                return Indexed(row, at, None)
            try:
                if stop == _Stop.UNREADABLE:
                    number = -1 - int(self._interfaces[value]["link"])
                    link_type(number, f"{self._name}: interface {value}")
                if stop > _Stop.UNREADABLE:
                    raise UserError(f"{_DAMAGE[_Stop(stop)]} {value}")
                block = space.buffer[at : at + value].tobytes()
                if stop == _Stop.SECTION:
                    self._begin_section(block)
                else:
                    self._describe_interface(block)
            except UserError as error:
                if stop != _Stop.UNREADABLE:
                    error = UserError(f"{self._name}: damaged at byte {position + at}: {error}")
                return Indexed(row, at, error)
            at += value

    def _begin_section(self, block: bytes) -> None:
        if len(block) < MIN_SECTION_HEADER:
            raise UserError(f"a section header with the too short length {len(block)}")
        self._order = BYTE_ORDERS[block[8:12]]
        major, minor = struct.unpack_from(self._order + "2H", block, 12)
        # 1.2 was written by mistake and means 1.0.
        if (major, minor) not in {(1, 0), (1, 2)}:
            raise UserError(f"a section of the unsupported version {major}.{minor}")
        self._described = 0

    def _describe_interface(self, block: bytes) -> None:
        if len(block) < 20:
            raise UserError(f"an interface description with the too short length {len(block)}")
        number, snaplen = struct.unpack_from(self._order + "H2xI", block, 8)
        options = _options(block[16:-4], self._order)
        drop, units = _resolution(options.get(_OPTION_TSRESOL, b"\x06"))
        offset = 0
        if _OPTION_TSOFFSET in options:
            if len(options[_OPTION_TSOFFSET]) != 8:
                raise UserError("an interface description whose if_tsoffset has not 8 bytes")
            (offset,) = struct.unpack(self._order + "q", options[_OPTION_TSOFFSET])
            offset = max(-_MAX_SECONDS, min(offset, _MAX_SECONDS))
        try:
            link = int(link_type(number, self._name))
        except UserError:  # matters only if a packet of this interface comes
            link = -1 - number
        if self._described == len(self._interfaces):
            self._interfaces = np.concatenate([self._interfaces, self._interfaces])
        self._interfaces[self._described] = (link, snaplen, drop, units, offset)
        self._described += 1


def _options(body: bytes, order: str) -> dict[int, bytes]:
    """Return a block's options by code; of those that repeat, the first."""
    options: dict[int, bytes] = {}
    at = 0
    while at + 4 <= len(body):
        code, size = struct.unpack_from(order + "2H", body, at)
        if code == _OPTION_END:
            break
        if at + 4 + size > len(body):
            raise UserError(f"option {code} runs over its block's end")
        options.setdefault(code, body[at + 4 : at + 4 + size])
        at += 4 + (size + 3) // 4 * 4
    return options


def _resolution(option: bytes) -> tuple[int, int]:
    """Return an if_tsresol option as (drop, units); see ``_INTERFACES``."""
    if len(option) != 1:
        raise UserError("an interface description whose if_tsresol has not 1 byte")
    base, exponent = (2, option[0] & 0x7F) if option[0] & 0x80 else (10, option[0])
    if base**exponent >= 1 << 64:
        raise UserError(f"an interface description with time unit {base}^-{exponent} s")
    kept = min(exponent, 32 if base == 2 else 9)
    return base ** (exponent - kept), base**kept


@kernel
def _index_blocks(
    buffer: NDArray[np.uint8],
    end: int,
    at: int,
    row: int,
    big: bool,
    interfaces: NDArray[np.void],
    now: int,
    offset: NDArray[np.int64],
    length: NDArray[np.int32],
    wire_length: NDArray[np.int32],
    time: NDArray[np.int64],
    links: NDArray[np.uint16],
) -> tuple[int, int, int, int, int]:
    """Walk the blocks from ``at`` on and fill the columns from ``row`` on.

    Returns:
        rows filled, where the block lies that stopped the walk, the last packet's time, a _Stop,
        and its value: the length of a block that Python shall read, or what is wrong.
    """
    while row < len(offset) and at + 12 <= end:
        kind = u32(buffer, at, big)
        if kind == _SECTION_HEADER:
            magic = u32(buffer, at + 8, True)
            big = magic == 0x1A2B3C4D
            if not big and magic != 0x4D3C2B1A:
                return row, at, now, _Stop.BYTE_ORDER.value, magic
        total = u32(buffer, at + 4, big)
        if total < 12 or total % 4 != 0 or total > _MAX_BLOCK:
            return row, at, now, _Stop.LENGTH.value, total
        if at + total > end:
            break
        trailer = u32(buffer, at + total - 4, big)
        if trailer != total:
            return row, at, now, _Stop.TRAILER.value, trailer
        if kind == _SECTION_HEADER:
            return row, at, now, _Stop.SECTION.value, total
        if kind == _INTERFACE:
            return row, at, now, _Stop.INTERFACE.value, total
        if kind != _ENHANCED_PACKET and kind != _SIMPLE_PACKET and kind != _PACKET:
            at += total
            continue

        data = at + (12 if kind == _SIMPLE_PACKET else 28)
        room = at + total - 4 - data
        if room < 0:
            return row, at, now, _Stop.SHORT.value, total
        if kind == _SIMPLE_PACKET:
            interface = 0
        elif kind == _ENHANCED_PACKET:
            interface = u32(buffer, at + 8, big)
        else:
            interface = u16(buffer, at + 8, big)
        if interface >= len(interfaces):
            return row, at, now, _Stop.UNKNOWN_INTERFACE.value, interface
        about = interfaces[interface]
        if about["link"] < 0:
            return row, at, now, _Stop.UNREADABLE.value, interface
        if kind == _SIMPLE_PACKET:
            original = u32(buffer, at + 8, big)
            captured = min(original, room)
            if about["snaplen"] > 0:
                captured = min(captured, about["snaplen"])
        else:
            captured = u32(buffer, at + 20, big)
            original = u32(buffer, at + 24, big)
            ticks = np.uint64(u32(buffer, at + 12, big)) << np.uint64(32)
            ticks |= np.uint64(u32(buffer, at + 16, big))
            ticks //= about["drop"]
            seconds = int(np.int64(min(ticks // about["units"], np.uint64(_MAX_SECONDS))))
            fraction = (ticks % about["units"]) * np.uint64(_NANOSECONDS) // about["units"]
            seconds = max(0, min(seconds + about["offset"], _MAX_TIME // _NANOSECONDS))
            now = seconds * _NANOSECONDS + int(np.int64(fraction))
        if captured > room or captured > MAX_CAPTURED:
            return row, at, now, _Stop.CAPTURED.value, captured
        offset[row] = data
        length[row] = captured
        wire_length[row] = min(original, MAX_WIRE_LENGTH)
        time[row] = now
        links[row] = about["link"]
        row += 1
        at += total
    return row, at, now, _Stop.MORE.value, 0
