"""A long wire: takes frames from one interface to another, later, and not all of them.

Usage: relay.py INTERFACE INTERFACE DELAY LOSS SEED

DELAY is in seconds, one way; LOSS is the share of frames that are lost, drawn from SEED. It ends
when its standard input does.
"""

from __future__ import annotations

import contextlib
import random
import select
import socket
import sys
import time
from collections import deque

_EVERYTHING = 3  # ETH_P_ALL
_SOL_PACKET, _ADD_MEMBERSHIP, _IGNORE_OUTGOING = 263, 1, 23
_PROMISCUOUS = 1
_SO_RCVBUFFORCE = 33
_AT_ONCE = 64  # frames, before the other direction has its turn


def open_interface(name: str) -> socket.socket:
    """Return a socket for all frames that come in on an interface, and for any to go out."""
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)  # deaf until it is set up
    raw.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 1 << 24)
    raw.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
    index = socket.if_nametoindex(name)
    membership = index.to_bytes(4, sys.byteorder) + _PROMISCUOUS.to_bytes(2, sys.byteorder)
    raw.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, membership.ljust(16, b"\0"))
    raw.bind((name, _EVERYTHING))
    raw.setblocking(False)
    return raw


class Direction:
    """Frames on their way from one socket to the other."""

    def __init__(self, source, target, delay: float, loss: float, seed: str) -> None:
        self._source, self._target = source, target
        self._delay, self._loss, self._random = delay, loss, random.Random(seed)
        self._under_way: deque[tuple[float, bytes]] = deque()

    def take(self) -> None:
        """Take in what has come."""
        with contextlib.suppress(BlockingIOError):
            for _ in range(_AT_ONCE):
                frame = self._source.recv(65535)
                if self._random.random() >= self._loss:
                    self._under_way.append((time.monotonic() + self._delay, frame))

    def give(self) -> None:
        """Hand over what has arrived by now."""
        while self._under_way and self._under_way[0][0] <= time.monotonic():
            with contextlib.suppress(BlockingIOError):  # the other end does not take it: lost
                self._target.send(self._under_way.popleft()[1])

    def due(self) -> float | None:
        """Return when the next frame arrives, or None if there is none."""
        return self._under_way[0][0] if self._under_way else None


def relay(one: str, other: str, delay: float, loss: float, seed: str) -> None:
    left, right = open_interface(one), open_interface(other)
    directions = {
        left: Direction(left, right, delay, loss, f"{seed} there"),
        right: Direction(right, left, delay, loss, f"{seed} back"),
    }
    while True:
        dues = [due for each in directions.values() if (due := each.due()) is not None]
        wait = max(0.0, min(dues) - time.monotonic()) if dues else None
        ready, _, _ = select.select([sys.stdin, *directions], [], [], wait)
        if sys.stdin in ready:
            return
        for each in ready:
            directions[each].take()
        for each in directions.values():
            each.give()


if __name__ == "__main__":
    with contextlib.suppress(OSError):  # an interface is gone: so is the network
        relay(sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4]), sys.argv[5])
