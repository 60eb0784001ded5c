"""Checks of what the switch can do: its datapath, its tables, its meters."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from chamaleonet.doctor.check import Check, Context, Result, Skip, fail, ok, warn
from chamaleonet.switch.probe import pipeline_of

if TYPE_CHECKING:
    from chamaleonet.switch.rules import Rule

_MANY = 0.9


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


ABILITIES = (
    Check("tracker", "switch", "Connection tracking works, and has room.", _tracker),
    Check("checksums", "switch", "The tracker takes no checksums for wrong.", _checksums),
    Check("offloads", "switch", "No port of the bridge merges packets.", _offloads),
    Check("truncation", "switch", "The datapath cuts packets to `snaplen`.", _truncation),
    Check("tables", "switch", "The flow tables are there, and large enough.", _tables),
    Check("meters", "switch", "The switch has meters.", _meters),
)
