"""TCP segments for a live switch, one by one, with right checksums: its tracker looks at them."""

from __future__ import annotations

import struct
from ipaddress import ip_address

CLIENT_MAC, SERVER_MAC = b"\x02\0\0\0\x0c\x01", b"\x02\0\0\0\x0c\x02"
SYN, ACK = 2, 16


def checksum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def tcp_frame(source: str, target: str, sport: int, dport: int, flags: int, seq: int, ack: int,
              size: int = 0, *, back: bool = False) -> bytes:  # fmt: skip
    """Return an Ethernet frame with a TCP segment whose checksums are right."""
    addresses = ip_address(source).packed + ip_address(target).packed
    segment = struct.pack("!HHIIBBHHH", sport, dport, seq, ack, 80, flags, 65535, 0, 0)
    segment += bytes(size)
    pseudo = addresses + struct.pack("!HH", 6, len(segment))
    padded = segment + bytes(len(segment) % 2)
    segment = segment[:16] + struct.pack("!H", checksum(pseudo + padded)) + segment[18:]
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(segment), 0, 0x4000, 64, 6, 0) + addresses
    header = header[:10] + struct.pack("!H", checksum(header)) + header[12:]
    ends = CLIENT_MAC + SERVER_MAC if back else SERVER_MAC + CLIENT_MAC
    return ends + b"\x08\0" + header + segment


def address(network: int, number: int) -> str:
    return str(ip_address((network << 24) + number))
