"""Packet-ins limited in the switch, so that a flood cannot fill the way to the controller.

A meter as OpenFlow 1.3 has it, an instruction of a rule, would drop the packets themselves. Open
vSwitch's packet-in action takes a meter of its own, which limits the packet-ins alone. Rules that
copy candidates apply one more table, and its few rules choose the meter: by whether the sender is
inside, and by two bits of its prefix, so that whoever floods presses on a quarter of his like. A
first reply goes by whom it is sent to, on meters of its own: a flood of requests must not make
the answered look unanswered.

On other switches there is OpenFlow's virtual meter for all packet-ins, if that is configured.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING

from chamaleonet.flows.records import Direction, Quality
from chamaleonet.switch import encode
from chamaleonet.switch.rules import (
    ALL_PACKET_INS,
    EST,
    IPV4,
    IPV6,
    RPL,
    TRK,
    Controller,
    Match,
    Meter,
    Rule,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from chamaleonet.config import Switch
    from chamaleonet.switch.quality import Qualities
    from chamaleonet.units import Network

log = logging.getLogger(__name__)

_POLL = 10**9  # ns
_ON_THEIR_WAY = 100  # packet-ins
_GROUPS = 4  # of prefixes, by two bits
_REPLY = ("ct_state", (TRK | EST | RPL, TRK | EST | RPL))
# The lower of the two bits: that of a /24 and /64 inside, of a /16 and /32 outside.
_INSIDE_BIT, _OUTSIDE_BIT = {4: 8, 6: 64}, {4: 16, 6: 96}
# A meter's kinds, in the order of their numbers; each has one for every group.
_INSIDE, _OUTSIDE, _REPLY_INSIDE, _REPLY_OUTSIDE = range(4)
_PRIORITY = {_INSIDE: 2, _OUTSIDE: 1, _REPLY_INSIDE: 4, _REPLY_OUTSIDE: 3}


def meters_of(switch: Switch) -> tuple[Meter, ...]:
    """Return the meters that a switch is to have."""
    rate = switch.meters.rate
    if switch.meters_by == "controller":
        return (Meter(ALL_PACKET_INS, rate, rate),)
    if switch.meters_by == "none":
        return ()
    kinds = 4 if switch.pipeline == "conntrack" else 2
    share = rate // (2 * _GROUPS)
    first = switch.meters.first
    return tuple(Meter(first + n, share, share) for n in range(kinds * _GROUPS))


def meter_rules(switch: Switch, internal: Iterable[Network]) -> Iterator[Rule]:
    """Yield the rules that send packet-ins, each by its meter."""
    if switch.meters_by != "action":
        return
    prefixes = [*internal]
    yield from _rules(switch, _INSIDE, "src", (), prefixes)
    if switch.pipeline == "conntrack":
        yield from _rules(switch, _REPLY_INSIDE, "dst", (_REPLY,), prefixes)


def _rules(
    switch: Switch, kind: int, end: str, match: Match, prefixes: list[Network]
) -> Iterator[Rule]:
    """Yield the rules for senders (or receivers) inside, then those for all others."""
    for version, family in ((4, IPV4), (6, IPV6)):
        ip = (("eth_type", family), *match)
        inside = [prefix for prefix in prefixes if prefix.version == version]
        for group in range(_GROUPS):
            for prefix in inside:
                bits, mask = _narrowed(prefix, _INSIDE_BIT[version], group)
                if mask:
                    yield _rule(switch, kind, group, (*ip, (f"ipv{version}_{end}", (bits, mask))))
            bit = _OUTSIDE_BIT[version]
            any_ = (f"ipv{version}_{end}", (group << bit, (_GROUPS - 1) << bit))
            yield _rule(switch, kind + 1, group, (*ip, any_))


def _rule(switch: Switch, kind: int, group: int, match: Match) -> Rule:
    meter = switch.meters.first + kind * _GROUPS + group
    action = Controller(switch.snaplen, meter)
    return Rule(switch.tables.meters, _PRIORITY[kind], match, (action,))


def _narrowed(prefix: Network, bit: int, group: int) -> tuple[int, int]:
    """Return value and mask of a prefix's addresses in a group; a mask of 0 where there are none.

    Of a prefix that is longer, the bits are fixed: it belongs to one group.
    """
    mask, value = int(prefix.netmask), int(prefix.network_address)
    wanted, asked = group << bit, (_GROUPS - 1) << bit
    if (value ^ wanted) & mask & asked:
        return 0, 0
    return value | wanted, mask | asked


class Meters:
    """Keeps a switch's meters as they are to be, and counts what they held back.

    It sends nothing itself; what is to be sent comes as bytes.

    Args:
        switch: the switch's part of the configuration.
        qualities: told that verdicts are degraded while packet-ins are held back: a first reply or
            an ICMP error may be among them.
        timeout: how long a packet-in that was held back may matter, ns; may be changed later.

    Attributes:
        dropped: packet-ins that were held back, as far as the switch has told.
        lost: packet-ins that were not, but never came.
        is_dropping: whether there were any so lately that they may matter.
    """

    def __init__(self, switch: Switch, qualities: Qualities, timeout: int) -> None:
        self._name = switch.name
        self._meters = meters_of(switch)
        self._numbers = frozenset(meter.number for meter in self._meters)
        self._qualities, self.timeout = qualities, timeout
        self._next_xid: Callable[[], int] | None = None
        self._adds: set[int] = set()  # transaction ids on this connection
        self._changes: set[int] = set()
        self._counted: dict[int, int] = {}
        self._losses = _Losses()
        self._refused = False
        self._ask_at = self._degraded_until = 0
        self.dropped = self.lost = 0
        self.is_dropping = False

    def connect(self, next_xid: Callable[[], int]) -> None:
        """Take note of a new connection."""
        self._next_xid = next_xid
        self._adds.clear()
        self._changes.clear()
        self._counted.clear()
        self._losses = _Losses()
        self._refused = False

    def install(self) -> bytes:
        """Return what makes the switch have the meters; nothing where that was sent already.

        To be sent before the rules that name them. Each is added, which is refused where it is
        there already, and then modified.
        """
        if self._changes or self._next_xid is None:
            return b""
        messages = []
        for meter in self._meters:
            for command, sent in (
                (encode.ADD_METER, self._adds), (encode.MODIFY_METER, self._changes),
            ):  # fmt: skip
                xid = self._next_xid()
                sent.add(xid)
                messages.append(encode.set_meter(command, meter, xid))
        return b"".join(messages) + self._ask()  # what they count from now on is new

    def on_error(self, xid: int, reason: str) -> bool:
        """Take an error message; return whether it is about a meter of ours.

        Without meters all goes on as before, but unlimited.
        """
        if xid in self._changes and not self._refused:
            log.warning(
                "%s: the switch refused a meter (%s): packet-ins are not limited",
                self._name, reason,
            )  # fmt: skip
            self._refused = True
        return xid in self._changes or xid in self._adds

    def poll(self, now: int) -> bytes:
        """Return the question for what was held back, about once a second."""
        if now < self._ask_at or not self._meters or self._refused:
            return b""
        self._ask_at = now + min(_POLL, self.timeout // 2)  # verdicts are to know of losses
        return self._ask()

    def _ask(self) -> bytes:
        return encode.ask_meters(self._next_xid()) if self._next_xid and self._meters else b""

    def on_counts(self, counts: Iterable[tuple[int, int, int]], received: int, now: int) -> None:
        """Take the answer.

        Args:
            counts: (number, packets ever, of which dropped) of the switch's meters, ours or not.
                One that counts less than before was made anew.
            received: packet-ins of ours that have come, ever.
            now: ns.
        """
        dropped_now = passed = 0
        for number, packets, dropped in counts:
            if number in self._numbers:
                before = self._counted.get(number, dropped)
                dropped_now += dropped - before if dropped >= before else dropped
                self._counted[number] = dropped
                passed += packets - dropped
        lost_now = self._losses.new(passed, received) if ALL_PACKET_INS not in self._numbers else 0
        self.dropped += dropped_now
        self.lost += lost_now
        if dropped_now or lost_now:
            self._degraded_until = now + self.timeout
        self.is_dropping = now < self._degraded_until
        quality = Quality.DEGRADED if self.is_dropping else Quality.SOUND
        for direction in Direction:
            self._qualities.hold("packet-ins lost", direction, quality)


class _Losses:
    """Finds packet-ins that passed a meter, but never came: the switch's queues were full.

    Some are on their way whenever we compare. What is missing while nothing new passes is lost;
    and so is, of what is missing three times in a row, more than can be on its way.
    """

    def __init__(self) -> None:
        self._passed: int | None = None
        self._offset = 0  # of what had passed, or had come, before
        self._missing: deque[int] = deque(maxlen=3)
        self._counted = 0

    def new(self, passed: int, received: int) -> int:
        """Return how many losses were found since the last time.

        Args:
            passed: packet-ins that the meters let pass, ever.
            received: those that came, ever.
        """
        if self._passed is None or passed < self._passed:
            self._passed, self._offset = passed, passed - received
            self._missing.clear()
            self._counted = 0
            return 0
        self._missing.append(passed - received - self._offset)
        lost = 0
        if passed == self._passed:
            lost = self._missing[-1]
        elif len(self._missing) == 3 and min(self._missing) > self._counted + _ON_THEIR_WAY:
            lost = min(self._missing)
        self._passed = passed
        new = max(0, lost - self._counted)
        self._counted += new
        return new
