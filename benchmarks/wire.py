"""Frames of many failing flows, and a sender that is as fast as the system lets it be."""

from __future__ import annotations

import ctypes
import os
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.frames import ETHERNET, IPV4, SYN, TCP, TCP_PROTOCOL
from chamaleonet.capture.batch import PacketBatch
from chamaleonet.capture.link import LinkType
from chamaleonet.flows.engine import Engine, Settings
from chamaleonet.flows.transitions import State

if TYPE_CHECKING:
    import socket

    from numpy.typing import NDArray

_SOL_PACKET, _QDISC_BYPASS = 263, 20
_MOST = 1024  # UIO_MAXIOV: messages of one sendmmsg(2)
# struct iovec; struct mmsghdr
_IOVEC = np.dtype([("base", np.uint64), ("length", np.uint64)])
_MESSAGE = np.dtype(
    [
        ("name", np.uint64), ("name_length", np.uint64),
        ("iovec", np.uint64), ("iovecs", np.uint64),
        ("control", np.uint64), ("control_length", np.uint64),
        ("flags", np.uint64), ("sent", np.uint64),
    ]
)  # fmt: skip
_OPTIONS = bytes.fromhex("020405b40402080a000000010000000001030307")  # MSS, SACK, time, scale


def syns(flows: int, size: int, first: int = 0) -> NDArray[np.uint8]:
    """Return the SYN of each of so many flows, filled up to ``size`` bytes: shape (flows, size).

    The flows are those from number ``first`` on; each number is another flow.
    """
    header = np.zeros(flows, np.dtype([("link", ETHERNET), ("ip", IPV4), ("tcp", TCP)]))
    header["link"]["destination"] = 2, 0, 0, 0, 0, 2
    header["link"]["source"] = 2, 0, 0, 0, 0, 1
    header["link"]["type"] = 0x0800
    number = np.arange(first, first + flows)
    for name, value in (
        ("version_ihl", 0x45), ("length", size - ETHERNET.itemsize), ("ttl", 64),
        ("protocol", TCP_PROTOCOL), ("source", 0x0A000001 + number // 64),
        ("destination", 0xC6120001 + number % 64),
    ):  # fmt: skip
        header["ip"][name] = value
    for name, value in (
        ("source", 1024 + number % 60000), ("destination", 443), ("data_offset", 0xA0),
        ("flags", SYN), ("window", 501),
    ):  # fmt: skip
        header["tcp"][name] = value
    header["tcp"]["options"] = np.frombuffer(_OPTIONS, np.uint8)
    frames = np.full((flows, size), 0xEE, np.uint8)
    frames[:, : header.itemsize] = header.view(np.uint8).reshape(flows, header.itemsize)
    return frames


def in_disorder(frames: NDArray[np.uint8], packets: int) -> NDArray[np.uint8]:
    """Return so many frames, each flow's as often, in an order that nobody can foresee."""
    order = np.random.default_rng(1).permutation(packets) % len(frames)
    return frames[order]


def as_batch(frames: NDArray[np.uint8], times: NDArray[np.int64] | int) -> PacketBatch:
    """Return frames (n, size) as a batch, each at its time or all at one, ns."""
    number, size = frames.shape
    length = np.full(number, size, np.int32)
    return PacketBatch(
        buffer=frames.reshape(-1),
        offset=np.arange(number, dtype=np.int64) * size,
        length=length,
        wire_length=length,
        time=np.full(number, times, np.int64),
        link=np.full(number, LinkType.ETHERNET, np.uint16),
    )


def unanswered(frames: NDArray[np.uint8], judged: int) -> NDArray[Any]:
    """Return the flows that these frames open, as they are when nobody answered: FLOW."""
    settings = Settings(max_flows=2 * len(frames))
    engine = Engine(settings)
    for _ in engine.judge(as_batch(frames, judged - settings.timeout)):
        pass
    for _ in engine.advance(judged):
        pass
    return engine.live_flows((State.UNANSWERED,))


class Sender:
    """Sends the same frames from memory, again and again.

    Args:
        connection: a packet socket that is bound to an interface.
        frames: shape (n, size).
    """

    def __init__(self, connection: socket.socket, frames: NDArray[np.uint8]) -> None:
        self._socket, self._frames = connection, np.ascontiguousarray(frames)
        number, size = frames.shape
        self._iovecs = np.zeros(number, _IOVEC)
        self._iovecs["base"] = self._frames.ctypes.data + np.arange(number) * size
        self._iovecs["length"] = size
        self._messages = np.zeros(number, _MESSAGE)
        self._messages["iovec"] = self._iovecs.ctypes.data + np.arange(number) * _IOVEC.itemsize
        self._messages["iovecs"] = 1
        # The queue in front of a cable that has none would cost time, and lose packets.
        connection.setsockopt(_SOL_PACKET, _QDISC_BYPASS, 1)
        self._library = ctypes.CDLL(None, use_errno=True)

    def send(self, packets: int) -> float:
        """Send so many packets and return how many seconds it took."""
        at, left = 0, packets
        begin = time.perf_counter()
        while left:
            sent = self._library.sendmmsg(
                self._socket.fileno(),
                ctypes.c_void_p(self._messages.ctypes.data + at * _MESSAGE.itemsize),
                min(_MOST, left, len(self._messages) - at),
                0,
            )
            if sent < 0:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            left -= sent
            at = (at + sent) % len(self._messages)
        return time.perf_counter() - begin
