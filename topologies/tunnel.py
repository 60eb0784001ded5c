"""One end of a tunnel: what enters its interface leaves in UDP to the other end, as it is.

But for multicast: what a kernel tells its neighbours (MLD, router solicitations) nobody answers, so
the tunnel itself would look like one that is dead.

Usage: tunnel.py INTERFACE HERE THERE

It ends when its standard input does.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import socket
import struct
import sys

PORT = 1194
_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 1, 0x1000


def open_tunnel(name: str) -> int:
    """Return a descriptor for the packets of a tun interface."""
    descriptor = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH", name.encode(), _IFF_TUN | _IFF_NO_PI))
    return descriptor


def is_multicast(packet: bytes) -> bool:
    """Tell whether an IP packet is for a group (RFC 5771, RFC 4291)."""
    return packet[16] >> 4 == 0xE if packet[0] >> 4 == 4 else packet[24] == 0xFF


def carry(name: str, here: str, there: str) -> None:
    inner = open_tunnel(name)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as outer:
        outer.bind((here, PORT))
        while True:
            ready, _, _ = select.select([sys.stdin, inner, outer], [], [])
            if sys.stdin in ready:
                return
            if inner in ready:
                packet = os.read(inner, 65535)
                with contextlib.suppress(OSError):  # the other end is out of reach: lost
                    if not is_multicast(packet):
                        outer.sendto(packet, (there, PORT))
            if outer in ready:
                with contextlib.suppress(OSError):  # told of an ICMP error, or no IP packet
                    os.write(inner, outer.recv(65535))


if __name__ == "__main__":
    carry(*sys.argv[1:])
