"""Checks of Open vSwitch: how the bridge is set up, and what its datapath can do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from chamaleonet.config import datapath_text
from chamaleonet.doctor.check import Check, Context, Result, Skip, fail, members, ok, warn
from chamaleonet.doctor.running import samples
from chamaleonet.switch.probe import pipeline_of

if TYPE_CHECKING:
    from chamaleonet.switch.rules import Rule

OLDEST = (2, 13)  # whose datapath in user space has all that we use
_BACKOFF = 1000  # ms
_QUEUE = 512  # packet-ins
_MANY = 0.9


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
    try:
        return _connected_here(ctx)
    except Skip:
        # A switch elsewhere: the controller knows.
        text = ctx.machine.metrics(ctx.config.metrics.controller)
        mine = {"dp_id": datapath_text(ctx.switch.dp_id)}
        found = [
            value for labels, value in samples(text or "", "switch_connected") if labels == mine
        ]
        if not found:
            raise
    if found[0]:
        return ok("the controller says that it is connected")
    return fail(
        "the controller says that it is not connected",
        f"let it connect to {ctx.config.openflow.listen}, or correct dp_id",
    )


def _connected_here(ctx: Context) -> Result:
    mine = members(ctx.bridge["controller"])
    controllers = [row for row in ctx.rows("controller") if row["_uuid"] in mine]
    if not controllers:
        raise Skip("the bridge has no controller")
    for row in controllers:
        if row["is_connected"]:
            return ok(f"{row['target']} is connected, its role is {row['role'] or 'other'}")
    status = controllers[0]["status"] or {}
    why = status.get("last_error") or status.get("state") or "not yet tried"
    return fail(
        f"{controllers[0]['target']} is not connected: {why}",
        f"chamaleonet run --config {ctx.name_of_file}",
    )


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


def _features(ctx: Context) -> dict[str, str]:
    text = ctx.ask("ovs-appctl", "--timeout=5", "dpif/show-dp-features", ctx.bridge_name)
    return {name: value.strip() for name, _, value in (x.partition(":") for x in text.splitlines())}


def _tracker(ctx: Context) -> Result:
    if ctx.switch.pipeline != "conntrack":
        raise Skip("the reactive pipeline does without")
    features = _features(ctx)
    absent = [name for name in ("CT state", "CT zone", "CT mark") if features.get(name) != "Yes"]
    if absent:
        return fail(
            f"the datapath has no {', '.join(absent)}", "update Open vSwitch, or the kernel"
        )
    zone = ctx.switch.conntrack.zone
    count, limit = _connections(ctx)
    limits = ctx.machine.run("ovs-appctl", "dpctl/ct-get-limits", ctx.datapath, f"zone={zone}")
    if match := re.search(rf"zone={zone},limit=(\d+),count=(\d+)", limits.out):
        of_zone, used = int(match[1]), int(match[2])
        if of_zone and used >= _MANY * of_zone:
            return warn(
                f"{used} of {of_zone} connections of zone {zone} are in use",
                f"ovs-appctl dpctl/ct-set-limits {ctx.datapath} zone={zone},limit={4 * of_zone}",
            )
    found = f"works, {count} of {limit} connections, zone {zone}"
    if limit and count >= _MANY * limit:
        more = f"ovs-appctl dpctl/ct-set-maxconns {ctx.datapath} {4 * limit}"
        return warn(found, more if ctx.is_userspace else f"sysctl -w {_KERNEL_MOST}={4 * limit}")
    return ok(found)


_KERNEL_MOST = "net.netfilter.nf_conntrack_max"


def _connections(ctx: Context) -> tuple[int, int]:
    """Return how many connections are tracked, and how many can be."""
    if ctx.is_userspace:
        texts = [
            ctx.ask("ovs-appctl", "--timeout=5", f"dpctl/{name}", ctx.datapath)
            for name in ("ct-get-nconns", "ct-get-maxconns")
        ]
    else:
        folder = "/proc/sys/net/netfilter/nf_conntrack_"
        texts = [ctx.machine.read(folder + name) or "0" for name in ("count", "max")]
    return int(texts[0]), int(texts[1])


def _checksums(ctx: Context) -> Result:
    if ctx.switch.pipeline != "conntrack" or not ctx.is_userspace:
        raise Skip("only the connection tracker in user space minds")
    text = ctx.ask("ovs-appctl", "--timeout=5", "coverage/show")
    pattern = r"^conntrack_l[34]csum_err\s+\S+/sec\s+\S+/sec\s+(\S+)/sec\s+total: (\d+)"
    found = re.findall(pattern, text, re.MULTILINE)
    total = sum(int(count) for _, count in found)
    if total and any(float(rate) > 0 for rate, _ in found):
        return fail(
            f"{total} packets had checksums that the tracker takes for wrong: their flows are not"
            " judged",
            "on the hosts that send them: ethtool -K IF tx off gso off tso off",
        )
    return ok("all right" + (f" in the last hour ({total} were wrong before)" if total else ""))


def _offloads(ctx: Context) -> Result:
    if not ctx.is_userspace:
        raise Skip("they do not matter to a datapath in the kernel")
    ours = {ctx.switch.candidates.interface, ctx.config.logger.interface}
    for row in ctx.interfaces:
        name = row["name"]
        if row["type"] not in ("", "system") or name in ours:
            continue
        answer = ctx.machine.run("ethtool", "-k", name)
        if not answer.is_installed:
            raise Skip("ethtool is not installed", "apt-get install ethtool")
        merging = [
            short
            for short, feature in (("gro", "generic-receive"), ("lro", "large-receive"))
            if re.search(rf"^{feature}-offload: on", answer.out, re.MULTILINE)
        ]
        if merging:
            options = " ".join(f"{short} off" for short in merging)
            return warn(
                f"{name} merges packets before the switch sees them ({', '.join(merging)})",
                f"ethtool -K {name} {options}",
            )
    return ok("no port merges packets")


def _truncation(ctx: Context) -> Result:
    if not ctx.switch.truncates:
        raise Skip("packets are not cut at ports")
    if _features(ctx).get("Truncate action") == "Yes":
        return ok(f"packets are cut to {ctx.switch.snaplen} bytes in the datapath")
    return fail("the datapath cannot cut packets", "update Open vSwitch, or the kernel")


def _tables(ctx: Context) -> Result:
    text = ctx.ofctl("dump-table-features", ctx.bridge_name)
    room = table_sizes(text)
    tables = ctx.switch.tables
    absent = [number for number in tables.model_dump().values() if number not in room]
    if absent:
        return fail(f"the switch has no table {absent[0]}", "choose other numbers in tables")
    static = sum(rule.table == tables.redirect for rule in _static(ctx))
    need = (ctx.switch.redirect.max_rules or 1) + static  # by itself it takes what there is
    found = f"table {tables.redirect} has room for {room[tables.redirect]} rules"
    if room[tables.redirect] < need:
        todo = f"lower redirect.max_rules to {room[tables.redirect] - static}"
        return fail(f"{found}, {need} may be wanted", todo)
    return ok(found)


def _static(ctx: Context) -> list[Rule]:
    return list(pipeline_of(ctx.config, ctx.switch).static_rules())


def table_sizes(text: str) -> dict[int, int]:
    """Return how many rules each table holds, of ``ovs-ofctl dump-table-features``."""
    sizes: dict[int, int] = {}
    size = 0
    for block in re.split(r"^(?=\s*tables? \d)", text, flags=re.MULTILINE):
        heading = re.match(r"\s*tables? (\d+)(?:\.\.\.(\d+))?", block)
        if heading is None:
            continue
        if entries := re.search(r"max_entries=(\d+)", block):
            size = int(entries[1])  # else "ditto"
        first, last = int(heading[1]), int(heading[2] or heading[1])
        sizes.update(dict.fromkeys(range(first, last + 1), size))
    return sizes


def _meters(ctx: Context) -> Result:
    text = ctx.ofctl("meter-features", ctx.bridge_name)
    found = re.search(r"max_meter:(\d+)", text)
    if found and int(found[1]):
        return ok(f"{found[1]} meters")
    return warn(
        "the switch has no meters: a flood of packet-ins cannot be held off",
        "let candidates leave by a port (candidates)",
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
    Check("tracker", "switch", "Connection tracking works, and has room.", _tracker),
    Check("checksums", "switch", "The tracker takes no checksums for wrong.", _checksums),
    Check("offloads", "switch", "No port of the bridge merges packets.", _offloads),
    Check("truncation", "switch", "The datapath cuts packets to `snaplen`.", _truncation),
    Check("tables", "switch", "The flow tables are there, and large enough.", _tables),
    Check("meters", "switch", "The switch has meters.", _meters),
)
