"""The limits of our connection tracking zone, which are not OpenFlow's to set.

How many connections a zone holds and when it forgets them is said by Open vSwitch's own programs,
where it runs. Timeouts stay in its database; a limit is forgotten when it restarts, so both are
set on each connection of the switch. ovs-vsctl(8), ovs-vswitchd(8), ovs-vswitchd.conf.db(5).

What a full zone does was tried on both of the packet's ways: it is forwarded as ever, and stays
``+new``, so it is a candidate, and so are all that follow it.
"""

from __future__ import annotations

import logging
import re
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chamaleonet.config import Conntrack

log = logging.getLogger(__name__)

_PATIENCE = 5.0  # s
_CLOSING = 30  # s: nothing hangs on a connection that has ended
# Whatever a flow is judged by: these last as long as the engine keeps the flow.
_AS_LONG_AS_FLOWS = (
    "tcp_syn_sent", "tcp_syn_recv", "tcp_established", "udp_first", "udp_single", "udp_multiple",
    "icmp_first", "icmp_reply",
)  # fmt: skip
_AFTER_THE_END = ("tcp_fin_wait", "tcp_close_wait", "tcp_last_ack", "tcp_time_wait", "tcp_close")


def timeouts(conntrack: Conntrack, idle_timeout: int) -> dict[str, int]:
    """Return the zone's timeouts in seconds, by their names, sorted.

    Args:
        conntrack: the switch's settings; what they say of a timeout goes first.
        idle_timeout: after which the engine forgets a flow, ns.
    """
    idle = -(-idle_timeout // 10**9)
    policy: dict[str, int] = dict.fromkeys(_AS_LONG_AS_FLOWS, idle)
    policy.update(dict.fromkeys(_AFTER_THE_END, min(idle, _CLOSING)))
    policy.update(conntrack.timeouts.items())
    return {name: policy[name] for name in sorted(policy)}


def _zone(conntrack: Conntrack) -> str:
    return f"zone={conntrack.zone}"


def _provider(datapath: str) -> str:
    """Return what ovs-appctl calls a datapath; all bridges of a type share it."""
    return f"{datapath}@ovs-{datapath}"


def commands(conntrack: Conntrack, idle_timeout: int) -> list[list[str]]:
    """Return the commands that set the zone's limit and timeouts, as arguments."""
    datapath, zone = conntrack.datapath or "netdev", _zone(conntrack)
    record = ["--id=@d", "create", "Datapath", "datapath_version=0", "--"]
    policy = [f"{name}={value}" for name, value in timeouts(conntrack, idle_timeout).items()]
    return [
        # The record of a datapath is not there until somebody makes it.
        ["ovs-vsctl", "--", *record, "add", "Open_vSwitch", ".", "datapaths", f"{datapath}=@d"],
        ["ovs-vsctl", "--if-exists", "del-zone-tp", datapath, zone],
        ["ovs-vsctl", "add-zone-tp", datapath, zone, *policy],
        [
            "ovs-appctl", "dpctl/ct-set-limits", _provider(datapath),
            f"{zone},limit={conntrack.limit}",
        ],
    ]  # fmt: skip


def _run(*command: str) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=_PATIENCE, check=True,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return done.stdout


def configure(conntrack: Conntrack, idle_timeout: int) -> bool:
    """Set the zone's limit and timeouts, where Open vSwitch runs on this machine.

    What fails is logged: all goes on, with the limits that were there.

    Returns:
        whether they are set now.
    """
    if conntrack.datapath is None:
        return False
    record, *rest = commands(conntrack, idle_timeout)
    try:
        known = _run("ovs-vsctl", "get", "Open_vSwitch", ".", "datapaths")
        if f"{conntrack.datapath}=" not in known:
            rest.insert(0, record)
        for command in rest:
            _run(*command)
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or error
        log.warning("the zone's limit and timeouts cannot be set: %s", str(said).strip())
        return False
    return True


def connections(conntrack: Conntrack) -> int | None:
    """Return how many connections the zone holds, None where that cannot be told."""
    if conntrack.datapath is None:
        return None
    provider, zone = _provider(conntrack.datapath), _zone(conntrack)
    try:
        told = _run("ovs-appctl", "dpctl/ct-get-limits", provider, zone)
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(rf"^{zone},limit=\d+,count=(\d+)", told, re.MULTILINE)
    return int(found[1]) if found else None
