"""Captured packets as pcapng, each with a comment that tells its flow's verdict.

The format is draft-ietf-opsawg-pcapng: one section in this machine's byte order, one Interface
Description Block per link type with nanosecond time stamps, one Enhanced Packet Block per packet.
"""

from __future__ import annotations

import struct
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from chamaleonet import __version__
from chamaleonet.kernels import inlined, kernel
from chamaleonet.log.comments import COMMENT_BYTES, ask_for_comment, new_comments, write_comment
from chamaleonet.log.output import OutputFile
from chamaleonet.log.text import write_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from chamaleonet.log.output import Output

_SECTION_HEADER, _INTERFACE_DESCRIPTION, _ENHANCED_PACKET = 0x0A0D0D0A, 1, 6
_BYTE_ORDER_MAGIC = 0x1A2B3C4D
_END_OF_OPTIONS, _COMMENT, _USER_APPLICATION, _TIME_RESOLUTION = 0, 1, 4, 9


# Block type and lengths, interface, time and the packet's lengths; comment option, end of options
# and the length again; packet and comment are padded to 32 bits.
_BLOCK_BYTES = 28 + 3 + 4 + COMMENT_BYTES + 3 + 4 + 4
_CHUNK = 8192  # packets encoded at a time: their blocks fit into the processor's cache
_BEYOND, _UNDESCRIBED = -1, -2
_AHEAD = 8  # how many packets ahead a comment's memory is asked for


@inlined
def _pad(out: NDArray[np.uint8], at: int) -> int:
    while at & 3:
        out[at] = 0
        at += 1
    return at


@kernel
def _survey(packets: NDArray[np.void], size: int, interfaces: NDArray[np.int32]) -> int:
    """Return how many bytes packets (CAPTURED) have together.

    _BEYOND if one of them does not lie within ``size`` bytes, else _UNDESCRIBED if one of them has
    a link type whose interface number is negative.
    """
    kept, described = 0, True
    for i in range(len(packets)):
        offset, length = packets[i].offset, int(packets[i].length)
        if offset < 0 or length > size - offset:
            return _BEYOND
        kept += length
        described = described and interfaces[packets[i].link] >= 0
    return kept if described else _UNDESCRIBED


@kernel
def _encode(
    packets: NDArray[np.void],
    data: NDArray[np.uint8],
    interfaces: NDArray[np.int32],
    comments: Any,
    out: NDArray[np.uint32],
    octets: NDArray[np.uint8],
) -> int:
    """Write one Enhanced Packet Block per packet and return the bytes written.

    Args:
        packets: CAPTURED, shape (m,), all within ``data``.
        data: uint8: the packets' bytes.
        interfaces: int32, shape (65536,): the interface number of each link type.
        comments: Comments.
        out: uint32, with room for _BLOCK_BYTES and the packet's bytes each.
        octets: the same memory as bytes.
    """
    at = 0
    for i in range(len(packets)):
        if i + _AHEAD < len(packets):
            ask_for_comment(packets[i + _AHEAD], comments)
        packet = packets[i]
        start, block = at, at >> 2
        out[block] = _ENHANCED_PACKET
        out[block + 2] = interfaces[packet.link]
        out[block + 3] = packet.time >> 32
        out[block + 4] = packet.time & 0xFFFFFFFF
        out[block + 5] = packet.length
        out[block + 6] = packet.wire_length
        at = write_bytes(data, packet.offset, packet.length, octets, at + 28)
        at = _pad(octets, at)
        option = at
        at = write_comment(packet, comments, octets, at + 4)
        out[option >> 2] = _option_header(_COMMENT, at - option - 4)
        at = _pad(octets, at)
        out[at >> 2] = _END_OF_OPTIONS
        length = at + 8 - start
        out[(at >> 2) + 1] = length
        out[block + 1] = length
        at += 8
    return at


_LITTLE = sys.byteorder == "little"


@inlined
def _option_header(code: int, length: int) -> int:
    return code | length << 16 if _LITTLE else code << 16 | length


def _block(kind: int, body: bytes) -> bytes:
    length = 12 + len(body)
    return struct.pack("=II", kind, length) + body + struct.pack("=I", length)


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("=HH", code, len(value)) + value + bytes(-len(value) % 4)


class PcapngWriter:
    """Writes captured packets to a pcapng file.

    Args:
        file: where to write; ``close`` closes it.
    """

    def __init__(self, file: Output) -> None:
        self._file = file
        self._interfaces = np.full(1 << 16, -1, np.int32)  # by link type
        self._known = 0
        self._comments = new_comments()
        self._out = np.empty(0, np.uint32)
        options = _option(_USER_APPLICATION, f"chamaleonet {__version__}".encode())
        options += _option(_END_OF_OPTIONS, b"")
        # Version 1.0, section length unknown.
        self._file.write(
            _block(_SECTION_HEADER, struct.pack("=IHHq", _BYTE_ORDER_MAGIC, 1, 0, -1) + options)
        )

    def write(self, packets: NDArray[np.void], data: NDArray[np.uint8]) -> None:
        """Write packets, in the order given.

        Args:
            packets: CAPTURED, shape (m,).
            data: uint8: the bytes that the packets' ``offset`` and ``length`` point into.

        Raises:
            ValueError: a packet lies beyond ``data``.
            UserError: the file cannot be written.
        """
        data = data.view()
        data.flags.writeable = False  # always: a kernel is compiled for each kind of array
        kept = _survey(packets, len(data), self._interfaces)
        if kept == _BEYOND:
            raise ValueError("a captured packet lies beyond its data")
        if kept == _UNDESCRIBED:
            self._describe(packets["link"])
            kept = _survey(packets, len(data), self._interfaces)
        for first in range(0, len(packets), _CHUNK):
            chunk = packets[first : first + _CHUNK]
            room = kept + _BLOCK_BYTES * len(chunk)
            if 4 * len(self._out) < room:
                self._out = np.empty(room // 4 + 1, np.uint32)
            octets = self._out.view(np.uint8)
            written = _encode(chunk, data, self._interfaces, self._comments, self._out, octets)
            self._file.write(octets[:written].data)

    def _describe(self, links: NDArray[np.uint16]) -> None:
        """Describe in the file the interfaces of link types that are new."""
        for link in np.unique(links[self._interfaces[links] < 0]):
            self._file.write(
                _block(
                    _INTERFACE_DESCRIPTION,
                    # No limit to the captured length: where it ends depends on the headers.
                    struct.pack("=HHI", link, 0, 0)
                    + _option(_TIME_RESOLUTION, b"\x09")
                    + _option(_END_OF_OPTIONS, b""),
                )
            )
            self._interfaces[link] = self._known
            self._known += 1

    def flush(self) -> None:
        """Hand what was written to the system, so that other processes see it."""
        self._file.flush()

    def close(self) -> None:
        """Finish the file and give it its name."""
        self._file.close()


def open_pcapng(path: str | Path) -> PcapngWriter:
    """Create a pcapng file.

    Raises:
        UserError: it cannot be written.
    """
    return PcapngWriter(OutputFile(path))
