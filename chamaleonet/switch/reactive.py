"""The reactive pipeline: any OpenFlow 1.3 switch, no extensions.

A packet that no rule knows goes to the controller and on its way at the same time. Once a flow is
answered (or came midstream, and is never judged), a bypass rule for each of its directions lets
its packets pass unseen. The switch removes a bypass that was idle and says so; then its twin goes
as well and the flow is forgotten, so that what comes next is judged afresh.

A redirect rule for many flows stands below the bypass rules: what is answered passes by it.

ICMP queries, DCCP and UDP-Lite get no bypass: OpenFlow 1.3 cannot tell one such flow from another
between the same two hosts, and an answered one would hide the others' failures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chamaleonet.flows.records import Direction
from chamaleonet.flows.transitions import State
from chamaleonet.switch.aggregate import Aggregate, Prefix, wider
from chamaleonet.switch.match import FlowKey
from chamaleonet.switch.pipeline import Change, Flow, Frame
from chamaleonet.switch.rules import PORTS, Cookie, Kind, Match, Rule

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy as np


_PRIORITY = 100
_AGGREGATE = 50


class ReactivePipeline:
    """Sorts by packet-ins and bypass rules; see ``chamaleonet.switch.pipeline.Pipeline``.

    Args:
        frame: the tables and ports of the switch.
        idle_timeout: the flows' idle timeout, ns.
    """

    judged: tuple[State, ...] = (State.ANSWERED, State.RECOVERED, State.MIDSTREAM)
    passes_closings = True  # as long as there is no bypass

    def __init__(self, frame: Frame, idle_timeout: int) -> None:
        self._frame = frame
        self._miss = frame.candidate
        idle = frame.switch.reactive.idle_timeout or idle_timeout
        self._idle_timeout = max(1, min(-(-idle // 10**9), 65535))
        self._by_service = frame.switch.reactive.granularity == "service"
        self._of_identity: dict[int, tuple[Flow, tuple[Rule, Rule]]] = {}
        self._of_match: dict[Match, int] = {}
        self._identity = 0

    def static_rules(self) -> Iterator[Rule]:
        """Yield all rules that are there without any flow."""
        yield from self._frame.static_rules()
        tables = self._frame.tables
        yield Rule(tables.filter, 0, actions=(self._miss,), goto=tables.forward)

    def on_judged(self, event: np.void) -> Iterator[Change]:
        """Yield the bypass rules of a flow that needs watching no more."""
        key = FlowKey.of(event["flow"])
        if not key.is_exact:
            return
        there, back = self._matches(key, Direction(event["flow"]["direction"]))
        known = self._of_match.get(there)
        if known is not None:
            if self._by_service:
                return
            self._forget(known)  # a flow of the same key before; its rules are replaced
        self._identity = self._identity + 1 & 0xFFFFFFFF
        rules = self._rule(there), self._rule(back)
        flow = Flow(int(event["row"]), int(event["flow"]["first"]))
        self._of_identity[self._identity] = flow, rules
        self._of_match[there] = self._identity
        yield from map(Change, rules)

    def on_removed(self, cookie: Cookie) -> tuple[Iterable[Change], Flow | None]:
        """Take the removal of a bypass: its twin is to go too, and its flow to be forgotten."""
        if cookie.identity not in self._of_identity:
            return (), None
        flow, rules = self._forget(cookie.identity)
        return [Change(rule, add=False) for rule in rules], flow

    def aggregates(self, key: FlowKey, inside: Prefix | None) -> tuple[Aggregate, ...]:
        """Return all aggregates that match a flow."""
        return wider(key, inside, of_one_protocol=False)

    def aggregate_rule(self, aggregate: Aggregate) -> Rule:
        """Return the rule of an aggregate: a packet without a bypass goes to the logger too."""
        tables = self._frame.tables
        actions = self._frame.logger, self._miss
        return Rule(tables.filter, _AGGREGATE, aggregate.match, actions, tables.forward)

    def _forget(self, identity: int) -> tuple[Flow, tuple[Rule, Rule]]:
        flow, rules = self._of_identity.pop(identity)
        del self._of_match[rules[0].match]
        return flow, rules

    def _matches(self, key: FlowKey, direction: Direction) -> tuple[Match, Match]:
        """Return the matches of both directions; the first one names the bypass."""
        if not self._by_service or key.protocol not in PORTS:
            return key.client_to_server(), key.server_to_client()
        inside = (
            (key.client, key.client_port)
            if direction == Direction.OUTBOUND
            else (key.server, key.server_port)
        )
        return key.to_service(*inside), key.from_service(*inside)

    def _rule(self, match: Match) -> Rule:
        return Rule(
            self._frame.tables.filter, _PRIORITY, match, goto=self._frame.tables.forward,
            cookie=Cookie(Kind.BYPASS, self._identity), idle_timeout=self._idle_timeout,
            notify=True,
        )  # fmt: skip
