"""Checks of our programs, by what they export, and of the addresses that they want."""

from __future__ import annotations

import hashlib
import re
from ipaddress import ip_address
from typing import TYPE_CHECKING

from chamaleonet.config import dump
from chamaleonet.doctor.check import Check, Context, Result, Skip, fail, ok, warn
from chamaleonet.metrics import CAUSES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chamaleonet.config import Endpoint

# Packets that are rightly passed over; all other causes are losses.
_PASSED_OVER = (
    "not_erroneous", "non_ip", "malformed", "fragments", "excluded", "icmp_info",
)  # fmt: skip
_REMEDIES = {
    "ring_full": "give the process a processor of its own, or narrow the scope",
    "flow_table_full": "raise max_flows",
    "redirect_rules_full": "raise the switch's redirect.max_rules",
    "stream_queue_full": "configure stream.spool, or raise stream.queue",
    "stream_spool_full": "start the logger, or raise stream.spool.size",
    "disk_full": "make room for logger.directory",
}
_LISTEN = "0A"  # TCP_LISTEN in /proc/net/tcp, proc(5)


def _programs(ctx: Context) -> Iterator[tuple[str, str | None]]:
    metrics = ctx.config.metrics
    for name, endpoint in (("controller", metrics.controller), ("logger", metrics.logger)):
        yield name, ctx.machine.metrics(endpoint)


def samples(text: str, name: str) -> list[tuple[dict[str, str], float]]:
    """Return a metric's samples: (labels, value)."""
    found = re.findall(rf"^chamaleonet_{name}(?:{{(.*)}})? (\S+)$", text, re.MULTILINE)
    return [(dict(re.findall(r'(\w+)="([^"]*)"', labels)), float(value)) for labels, value in found]


def _running(ctx: Context) -> Result:
    digest = hashlib.sha256(dump(ctx.config).encode()).hexdigest()[:16]
    running = {name: text for name, text in _programs(ctx) if text is not None}
    for name, text in running.items():
        theirs = [labels.get("sha256") for labels, _ in samples(text, "config_info")]
        if ctx.file is not None and theirs != [digest]:
            return warn(
                f"the {name} runs with another configuration than {ctx.file}", f"restart the {name}"
            )
    missing = [name for name in ("controller", "logger") if name not in running]
    if "controller" in missing:
        command = f"chamaleonet run --config {ctx.name_of_file}"
        return warn(f"not running: {', '.join(missing)}", f"start it: {command}")
    if missing and ctx.config.logger.interface is not None:
        return warn("not running: logger", f"chamaleonet log --config {ctx.name_of_file}")
    return ok(f"running: {', '.join(running)}")


def _drops(ctx: Context) -> Result:
    texts = [(name, text) for name, text in _programs(ctx) if text is not None]
    if not texts:
        raise Skip("neither controller nor logger runs")
    lost = [
        (value, name, labels.get("cause", ""))
        for name, text in texts
        for labels, value in samples(text, "dropped_total")
        if value > 0 and labels.get("cause") not in _PASSED_OVER
    ]
    if not lost:
        return ok("nothing was lost since the start")
    lost.sort(reverse=True)
    cause = lost[0][2]
    found = ", ".join(f"{name} {value:.0f} {cause}" for value, name, cause in lost[:3])
    todo = _REMEDIES.get(cause) or f"see docs/metrics.md: {CAUSES.get(cause, cause)}"
    return warn(f"lost: {found}", todo)


def _listening(ctx: Context) -> set[tuple[str, int]]:
    """Return the addresses and TCP ports that are listened on."""
    found = set()
    for path in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in (ctx.machine.read(path) or "").splitlines()[1:]:
            words = line.split()
            if len(words) > 3 and words[3] == _LISTEN:
                address, _, port = words[1].rpartition(":")
                found.add((_address(address), int(port, 16)))
    return found


def _address(digits: str) -> str:
    """Return an address as /proc/net writes it: 32-bit words in the machine's byte order."""
    data = bytes.fromhex(digits)
    return str(ip_address(b"".join(data[i : i + 4][::-1] for i in range(0, len(data), 4))))


def _overlap(one: str, other: str) -> bool:
    return one == other or not {one, other}.isdisjoint(("0.0.0.0", "::"))  # noqa: S104


def _addresses(ctx: Context) -> Result:
    listening = _listening(ctx)
    running = dict(_programs(ctx))
    metrics = ctx.config.metrics
    wanted: tuple[tuple[str, Endpoint, str], ...] = (
        ("openflow.listen", ctx.config.openflow.listen, "controller"),
        ("metrics.controller", metrics.controller, "controller"),
        ("metrics.logger", metrics.logger, "logger"),
    )
    for key, endpoint, program in wanted:
        hosts = [host for host, port in listening if port == endpoint.port]
        taken = any(_overlap(host, endpoint.host) for host in hosts)
        if taken and running[program] is None:
            return fail(
                f"{key}: another program listens on {endpoint}",
                f"ss -ltnp 'sport = :{endpoint.port}' tells which; end it, or change {key}",
            )
    return ok(", ".join(str(endpoint) for _, endpoint, _ in wanted) + ": free, or ours")


RUNNING = (
    Check("addresses", "machine", "The addresses to listen on are free, or ours.", _addresses),
    Check("programs", "machine", "Controller and logger run, by this configuration.", _running),
    Check("losses", "machine", "Neither has lost anything (`chamaleonet_dropped_total`).", _drops),
)
