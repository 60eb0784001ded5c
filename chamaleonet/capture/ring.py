"""Packets from a network interface, through memory that is shared with the kernel.

A TPACKET_V3 receive ring (packet(7), Documentation/networking/packet_mmap.rst): the kernel fills
blocks with packets and hands each over when it is full, or some milliseconds after its first
packet. Nothing is copied: a batch points into the ring until the next one is asked for.
"""

from __future__ import annotations

import contextlib
import mmap
import socket
import sys
from typing import TYPE_CHECKING, Self

import numpy as np

from chamaleonet.capture.batch import PacketBatch
from chamaleonet.capture.link import LinkType
from chamaleonet.capture.packetsocket import BLOCK_BYTES, BLOCKS, Statistics, open_socket
from chamaleonet.capture.words import u16, u32
from chamaleonet.kernels import inlined, kernel

if TYPE_CHECKING:
    from collections.abc import Generator

    from numpy.typing import NDArray

# linux/if_packet.h
_STATUS_KERNEL, _STATUS_USER = 0, 1

# struct tpacket_block_desc
_BLOCK_STATUS, _BLOCK_PACKETS, _BLOCK_FIRST, _BLOCK_SEQUENCE, _BLOCK_HEADER = 8, 12, 16, 24, 48
# struct tpacket3_hdr, and the struct sockaddr_ll after it
_NEXT, _SECONDS, _NANOSECONDS, _CAPTURED, _LENGTH, _STATUS, _MAC = 0, 4, 8, 12, 16, 20, 24
_VLAN_TCI, _VLAN_TPID, _PACKET_TYPE, _PACKET_HEADER = 32, 36, 48 + 10, 48 + 20
_VLAN_VALID, _VLAN_TPID_VALID = 1 << 4, 1 << 6
_OUTGOING = 4

_TAG = 4  # bytes of an 802.1Q tag
_ADDRESSES = 12  # bytes of the two MAC addresses before it
_TAG_8021Q, _TAG_8021AD, _ETHERTYPE_IPV4, _ETHERTYPE_IPV6 = 0x8100, 0x88A8, 0x0800, 0x86DD
_BIG = sys.byteorder == "big"


@inlined
def _ip_end(buffer: NDArray[np.uint8], at: int, length: int) -> int:
    """Return where the IP packet in an Ethernet frame says that it ends, 0 if it is none.

    It is counted from the frame's first byte.
    """
    network = 14
    if length < network:
        return 0
    kind = u16(buffer, at + 12, True)
    while kind in (_TAG_8021Q, _TAG_8021AD) and length >= network + _TAG:
        kind = u16(buffer, at + network + 2, True)
        network += _TAG
    if kind == _ETHERTYPE_IPV4 and length >= network + 4:
        return network + u16(buffer, at + network + 2, True)
    if kind == _ETHERTYPE_IPV6 and length >= network + 6:
        return network + 40 + u16(buffer, at + network + 4, True)
    return 0


@inlined
def _insert_tag(buffer: NDArray[np.uint8], at: int, tpid: int, tci: int) -> int:
    """Put a VLAN tag back and return where the frame begins now: _TAG bytes earlier."""
    start = at - _TAG
    for i in range(_ADDRESSES):
        buffer[start + i] = buffer[at + i]
    tag = start + _ADDRESSES
    buffer[tag], buffer[tag + 1] = tpid >> 8, tpid & 255
    buffer[tag + 2], buffer[tag + 3] = tci >> 8, tci & 255
    return start


@kernel
def _walk_block(
    ring: NDArray[np.uint8],
    block: int,
    block_bytes: int,
    offset: NDArray[np.int64],
    length: NDArray[np.int32],
    wire_length: NDArray[np.int32],
    time: NDArray[np.int64],
) -> int:
    """Index the packets of one block into columns of a PacketBatch and return their number."""
    end = block + block_bytes
    packets = u32(ring, block + _BLOCK_PACKETS, _BIG)
    at = block + u32(ring, block + _BLOCK_FIRST, _BIG)
    count = 0
    for _ in range(packets):
        if at + _PACKET_HEADER > end or count == len(offset):
            break
        start = at + u16(ring, at + _MAC, _BIG)
        captured = u32(ring, at + _CAPTURED, _BIG)
        wire = u32(ring, at + _LENGTH, _BIG)
        if start + captured > end:
            break
        if ring[at + _PACKET_TYPE] != _OUTGOING:
            status = u32(ring, at + _STATUS, _BIG)
            if status & _VLAN_VALID and captured >= _ADDRESSES:
                # The kernel keeps the tag beside the packet; room for it was reserved.
                tpid = _TAG_8021Q
                if status & _VLAN_TPID_VALID:
                    tpid = u16(ring, at + _VLAN_TPID, _BIG)
                start = _insert_tag(ring, start, tpid, u32(ring, at + _VLAN_TCI, _BIG))
                captured += _TAG
                wire += _TAG
            offset[count] = start
            length[count] = captured
            # A switch that copies a packet's first bytes only makes a shorter frame of them.
            wire_length[count] = max(wire, _ip_end(ring, start, captured))
            seconds = np.int64(u32(ring, at + _SECONDS, _BIG))
            time[count] = seconds * 1_000_000_000 + u32(ring, at + _NANOSECONDS, _BIG)
            count += 1
        following = u32(ring, at + _NEXT, _BIG)
        if following == 0:
            break
        at += following
    return count


def warm_up() -> None:
    """Have the kernel compiled or loaded: it may take longer than a ring lasts."""
    wide, narrow = np.empty(0, np.int64), np.empty(0, np.int32)
    _walk_block(np.zeros(_BLOCK_HEADER, np.uint8), 0, 0, wide, narrow, narrow, wide)


class Ring:
    """Receives every packet that comes in by an interface; what it sends itself is left out.

    VLAN tags are where they were on the wire, and the wire length of a frame that the switch has
    truncated is the one that its IP header tells. Use it as a context manager.

    Args:
        interface: name of an Ethernet interface, or ``lo``; or a socket from ``open_socket`` with
            as many blocks. Whoever had the ring before may have died: the blocks that were not
            handed back come first.
        blocks: how many blocks the ring has.
        block_bytes: bytes of a block, a multiple of the page size. A packet that does not fit is
            truncated by the kernel.
        retire: ms after its first packet that a block is handed over though it is not full.

    Raises:
        UserError: there is no such interface, it is no Ethernet, or the process may not.
    """

    def __init__(
        self, interface: str | socket.socket, *, blocks: int = BLOCKS,
        block_bytes: int = BLOCK_BYTES, retire: int = 10,
    ) -> None:  # fmt: skip
        warm_up()
        if isinstance(interface, str):
            interface = open_socket(
                interface, blocks=blocks, block_bytes=block_bytes, retire=retire
            )
        self._socket = interface
        self._blocks, self._block_bytes = blocks, block_bytes
        self._statistics = Statistics(self._socket)
        rows = block_bytes // _PACKET_HEADER
        self._offset = np.empty(rows, np.int64)
        self._length = np.empty(rows, np.int32)
        self._wire_length = np.empty(rows, np.int32)
        self._time = np.empty(rows, np.int64)
        self._link = np.full(rows, LinkType.ETHERNET, np.uint16)
        self._map = mmap.mmap(self._socket.fileno(), blocks * block_bytes)
        self._ring = np.frombuffer(self._map, np.uint8)
        self._block = self._oldest()  # the next to be handed over

    def _oldest(self) -> int:
        """Return the block that was filled first, of those not handed back; or is being filled."""
        blocks = self._ring.reshape(self._blocks, self._block_bytes)
        # In this order: what the kernel hands over in between is seen to be ours.
        sequence = blocks[:, _BLOCK_SEQUENCE : _BLOCK_SEQUENCE + 8].copy().view(np.uint64)[:, 0]
        status = blocks[:, _BLOCK_STATUS : _BLOCK_STATUS + 4].copy().view(np.uint32)[:, 0]
        ours = np.flatnonzero(status & _STATUS_USER)
        return int(ours[sequence[ours].argmin()] if len(ours) else sequence.argmax())

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when a batch is ready."""
        return self._socket.fileno()

    def batches(self) -> Generator[PacketBatch, None, None]:
        """Yield what is ready, one block at a time, without waiting.

        A batch is valid until the next is asked for. At most one round of the ring is handed out,
        so that a caller with other duties gets to them.
        """
        # An interface that went down leaves an error that would keep the descriptor readable.
        self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        for _ in range(self._blocks):
            start = self._block * self._block_bytes
            status = self._ring[start + _BLOCK_STATUS : start + _BLOCK_STATUS + 4].view(np.uint32)
            if not status[0] & _STATUS_USER:
                return
            try:
                count = self._index(start)
                if count:
                    yield PacketBatch(
                        self._ring,
                        self._offset[:count],
                        self._length[:count],
                        self._wire_length[:count],
                        self._time[:count],
                        self._link[:count],
                    )
            finally:
                status[0] = _STATUS_KERNEL
                self._block = (self._block + 1) % self._blocks

    def _index(self, start: int) -> int:
        """Index the packets of the block at ``start`` and return their number."""
        return _walk_block(
            self._ring, start, self._block_bytes,
            self._offset, self._length, self._wire_length, self._time,
        )  # fmt: skip

    @property
    def received(self) -> int:
        """Packets that came in by the interface so far, dropped ones included."""
        return self._statistics.received

    @property
    def dropped(self) -> int:
        """Packets that the kernel dropped so far because the ring was full."""
        return self._statistics.dropped

    def close(self) -> None:
        """Give the ring back; batches are no longer valid."""
        self._socket.close()
        del self._ring
        with contextlib.suppress(BufferError):  # a batch still points into it
            self._map.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
