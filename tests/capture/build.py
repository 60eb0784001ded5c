"""Capture files made byte by byte, and read back as plain tuples."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from chamaleonet.capture.files import open_capture
from chamaleonet.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

SECOND = 1_000_000_000


class Packet(NamedTuple):
    data: bytes
    wire_length: int
    time: int  # ns
    link: int = 1


class Reading(NamedTuple):
    packets: list[Packet]
    truncated: bool
    error: str | None


def read(path: Path | str, **options: int) -> Reading:
    """Read a file to its end or to its first error."""
    packets = []
    with open_capture(str(path)) as capture:
        try:
            for batch in capture.batches(**options):
                rows = zip(
                    batch.offset,
                    batch.length,
                    batch.wire_length,
                    batch.time,
                    batch.link,
                    strict=True,
                )
                for offset, length, wire_length, time, link in rows:
                    assert offset >= 0
                    assert offset + length <= len(batch.buffer)
                    data = batch.buffer[offset : offset + length].tobytes()
                    packets.append(Packet(data, int(wire_length), int(time), int(link)))
        except UserError as error:
            return Reading(packets, capture.truncated, str(error))
        return Reading(packets, capture.truncated, None)


# pcap


def pcap_header(
    order: str = "<", magic: int = 0xA1B2C3D4, snaplen: int = 65535, link: int = 1
) -> bytes:
    return struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, snaplen, link)


def pcap_record(packet: Packet, order: str = "<", tick: int = 1000) -> bytes:
    seconds, rest = divmod(packet.time, SECOND)
    header = struct.pack(order + "4I", seconds, rest // tick, len(packet.data), packet.wire_length)
    return header + packet.data


def pcap(packets: list[Packet], order: str = "<", nano: bool = False, link: int = 1) -> bytes:
    header = pcap_header(order, 0xA1B23C4D if nano else 0xA1B2C3D4, link=link)
    return header + b"".join(pcap_record(p, order, 1 if nano else 1000) for p in packets)


# pcapng


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    body += bytes(-len(body) % 4)
    total = struct.pack(order + "I", len(body) + 12)
    return struct.pack(order + "I", kind) + total + body + total


def section(order: str = "<", version: tuple[int, int] = (1, 0), options: bytes = b"") -> bytes:
    body = struct.pack(order + "IHHq", 0x1A2B3C4D, *version, -1)
    return block(0x0A0D0D0A, body + options, order)


def option(code: int, value: bytes, order: str = "<") -> bytes:
    return struct.pack(order + "HH", code, len(value)) + value + bytes(-len(value) % 4)


def interface(
    link: int = 1,
    order: str = "<",
    snaplen: int = 0,
    resolution: int | None = None,
    offset: int | None = None,
) -> bytes:
    options = option(2, b"eth0", order)
    if resolution is not None:
        options += option(9, bytes([resolution]), order)
    if offset is not None:
        options += option(14, struct.pack(order + "q", offset), order)
    if resolution is not None or offset is not None:
        options += option(0, b"", order)
    return block(1, struct.pack(order + "HHI", link, 0, snaplen) + options, order)


def enhanced(
    data: bytes, ticks: int, order: str = "<", interface: int = 0, wire_length: int | None = None
) -> bytes:
    wire_length = len(data) if wire_length is None else wire_length
    header = struct.pack(
        order + "5I", interface, ticks >> 32, ticks & 0xFFFFFFFF, len(data), wire_length
    )
    comment = option(1, b"a comment", order) + option(0, b"", order)
    return block(6, header + data + bytes(-len(data) % 4) + comment, order)


def obsolete(data: bytes, ticks: int, order: str = "<", interface: int = 0) -> bytes:
    header = struct.pack(
        order + "HH4I", interface, 3, ticks >> 32, ticks & 0xFFFFFFFF, len(data), len(data) + 9
    )
    return block(2, header + data, order)


def simple(data: bytes, wire_length: int, order: str = "<") -> bytes:
    return block(3, struct.pack(order + "I", wire_length) + data, order)
