"""Packet sockets with a TPACKET_V3 receive ring (packet(7)), and what the kernel counts of them."""

from __future__ import annotations

import contextlib
import socket
import struct

from chamaleonet.errors import UserError

# linux/if_packet.h, linux/if_ether.h, linux/if_arp.h
_SOL_PACKET, _ETH_P_ALL = 263, 0x0003
_ADD_MEMBERSHIP, _RX_RING, _STATISTICS, _VERSION, _RESERVE = 1, 5, 6, 10, 12
_IGNORE_OUTGOING = 23
_SO_ATTACH_FILTER = 26  # asm-generic/socket.h
_TPACKET_V3, _MR_PROMISCUOUS = 2, 1
_ETHERNET_HARDWARE = (1, 772)  # Ethernet, loopback

BLOCKS, BLOCK_BYTES = 128, 1 << 18
_TAG = 4  # bytes of an 802.1Q tag


def open_socket(
    interface: str, *, blocks: int = BLOCKS, block_bytes: int = BLOCK_BYTES, retire: int = 10,
    accept: bytes | None = None,
) -> socket.socket:  # fmt: skip
    """Return a packet socket with a ring; it takes all that comes in by the interface from now on.

    Args:
        interface: as Ring's.
        blocks: as Ring's.
        block_bytes: as Ring's.
        retire: as Ring's.
        accept: a struct sock_fprog that says which packets are let in; without one, all.

    Raises:
        UserError: there is no such interface, it is no Ethernet, or the process may not.
    """
    try:
        connection = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    except PermissionError:
        raise UserError(
            f"{interface}: capturing packets needs root or the capability CAP_NET_RAW"
        ) from None
    try:
        if accept is not None:
            connection.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, accept)
        _set_up(connection, interface, blocks, block_bytes, retire)
    except OSError as error:
        connection.close()
        raise UserError(f"{interface}: cannot capture: {error.strerror}") from error
    except UserError:
        connection.close()
        raise
    return connection


def _set_up(
    connection: socket.socket, interface: str, blocks: int, block_bytes: int, retire: int
) -> None:
    connection.setblocking(False)
    connection.setsockopt(_SOL_PACKET, _VERSION, _TPACKET_V3)
    connection.setsockopt(_SOL_PACKET, _RESERVE, _TAG)
    with contextlib.suppress(OSError):  # spares work where Linux is 4.20 or later
        connection.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
    frame_bytes = 2048  # TPACKET_V3 asks for it and packs frames more densely
    # struct tpacket_req3
    request = struct.pack(
        "7I", block_bytes, blocks, frame_bytes, blocks * block_bytes // frame_bytes, retire, 0, 0
    )
    connection.setsockopt(_SOL_PACKET, _RX_RING, request)
    # Bound last, so that no packet of another interface gets in.
    connection.bind((interface, _ETH_P_ALL))
    if connection.getsockname()[3] not in _ETHERNET_HARDWARE:
        raise UserError(f"{interface}: cannot capture: not an Ethernet interface")
    index = socket.if_nametoindex(interface)
    # struct packet_mreq; undone by the kernel when the socket is closed
    connection.setsockopt(
        _SOL_PACKET, _ADD_MEMBERSHIP, struct.pack("iHH8x", index, _MR_PROMISCUOUS, 0)
    )


class Statistics:
    """What the kernel counts of a packet socket; one alone may ask, for asking sets it to zero."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._received = self._dropped = 0

    def _add_up(self) -> None:
        # struct tpacket_stats_v3
        statistics = self._socket.getsockopt(_SOL_PACKET, _STATISTICS, 12)
        received, dropped, _ = struct.unpack("3I", statistics)
        self._received += received
        self._dropped += dropped

    @property
    def received(self) -> int:
        """Packets that came in so far, dropped ones included."""
        self._add_up()
        return self._received

    @property
    def dropped(self) -> int:
        """Packets that the kernel dropped so far because the ring was full."""
        self._add_up()
        return self._dropped
