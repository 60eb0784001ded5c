"""Checks of the ports that lead to this machine: candidates and the packet logger."""

from __future__ import annotations

from chamaleonet.doctor.check import Check, Context, Result, Row, Skip, fail, ok, warn

_NO_ADDRESSES = "1"  # IN6_ADDR_GEN_MODE_NONE


def _candidates(ctx: Context) -> Result:
    candidates = ctx.switch.candidates
    if candidates.port is None:
        raise Skip("candidates come as packet-ins")
    return _port(ctx, candidates.port, candidates.interface)


def _logger(ctx: Context) -> Result:
    return _port(ctx, ctx.switch.logger_port, ctx.config.logger.interface)


def _port(ctx: Context, number: int, interface: str | None) -> Result:
    bridge = ctx.bridge_name
    by_number = {row["ofport"]: row for row in ctx.interfaces}
    named = next((row for row in ctx.interfaces if row["name"] == interface), None)
    if named is None:
        there = by_number.get(number)
        if there is None:
            new = interface or "NAME"
            return fail(
                f"{bridge} has no port {number}",
                f"ovs-vsctl add-port {bridge} {new} tag=4094 -- set interface {new}"
                f" type=internal ofport_request={number}",
            )
        if interface is None:
            return ok(f"port {number} is {there['name']}; where it leads is not configured")
        if there["type"] == "internal":
            return fail(
                f"port {number} leads to {there['name']}, not to {interface}",
                f"correct the interface in {ctx.name_of_file}, or exchange the ports",
            )
        named = there  # a cable may lead from it to the interface
    if named["error"]:
        return fail(f"{named['name']}: {named['error']}", f"ovs-vsctl del-port {named['name']}")
    if named["ofport"] != number:
        todo = f"ovs-vsctl set interface {named['name']} ofport_request={number}"
        if named["type"] == "internal":  # it is made anew
            todo += f" && ip link set {named['name']} addrgenmode none up"
        return fail(f"{named['name']} is port {named['ofport']}, not {number}", todo)
    return _tag(ctx, named, interface) or _link(ctx, interface, number)


def _tag(ctx: Context, interface: Row, ours: str | None) -> Result | None:
    """Return what is wrong with the port's VLAN: it must be of our ports alone."""
    name = interface["name"]
    port = next(row for row in ctx.ports if interface["_uuid"] in _members(row))
    if port["tag"] is None:
        return fail(
            f"{name} is in no VLAN of its own: all that is flooded comes there, too",
            f"ovs-vsctl set port {name} tag=4094",
        )
    known = {name, ours, ctx.switch.candidates.interface, ctx.config.logger.interface}
    others = [r["name"] for r in ctx.ports if r["tag"] == port["tag"] and r["name"] not in known]
    others = [other for other in others if _number(ctx, other) not in _our_numbers(ctx)]
    if others:
        return warn(
            f"VLAN {port['tag']} of {name} is also that of {', '.join(others)}",
            f"ovs-vsctl set port {name} tag=4094 (or any VLAN that nobody else uses)",
        )
    return None


def _members(port: Row) -> list[str]:
    interfaces = port["interfaces"]
    return interfaces if isinstance(interfaces, list) else [interfaces]


def _number(ctx: Context, name: str) -> int | None:
    return next((row["ofport"] for row in ctx.interfaces if row["name"] == name), None)


def _our_numbers(ctx: Context) -> set[int | None]:
    return {ctx.switch.candidates.port, ctx.switch.logger_port}


def _link(ctx: Context, interface: str | None, number: int) -> Result:
    if interface is None:
        return ok(f"port {number}")
    is_up = ctx.machine.is_up(interface)
    if is_up is None:
        return fail(
            f"there is no interface {interface} here",
            f"run it where {interface} is (ip netns), or correct {ctx.name_of_file}",
        )
    if not is_up:
        return fail(f"{interface} is down", f"ip link set {interface} up")
    mode = ctx.machine.read(f"/proc/sys/net/ipv6/conf/{interface}/addr_gen_mode")
    if mode is not None and mode.strip() != _NO_ADDRESSES:
        return warn(
            f"{interface} makes IPv6 addresses for itself, and so noise",
            f"ip link set {interface} addrgenmode none",
        )
    return ok(f"port {number} leads to {interface}, which is up, in a VLAN of its own")


PORTS = (
    Check(
        "candidate port",
        "switch",
        "It has the configured number and a VLAN of its own, leads to the interface, is up.",
        _candidates,
    ),
    Check("logger port", "switch", "The same of the packet logger's.", _logger),
)
