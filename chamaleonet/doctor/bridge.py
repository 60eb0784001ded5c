"""Checks of Open vSwitch: that it runs, and how the bridge is set up."""

from __future__ import annotations

import re
from pathlib import Path

from chamaleonet.config import datapath_text
from chamaleonet.doctor.check import Check, Context, Result, Skip, fail, members, ok, warn
from chamaleonet.doctor.running import samples

OLDEST = (2, 13)  # whose datapath in user space has all that we use
_BACKOFF = 1000  # ms
_QUEUE = 512  # packet-ins


def _version(ctx: Context) -> Result:
    switches = [Context(ctx.machine, ctx.config, switch_or_none=each).is_here
                for each in ctx.config.switches]  # fmt: skip
    answer = ctx.machine.run("ovs-vsctl", "--timeout=5", "get", "open_vswitch", ".", "ovs_version")
    if not answer.is_installed:
        if not any(switches):
            raise Skip("not installed; no switch of the configuration needs it here")
        return fail("Open vSwitch is not installed", "apt-get install openvswitch-switch")
    if answer.status != 0 and "connection failed" in answer.err and "Permission" not in answer.err:
        if not any(switches):
            raise Skip("not running; no switch of the configuration needs it here")
        return fail("Open vSwitch does not run", "service openvswitch-switch start")
    ctx.ask("ovs-vsctl", "--timeout=5", "get", "open_vswitch", ".", "ovs_version")
    found = re.search(r"(\d+)\.(\d+)", answer.out)
    daemon = ctx.machine.run("ovs-appctl", "--timeout=5", "version")
    if daemon.status != 0:
        return fail("ovs-vswitchd does not answer", "service openvswitch-switch restart")
    if found is None or (int(found[1]), int(found[2])) < OLDEST:
        return warn(f"Open vSwitch {answer.out.strip()}", "use Open vSwitch 2.13 or later")
    return ok(f"Open vSwitch {found[0]}, running")


def _bridge(ctx: Context) -> Result:
    try:
        return ok(f"{ctx.bridge_name} has datapath id {datapath_text(ctx.switch.dp_id)}")
    except Skip as skip:
        if "no bridge" not in skip.result.found or not ctx.is_here:
            raise
    bridges = {row["name"]: row["datapath_id"] for row in ctx.rows("bridge")}
    have = ", ".join(f"{name} {dp_id}" for name, dp_id in bridges.items()) or "none"
    one = next(iter(bridges), "BRIDGE")
    wanted = datapath_text(ctx.switch.dp_id)
    return fail(
        f"no bridge has datapath id {wanted} (there is: {have})",
        f"correct dp_id, or: ovs-vsctl set bridge {one} other-config:datapath-id={wanted}",
    )


def _datapath(ctx: Context) -> Result:
    if ctx.is_userspace:
        return ok("in user space (netdev)")
    if ctx.machine.entry(Path("/sys/module/openvswitch")) is not None:
        return ok("in the kernel (system)")
    return fail(
        "in the kernel, whose module openvswitch is not loaded",
        f"modprobe openvswitch, or: ovs-vsctl set bridge {ctx.bridge_name} datapath_type=netdev",
    )


def _protocols(ctx: Context) -> Result:
    protocols = members(ctx.bridge["protocols"])
    if not protocols or "OpenFlow13" in protocols:
        return ok("OpenFlow 1.3 is spoken")
    return fail(
        f"only {', '.join(protocols)} is spoken",
        f"ovs-vsctl set bridge {ctx.bridge_name} protocols=OpenFlow13",
    )


def _fail_mode(ctx: Context) -> Result:
    if ctx.bridge["fail_mode"] == "secure":
        return ok("secure: our rules stay while no controller is connected")
    return fail(
        "standalone: without a controller the bridge drops our rules and forwards by its own",
        f"ovs-vsctl set-fail-mode {ctx.bridge_name} secure",
    )


def _target(ctx: Context) -> Result:
    mine = members(ctx.bridge["controller"])
    controllers = [row for row in ctx.rows("controller") if row["_uuid"] in mine]
    listen = ctx.config.openflow.listen
    wanted = "tcp" if ctx.config.openflow.tls is None else "ssl"
    for row in controllers:
        kind, _, address = row["target"].partition(":")
        host, _, port = address.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        anywhere = listen.host in ("0.0.0.0", "::") or host == listen.host  # noqa: S104
        if kind == wanted and anywhere and port == str(listen.port):
            break
    else:
        have = ", ".join(row["target"] for row in controllers) or "none"
        return fail(
            f"no controller {wanted}:{listen} (there is: {have})",
            f"ovs-vsctl set-controller {ctx.bridge_name} {wanted}:{listen}",
        )
    if (row["max_backoff"] or 8000) > _BACKOFF:
        return warn(
            f"{row['target']}, tried again after up to 8 s",
            f"ovs-vsctl set controller {ctx.bridge_name} max_backoff={_BACKOFF}",
        )
    return ok(row["target"])


def _connection(ctx: Context) -> Result:
    connected = _controllers_word(ctx)
    try:
        mine = members(ctx.bridge["controller"])
    except Skip:  # a switch elsewhere
        if connected is None:
            raise
        if connected:
            return ok("the controller says that it is connected")
        return fail(
            "the controller says that it is not connected",
            f"let it connect to {ctx.config.openflow.listen}, or correct dp_id",
        )
    controllers = [row for row in ctx.rows("controller") if row["_uuid"] in mine]
    if not controllers:
        raise Skip("the bridge has no controller")
    for row in controllers:
        if row["is_connected"]:
            return ok(f"{row['target']} is connected, its role is {row['role'] or 'other'}")
    if connected:  # the database lags behind
        return ok(f"{controllers[0]['target']} is connected, the controller says")
    status = controllers[0]["status"] or {}
    why = status.get("last_error") or status.get("state") or "not yet tried"
    return fail(
        f"{controllers[0]['target']} is not connected: {why}",
        f"chamaleonet run --config {ctx.name_of_file}",
    )


def _controllers_word(ctx: Context) -> bool | None:
    """Return whether our controller says that the switch is connected, None if it says nothing."""
    text = ctx.machine.metrics(ctx.config.metrics.controller) or ""
    mine = {"dp_id": datapath_text(ctx.switch.dp_id)}
    found = [value for labels, value in samples(text, "switch_connected") if labels == mine]
    return bool(found[0]) if found else None


def _queue(ctx: Context) -> Result:
    if ctx.switch.candidates.port is not None:
        raise Skip("candidates leave by a port")
    size = int((ctx.bridge["other_config"] or {}).get("controller-queue-size", 100))
    if size >= _QUEUE:
        return ok(f"{size} packet-ins wait at most")
    return warn(
        f"only {size} packet-ins wait: bursts lose candidates",
        f"ovs-vsctl set bridge {ctx.bridge_name} other_config:controller-queue-size={_QUEUE}",
    )


VERSION = Check("openvswitch", "machine", "It is installed, runs and is not too old.", _version)
BRIDGE = (
    Check("bridge", "switch", "A bridge has the configured datapath id.", _bridge),
    Check("datapath", "switch", "The datapath is in user space, or its module loaded.", _datapath),
    Check("protocol", "switch", "The bridge speaks OpenFlow 1.3.", _protocols),
    Check("fail mode", "switch", "It is secure: rules survive the controller.", _fail_mode),
    Check("controller", "switch", "The bridge's controller is where ours listens.", _target),
    Check("connection", "switch", "It is connected.", _connection),
    Check("queue", "switch", "Bursts of packet-ins have room to wait.", _queue),
)
