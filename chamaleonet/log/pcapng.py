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
from chamaleonet.flows.records import Role
from chamaleonet.flows.transitions import State
from chamaleonet.kernels import inlined, kernel
from chamaleonet.log.community_id import COMMUNITY_ID_BYTES, SHA1_WORDS, write_community_id
from chamaleonet.log.output import OutputFile
from chamaleonet.log.text import write_bytes, write_decimal

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_SECTION_HEADER, _INTERFACE_DESCRIPTION, _ENHANCED_PACKET = 0x0A0D0D0A, 1, 6
_BYTE_ORDER_MAGIC = 0x1A2B3C4D
_END_OF_OPTIONS, _COMMENT, _USER_APPLICATION, _TIME_RESOLUTION = 0, 1, 4, 9
_ROLE_ERROR = int(Role.ERROR)


# All fixed text in one array: the verdicts first, by state, then the words between the numbers.
_TEXTS = [f"verdict={state.label}" for state in State]
_TEXTS += ["verdict=orphan", " flow=", " attempts=", " icmp=", "/"]
_ORPHAN, _FLOW, _ATTEMPTS, _ICMP, _SLASH = range(len(State), len(_TEXTS))
_TEXT = np.frombuffer("".join(_TEXTS).encode(), np.uint8)
_TEXT_LENGTH = np.array([len(text) for text in _TEXTS])
_TEXT_START = np.cumsum(_TEXT_LENGTH) - _TEXT_LENGTH

# Block type and lengths, interface, time and the packet's lengths; comment option, end of options
# and the length again; packet and comment are padded to 32 bits.
_COMMENT_BYTES = int(_TEXT_LENGTH.max()) + 6 + COMMUNITY_ID_BYTES + 10 + 10 + 6 + 7
_BLOCK_BYTES = 28 + 3 + 4 + _COMMENT_BYTES + 3 + 4 + 4
_CHUNK = 8192  # packets encoded at a time: their blocks fit into the processor's cache


@inlined
def _write_text(text: int, out: NDArray[np.uint8], at: int) -> int:
    return write_bytes(_TEXT, _TEXT_START[text], _TEXT_LENGTH[text], out, at)


@inlined
def _write_comment(packet: Any, words: NDArray[np.uint32], out: NDArray[np.uint8], at: int) -> int:
    flow = packet.flow
    if packet.orphan:
        at = _write_text(_ORPHAN, out, at)
    else:
        at = _write_text(flow.state, out, at)
        at = _write_text(_FLOW, out, at)
        at = write_community_id(flow, words, out, at)
        at = _write_text(_ATTEMPTS, out, at)
        at = write_decimal(flow.attempts, out, at)
    if packet.role == _ROLE_ERROR:
        at = _write_text(_ICMP, out, at)
        at = write_decimal(packet.icmp_type, out, at)
        at = _write_text(_SLASH, out, at)
        at = write_decimal(packet.icmp_code, out, at)
    return at


@inlined
def _pad(out: NDArray[np.uint8], at: int) -> int:
    while at & 3:
        out[at] = 0
        at += 1
    return at


@kernel
def _encode(
    packets: NDArray[np.void],
    data: NDArray[np.uint8],
    interfaces: NDArray[np.uint32],
    words: NDArray[np.uint32],
    out: NDArray[np.uint32],
    octets: NDArray[np.uint8],
) -> int:
    """Write one Enhanced Packet Block per packet and return the bytes written.

    Args:
        packets: CAPTURED, shape (m,), all within ``data``.
        data: uint8: the packets' bytes.
        interfaces: uint32, shape (m,): each packet's interface number.
        words: uint32, shape (SHA1_WORDS,): working memory.
        out: uint32, with room for _BLOCK_BYTES and the packet's bytes each.
        octets: the same memory as bytes.
    """
    at = 0
    for i in range(len(packets)):
        packet = packets[i]
        start, block = at, at >> 2
        out[block] = _ENHANCED_PACKET
        out[block + 2] = interfaces[i]
        out[block + 3] = packet.time >> 32
        out[block + 4] = packet.time & 0xFFFFFFFF
        out[block + 5] = packet.length
        out[block + 6] = packet.wire_length
        at = write_bytes(data, packet.offset, packet.length, octets, at + 28)
        at = _pad(octets, at)
        option = at
        at = _write_comment(packet, words, octets, at + 4)
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

    def __init__(self, file: OutputFile) -> None:
        self._file = file
        self._interfaces = np.full(1 << 16, -1, np.int32)  # by link type
        self._known = 0
        self._words = np.empty(SHA1_WORDS, np.uint32)
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
        if not len(packets):
            return
        offset, length = packets["offset"], packets["length"]
        if offset.min() < 0 or (offset + length).max() > len(data):
            raise ValueError("a captured packet lies beyond its data")
        interfaces = self._interfaces_of(packets["link"])
        for first in range(0, len(packets), _CHUNK):
            chunk = slice(first, first + _CHUNK)
            room = int(length[chunk].sum()) + _BLOCK_BYTES * len(length[chunk])
            if 4 * len(self._out) < room:
                self._out = np.empty(room // 4 + 1, np.uint32)
            octets = self._out.view(np.uint8)
            written = _encode(
                packets[chunk], data, interfaces[chunk], self._words, self._out, octets
            )
            self._file.write(octets[:written].data)

    def _interfaces_of(self, links: NDArray[np.uint16]) -> NDArray[np.uint32]:
        """Return each link's interface number, describing in the file those that are new."""
        numbers = self._interfaces[links]
        if numbers.min() < 0:
            for link in np.unique(links[numbers < 0]):
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
            numbers = self._interfaces[links]
        return numbers.astype(np.uint32)

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
