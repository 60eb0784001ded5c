"""Raw sockets in other network namespaces."""

from __future__ import annotations

import ctypes
import os
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_CLONE_NEWNET = 0x40000000
_ALL = 3  # ETH_P_ALL


@contextmanager
def entered(pid: int) -> Iterator[None]:
    """Let the calling thread be in a process's network namespace meanwhile.

    Raises:
        OSError: there is no such process, or that is not allowed.
    """
    libc = ctypes.CDLL(None, use_errno=True)

    def enter(namespace: int) -> None:
        if libc.setns(namespace, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")

    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        there = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            enter(there)
        finally:
            os.close(there)
        try:
            yield
        finally:
            enter(home)
    finally:
        os.close(home)


def packet_socket(interface: str, *, hears: bool = True) -> socket.socket:
    """Return a raw socket on an interface of this thread's namespace; it stays there.

    Args:
        interface: its name.
        hears: it gets all frames of the interface; else it can only send.

    Raises:
        OSError: there is no such interface, or that is not allowed.
    """
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL) if hears else 0)
    try:
        raw.bind((interface, 0))  # 0: the protocol stays
    except OSError:
        raw.close()
        raise
    return raw
