"""A network namespace that lives as long as the thread that entered it, for tests by root."""

from __future__ import annotations

import ctypes
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

_CLONE_NEWNET = 0x40000000

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root for network namespaces")


def _unshare():
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "cannot make a network namespace")


class Namespace:
    """A fresh network namespace; sockets and processes made by ``call`` are in it."""

    def __init__(self):
        self._thread = ThreadPoolExecutor(1, initializer=_unshare)

    def call(self, function, *arguments, **named):
        return self._thread.submit(function, *arguments, **named).result()

    def ip(self, *command):
        self.call(subprocess.run, ["ip", *command], check=True)

    def veth(self, one, two):
        """Make two interfaces that are joined by a cable, quiet but for what tests send."""
        self.ip("link", "add", one, "type", "veth", "peer", "name", two)
        for end in (one, two):
            self.ip("link", "set", end, "addrgenmode", "none")  # no neighbour discovery
            self.ip("link", "set", end, "arp", "off")
            self.ip("link", "set", end, "up")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._thread.shutdown()
