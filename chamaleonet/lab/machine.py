"""What the machine must have: root, programs, Mininet, Open vSwitch."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from chamaleonet.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable

DIST_PACKAGES = "/usr/lib/python3/dist-packages"  # where Debian's Mininet lies
_SYSTEM_FOLDERS = ("/usr/sbin", "/sbin")  # not on everyone's PATH
# Debian's package of a program, where it is called otherwise.
_PACKAGES = {
    "dig": "bind9-dnsutils", "dnsmasq": "dnsmasq-base", "ip": "iproute2", "mnexec": "mininet",
    "nft": "nftables", "ovs-ofctl": "openvswitch-common", "ovs-vsctl": "openvswitch-switch",
    "ping": "iputils-ping", "ss": "iproute2", "sysctl": "procps",
    "ntpdate": "ntpsec-ntpdate", "ntpd": "ntpsec", "chronyd": "chrony", "ssh": "openssh-client",
    "sshd": "openssh-server", "nc": "netcat-openbsd",
}  # fmt: skip


def check(command: str, programs: Iterable[str]) -> None:
    """Make sure that a network can be built and the programs can be run.

    Args:
        command: whose error it is, such as ``demo``.
        programs: by name or path.

    Raises:
        UserError: what is missing, and what to do about it.
    """
    if os.geteuid() != 0:
        again = " ".join(["sudo", sys.executable, "-m", "chamaleonet", *sys.argv[1:]])
        raise UserError(f"{command}: network namespaces and Open vSwitch need root; run: {again}")
    path = os.environ.get("PATH", os.defpath).split(os.pathsep)
    more = [folder for folder in _SYSTEM_FOLDERS if folder not in path]
    os.environ["PATH"] = os.pathsep.join(path + more)
    if absent := sorted({name for name in programs if shutil.which(name) is None}):
        packages = " ".join(dict.fromkeys(_PACKAGES.get(name, name) for name in absent))
        raise UserError(
            f"{command}: not installed: {', '.join(absent)} (run: apt-get install {packages})"
        )
    mininet()
    if not switch_runs():
        raise UserError(f"{command}: Open vSwitch does not run: service openvswitch-switch start")


def mininet() -> Any:
    """Import Mininet, which is no package of this environment.

    Raises:
        UserError: it is not installed.
    """
    if DIST_PACKAGES not in sys.path:
        sys.path.append(DIST_PACKAGES)
    try:
        import mininet.net
        import mininet.node
    except ImportError:
        raise UserError("Mininet is missing; install it: apt-get install mininet") from None
    return mininet


def switch_runs() -> bool:
    """Tell whether Open vSwitch runs, after starting it if it is installed and does not."""
    # A fresh machine without systemd has it installed, but not running.
    show = ("ovs-vsctl", "-t", "5", "show")
    return _succeeds(*show) or (
        _succeeds("service", "openvswitch-switch", "start") and _succeeds(*show)
    )


def _succeeds(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def run(*command: str) -> str:
    """Run a command on this machine; return what it printed.

    Raises:
        UserError: it failed; with what it said.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"{' '.join(command)}: {done.stderr.strip() or done.returncode}")
    return done.stdout
