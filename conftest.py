"""As root, each process that runs tests gets a network and an Open vSwitch of its own.

So tests can run side by side without sharing ports, interfaces or bridges, and touch nothing of
the machine's.
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


def pytest_configure(config):
    runs_tests = hasattr(config, "workerinput") or not config.getoption("numprocesses", None)
    if runs_tests and os.geteuid() == 0 and shutil.which("ip") and _isolate():
        config.add_cleanup(_stop_switch)


def _isolate():
    """Enter namespaces that end with this process and its children; tell whether that is allowed.

    Who lacks the right cannot build a network for tests either.
    """
    if ctypes.CDLL(None).unshare(_CLONE_NEWNS | _CLONE_NEWNET):
        return False
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for directory in _DIRECTORIES:
        directory.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", directory], check=True)
    return True


def _stop_switch():
    """End the Open vSwitch that tests have started here."""
    for name in ("ovs-vswitchd", "ovsdb-server"):
        with suppress(FileNotFoundError, ProcessLookupError):
            pid = int((_RUN / f"{name}.pid").read_text())
            os.kill(pid, signal.SIGTERM)
            deadline = time.monotonic() + _PATIENCE
            while time.monotonic() < deadline:  # it is no child of ours: there is no waiting for it
                os.kill(pid, 0)
                time.sleep(0.05)
