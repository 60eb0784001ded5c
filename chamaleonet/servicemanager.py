"""What systemd is told by the processes that it runs (sd_notify(3)): nothing where it does not."""

from __future__ import annotations

import contextlib
import os
import socket
import time


def notify(state: str) -> None:
    """Send a state, such as READY=1, to the service manager if there is one."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out, contextlib.suppress(OSError):
            out.connect(address.replace("@", "\0", 1))  # @ stands for an abstract one
            out.sendall(state.encode())


def reloading() -> None:
    """Tell that the configuration is being read again; READY=1 is to follow."""
    notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")


class Watchdog:
    """Feeds the service manager's watchdog, at half the time that it would wait."""

    def __init__(self) -> None:
        self._every = int(os.environ.get("WATCHDOG_USEC") or 0) / 2e6
        self._fed = 0.0

    def feed(self, now: float) -> None:
        """Say that the process is alive; ``now`` is time.monotonic()."""
        if self._every and now - self._fed >= self._every:
            self._fed = now
            notify("WATCHDOG=1")
