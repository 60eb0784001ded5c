"""A network and an Open vSwitch of one's own, for a process that runs as root.

Processes that do so can run side by side without sharing ports, interfaces or bridges, and touch
nothing of the machine's.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

_CLONE_NEWNS, _CLONE_NEWNET = 0x00020000, 0x40000000
_RUN = Path("/run/openvswitch")
# Where Open vSwitch keeps its sockets, its database and its logs.
_DIRECTORIES = (_RUN, Path("/etc/openvswitch"), Path("/var/log/openvswitch"))
_PATIENCE = 10.0  # s


def isolate() -> bool:
    """Enter namespaces that end with this process and its children; tell whether that is allowed.

    Who lacks the right cannot build a network either.
    """
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return False
    if ctypes.CDLL(None).unshare(_CLONE_NEWNS | _CLONE_NEWNET):
        return False
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for directory in _DIRECTORIES:
        directory.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", directory], check=True)
    return True


def stop_switch() -> None:
    """End the Open vSwitch that was started here."""
    for name in ("ovs-vswitchd", "ovsdb-server"):
        with suppress(FileNotFoundError, ProcessLookupError):
            pid = int((_RUN / f"{name}.pid").read_text())
            os.kill(pid, signal.SIGTERM)
            deadline = time.monotonic() + _PATIENCE
            while time.monotonic() < deadline:  # it is no child of ours: there is no waiting for it
                os.kill(pid, 0)
                time.sleep(0.05)
