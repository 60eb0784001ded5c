"""Checks of what is in the flow tables, and of what passes through them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from chamaleonet.doctor.check import Check, Context, Result, Skip, fail, ok, warn
from chamaleonet.doctor.machine import Text
from chamaleonet.doctor.running import samples
from chamaleonet.switch.probe import pipeline_of
from chamaleonet.switch.rules import Cookie, Kind, rule_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chamaleonet.config import Switch

ENOUGH = 20  # flows, or packets: fewer tell nothing
_FEW = 0.05  # answered: so few are no network's share

_COOKIE = re.compile(r"cookie=0x([0-9a-f]+)")
_COOKIE_FIELD = re.compile(r"cookie=0x[0-9a-f]+, ?")
_TABLE = re.compile(r"table=(\d+)")
_PACKETS = re.compile(r"n_packets=(\d+)")


def _split(lines: str) -> Iterator[tuple[Cookie | None, int, str]]:
    """Yield rules of ``ovs-ofctl dump-flows``: their cookie (None: not ours), table and text."""
    for line in lines.splitlines():
        if cookie := _COOKIE.search(line):
            table = _TABLE.search(line)
            yield Cookie.of(int(cookie[1], 16)), int(table[1]) if table else 0, line.strip()


def _without_cookies(rules: list[str]) -> Text:
    """Return rules as a file; diff-flows compares cookies, and their generations may differ."""
    return Text("".join(_COOKIE_FIELD.sub("", rule) + "\n" for rule in rules))


def _rules(ctx: Context) -> Result:
    found = ctx.ofctl("--no-stats", "dump-flows", ctx.bridge_name)
    ours = [(cookie, text) for cookie, _, text in _split(found) if cookie is not None]
    static = [text for cookie, text in ours if cookie.kind is Kind.STATIC]
    wanted = [rule_text(rule) for rule in pipeline_of(ctx.config, ctx.switch).static_rules()]
    answer = ctx.machine.run(
        "ovs-ofctl", "--protocols=OpenFlow13", "--no-names", "diff-flows",
        _without_cookies(static), _without_cookies(wanted),
    )  # fmt: skip
    lines = answer.out.splitlines()
    # A rule with other actions is printed twice: as it is, and as it should be.
    extra = [line for line in lines if line.startswith("-")]
    absent = [line for line in lines if line.startswith("+")]
    if not answer.is_installed or (answer.status and not lines):
        raise Skip((answer.err.strip() or "ovs-ofctl failed").splitlines()[-1])
    if absent or extra:
        example = (absent or extra)[0][1:].strip()
        return fail(
            f"of {len(wanted)} rules {len(absent)} are missing and {len(extra)} are too many,"
            f" such as: {example}",
            f"start the controller, which installs them: chamaleonet run --config"
            f" {ctx.name_of_file}",
        )
    learned = len(ours) - len(static)
    return ok(f"all {len(wanted)} are in place, and {learned} for single flows")


def _others(ctx: Context) -> Result:
    tables = ctx.switch.tables
    ours = [tables.scope, tables.redirect, tables.filter]
    if ctx.switch.forward != "table":
        ours.append(tables.forward)
    found = ctx.ofctl("--no-stats", "dump-flows", ctx.bridge_name)
    others = [text for cookie, table, text in _split(found) if cookie is None and table in ours]
    if not others:
        return ok("none in our tables")
    return warn(
        f"{len(others)} in our tables, such as: {others[0]}",
        "move them to tables of their own (tables, forward: table), or delete them:"
        f" ovs-ofctl -O OpenFlow13 del-flows {ctx.bridge_name} MATCH",
    )


class Seen(NamedTuple):
    """How much was seen of either direction.

    Attributes:
        asked: first packets, or flows that waited for a reply.
        answered: first replies, or flows that were answered.
        unasked: replies to what was not seen.
    """

    asked: int
    answered: int
    unasked: int

    def since(self, before: Seen) -> Seen:
        """Return what was seen after another look."""
        return Seen(*(max(a - b, 0) for a, b in zip(self, before, strict=True)))

    @property
    def is_enough(self) -> bool:
        """Whether anything can be said."""
        return self.asked + self.answered + self.unasked >= ENOUGH


def seen_by_rules(text: str, switch: Switch) -> Seen:
    """Return what the conntrack pipeline's rules counted, of ``ovs-ofctl dump-flows``."""
    asked = answered = unasked = 0
    for cookie, table, line in _split(text):
        packets = _PACKETS.search(line)
        if cookie is None or table != switch.tables.filter or packets is None:
            continue
        if "+new" in line:
            asked += int(packets[1])
        elif "ct_mark=0" in line:
            answered += int(packets[1])
        elif "priority=90," in line:  # what the tracker takes for invalid, and is judged
            unasked += int(packets[1])
    return Seen(asked, answered, unasked)


def seen_by_metrics(text: str) -> Seen:
    """Return what the controller counted."""
    by: dict[str, int] = {}
    for labels, value in samples(text, "flows_total"):
        verdict = labels.get("verdict", "")
        by[verdict] = by.get(verdict, 0) + int(value)
    answered = sum(by.get(name, 0) for name in ("answered", "recovered", "refused"))
    return Seen(by.get("unanswered", 0) + answered, answered, by.get("unsolicited", 0))


def _look(ctx: Context) -> Seen:
    if ctx.switch.pipeline == "conntrack":
        return seen_by_rules(ctx.ofctl("dump-flows", ctx.bridge_name), ctx.switch)
    text = ctx.machine.metrics(ctx.config.metrics.controller)
    if text is None:
        raise Skip("the controller, which counts, does not run")
    return seen_by_metrics(text)


def _directions(ctx: Context) -> Result:
    before = _look(ctx)
    ctx.machine.wait(ctx.seconds)
    after = _look(ctx)
    lately = after.since(before)
    seen, when = (lately, f"in {ctx.seconds:g} s") if lately.is_enough else (after, "so far")
    if not seen.is_enough:
        raise Skip(
            f"too little traffic to tell: {seen.asked} first packets, {seen.answered} replies",
            f"chamaleonet doctor --seconds 60 --config {ctx.name_of_file}",
        )
    said = f"{seen.asked} first packets and {seen.answered} first replies {when}"
    todo = (
        "let both directions come to the switch: both mirror ports and their VLANs, both routes;"
        " see scope"
    )
    if seen.unasked >= ENOUGH and not seen.asked:
        return fail(f"only replies are seen: {seen.unasked} to what was not, {said}", todo)
    if not seen.answered:
        return fail(f"only one direction is seen: {said}", todo)
    if seen.answered < _FEW * seen.asked:
        return warn(f"hardly any reply is seen: {said}", todo)
    return ok(said)


def _traffic(ctx: Context) -> Result:
    text = ctx.ofctl("dump-ports", ctx.bridge_name)
    received = {
        int(number): int(packets)
        for number, packets in re.findall(r"port\s+(\d+): rx pkts=(\d+)", text)
    }
    wanted = ctx.switch.scope.ports
    if absent := [port for port in wanted if port not in received]:
        return fail(
            f"the switch has no port {absent[0]}",
            f"correct scope.ports (ovs-ofctl show {ctx.bridge_name})",
        )
    ours = {ctx.switch.logger_port, ctx.switch.candidates.port}
    watched = {port: received[port] for port in wanted or received if port not in ours}
    if not watched:
        raise Skip("the switch has no port but ours")
    silent = [str(port) for port, packets in watched.items() if not packets]
    if silent and (wanted or len(silent) == len(watched)):
        return warn(
            f"port {', '.join(silent)} has received nothing",
            "turn on the mirror or the link behind it",
        )
    return ok(", ".join(f"port {port}: {count} packets" for port, count in watched.items()))


RULES = (
    Check("rules", "switch", "Those of `check --rules` are in the switch.", _rules),
    Check("others' rules", "switch", "Nobody else's rules are in our tables.", _others),
    Check("traffic", "switch", "The watched ports receive something.", _traffic),
    Check("directions", "switch", "Requests are seen, and replies.", _directions),
)
