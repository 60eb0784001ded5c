"""Each true flow beside what was found of it live."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from chamaleonet.flows.records import Quality, Role
from chamaleonet.flows.transitions import HEALTHY, State
from chamaleonet.lab.rules import fields_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from chamaleonet.lab.logged import LoggedFlow, LoggedPacket
    from chamaleonet.lab.rules import Rules, Span
    from chamaleonet.lab.truth import Flow, Key, Truth

# What happens so close (ns) to a verdict, or to a change of its rule, may be seen before or after.
GUARD = 10**8
# A rule that comes later than that after its verdict excuses no missing packet.
_LATEST = 10**9
# The same first packet, stamped at the border and live, ns.
_SAME_FLOW = 10**9
# A packet that opens a flow may be stamped live so much earlier than at the border, ns.
_SKEW = 10**7

_HEALTHY = frozenset(state.label for state in HEALTHY)
ANSWERED, RECOVERED = State.ANSWERED.label, State.RECOVERED.label
PENDING, UNANSWERED = State.PENDING.label, State.UNANSWERED.label


@dataclass(eq=False)
class Case:
    """A true flow and what was found of it.

    Attributes:
        flow: what happened.
        timeout: ns until a flow is unanswered.
        live: its row of the flow log, if there is one.
        written: its packets that the logger wrote.
        rules: its own redirect rules after its verdict, and those that were there before.
        aggregates: rules for many flows that stood for its own after its verdict.
    """

    flow: Flow
    timeout: int
    live: LoggedFlow | None = None
    written: list[LoggedPacket] = field(default_factory=list)
    rules: list[Span] = field(default_factory=list)
    aggregates: list[Span] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        """Whether it failed, and that was known before the trace ended."""
        return self.flow.verdict not in _HEALTHY

    @property
    def races(self) -> bool:
        """Whether another verdict would be right as well: it hangs on the deadline or the end."""
        flow = self.flow
        if flow.verdict == PENDING:
            return True
        deadline = flow.first + self.timeout
        return (
            flow.judged is not None
            and flow.verdict != UNANSWERED
            and abs(flow.judged - deadline) <= GUARD
        )

    @property
    def may_be_captured(self) -> bool:
        """Whether packets of it may be captured that are no ICMP errors."""
        return self.flow.erred is not None or self.races

    @property
    def is_suspect(self) -> bool:
        """Whether its live verdict cannot be relied on."""
        return self.live is not None and self.live.quality == Quality.SUSPECT.label

    @property
    def agrees(self) -> bool:
        """Whether the live verdict is the true one, and can be relied on."""
        true, live = self.flow.verdict, self.live and self.live.verdict
        if self.is_suspect:
            return False
        if self.races and true in (ANSWERED, RECOVERED):
            return live in (None, RECOVERED)
        if self.races and true == PENDING:
            return live in (None, UNANSWERED)
        return live == (None if true in _HEALTHY else true)

    @property
    def wrongly_written(self) -> int:
        """Packets, ICMP errors apart, that must not have been written."""
        return sum(
            not packet.error and not (self.may_be_captured and self._is_the_clients(packet))
            for packet in self.written
        )

    @property
    def least(self) -> int:
        """How many packets of it had to be captured, whatever races there were."""
        if self.flow.erred is None or self.races:
            return sum(packet.role is Role.ERROR for packet in self.flow.packets)
        return sum(
            packet.role is not Role.LATER
            or not self._is_unsure(packet.time, request=packet.request)
            for packet in self.flow.packets
        )

    @property
    def most(self) -> int:
        """How many packets of it could be captured."""
        if not self.races:
            return len(self.flow.packets)
        errors = sum(packet.role is Role.ERROR for packet in self.flow.packets)
        return errors + int(self.flow.record["client_packets"])

    def _is_the_clients(self, packet: LoggedPacket) -> bool:
        return packet.equal_ends or packet.from_high == self.flow.client_high

    def _is_unsure(self, time: int, *, request: bool) -> bool:
        """Tell whether live may have let a packet after the verdict pass."""
        flow = self.flow
        assert flow.erred is not None
        spans = self.rules + self.aggregates
        since = max(flow.erred, min((span.since for span in spans), default=flow.erred))
        if time <= min(since, flow.erred + _LATEST) + GUARD:
            return True
        if any(
            abs(time - change) <= GUARD for span in spans for change in (span.since, span.until)
        ):
            return True
        # Under an aggregate only what opens connections is copied (docs/live.md).
        return (
            flow.key.protocol == "tcp"
            and not request
            and any(span.since <= time < span.until for span in self.aggregates)
        )


@dataclass(frozen=True)
class Cases:
    """All flows, and what belongs to none of them.

    Attributes:
        cases: one for each true flow, in the order of time.
        flows: rows of the flow log of which the trace knows nothing.
        packets: packets written of which it does not, ICMP errors apart.
    """

    cases: list[Case]
    flows: list[LoggedFlow]
    packets: list[LoggedPacket]


def join(
    truth: Truth,
    timeout: int,
    flows: Iterable[LoggedFlow],
    packets: Iterable[LoggedPacket],
    rules: Rules,
) -> Cases:
    """Put what was found beside what happened.

    Args:
        truth: what happened.
        timeout: ns until a flow is unanswered.
        flows: the flow log.
        packets: what the logger wrote.
        rules: what the switches had.
    """
    cases = [Case(flow, timeout) for flow in truth.flows]
    for case in cases:
        if (erred := case.flow.erred) is not None:
            fields = fields_of(case.flow.record)
            case.rules = _since(erred, rules.own(fields))
            case.aggregates = _since(erred, rules.aggregated(fields))
    return Cases(cases, _join_flows(cases, flows), _join_packets(cases, packets))


def _since(erred: int, spans: list[Span]) -> list[Span]:
    return [span for span in spans if span.until > erred]


def _join_flows(cases: list[Case], flows: Iterable[LoggedFlow]) -> list[LoggedFlow]:
    """Give each row to the true flow of its key that began closest to it; return what is left."""
    true: defaultdict[Key, list[Case]] = defaultdict(list)
    for case in cases:
        true[case.flow.key].append(case)
    pairs, left = [], []
    for number, live in enumerate(flows):
        left.append(live)
        alike = true.get(live.key, [])
        start = bisect_left(alike, live.first - _SAME_FLOW, key=_first)
        end = bisect_right(alike, live.first + _SAME_FLOW, key=_first)
        pairs += [(abs(_first(case) - live.first), number, case) for case in alike[start:end]]
    given: set[int] = set()
    for _, number, case in sorted(pairs, key=lambda pair: pair[:2]):
        if number not in given and case.live is None:
            case.live = left[number]
            given.add(number)
    return [live for number, live in enumerate(left) if number not in given]


def _join_packets(cases: list[Case], packets: Iterable[LoggedPacket]) -> list[LoggedPacket]:
    """Give each packet to the true flow that lived then; return what belongs to none."""
    true: defaultdict[bytes, list[Case]] = defaultdict(list)
    for case in cases:
        true[case.flow.name].append(case)
    left = []
    for packet in packets:
        alike = true.get(packet.name, [])
        at = bisect_right(alike, packet.time + _SKEW, key=_first)
        if at:
            alike[at - 1].written.append(packet)
        elif not packet.error:
            left.append(packet)
    return left


def _first(case: Case) -> int:
    return case.flow.first
