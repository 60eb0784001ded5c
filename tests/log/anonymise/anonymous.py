"""Packets before and after anonymisation, and checksums, for the tests of it."""

from __future__ import annotations

import ipaddress
import struct

import numpy as np

from chamaleonet.flows.records import CAPTURED
from chamaleonet.log.anonymise.anonymiser import Anonymiser
from chamaleonet.log.anonymise.cryptopan import CryptoPan

KEY = bytes(range(32))
INTERNAL = (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("2001:db8::/32"))
# Kept as they are: only what is blanked differs.
NOTHING = Anonymiser(KEY, exclude=tuple(map(ipaddress.ip_network, ("0.0.0.0/0", "::/0"))))
SOME = Anonymiser(KEY, internal=INTERNAL)
ALL = Anonymiser(KEY, addresses="all")


def captured(data, link=1, wire_length=None):
    """Return CAPTURED, shape (1,), and its bytes."""
    record = np.zeros(1, CAPTURED)
    record["length"], record["link"] = len(data), link
    record["wire_length"] = len(data) if wire_length is None else wire_length
    return record, np.frombuffer(bytes(data), np.uint8)


def anonymised(data, link=101, by=SOME):
    """Return what becomes of a packet's bytes."""
    packets, out = by.packets(*captured(data, link))
    assert packets["offset"] == 0
    assert packets["length"] == len(out)
    return out.tobytes()


def mapped(address):
    """Return what Crypto-PAn makes of an address, both as text."""
    address = ipaddress.ip_address(address)
    if address.version == 4:
        [number] = CryptoPan(KEY).ipv4(np.array([int(address)], np.uint64)).tolist()
        return str(ipaddress.IPv4Address(number))
    words = np.array([[int(address) >> 64, int(address) & (1 << 64) - 1]], np.uint64)
    [[high, low]] = CryptoPan(KEY).ipv6(words).tolist()
    return str(ipaddress.IPv6Address(high << 64 | low))


def internet_sum(data):
    """Return the one's complement sum of RFC 1071: 0xFFFF over what a right checksum is part of."""
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def transport_sum(packet, protocol, at):
    """Return the sum over a whole IP packet's transport part, from ``at``, and pseudo-header."""
    segment = packet[at:]
    if protocol == 1:
        return internet_sum(segment)
    ends = packet[12:20] if packet[0] >> 4 == 4 else packet[8:40]
    return internet_sum(ends + struct.pack(">IHBB", len(segment), 0, 0, protocol) + segment)
