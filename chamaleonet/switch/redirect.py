"""Redirect rules: the packets of erroneous flows, copied to the logger."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from chamaleonet.flows.records import Change as FlowChange
from chamaleonet.switch.match import FlowKey
from chamaleonet.switch.pipeline import Change, Frame
from chamaleonet.switch.rules import Cookie, Kind, Match, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    from chamaleonet.flows.transitions import State

_PRIORITY = 100


@dataclass(slots=True)
class _Redirect:
    """One rule and the flows that want it; ``installed`` is False after the switch idled it out."""

    rule: Rule
    rows: set[int] = field(default_factory=set)
    installed: bool = False


class Redirects:
    """Which redirect rules a switch should have, by the flow events of its engine.

    It must be told of every flow that enters or leaves a captured state (JUDGED), and that ends in
    one (ENDED).

    Args:
        frame: the tables and ports of the switch.
        captured: the states whose packets are redirected.

    Attributes:
        refused: how often a rule was wanted, but ``max_rules`` were there already.
    """

    def __init__(self, frame: Frame, captured: tuple[State, ...]) -> None:
        self._frame = frame
        self._captured = frozenset(map(int, captured))
        self._max_rules = frame.switch.redirect.max_rules
        self._idle_timeout = frame.switch.redirect.idle_timeout // 10**9
        self._of_match: dict[Match, _Redirect] = {}
        self._of_row: dict[int, _Redirect] = {}
        self._of_identity: dict[int, _Redirect] = {}
        self._identity = 0
        self.refused = 0

    def __len__(self) -> int:
        return len(self._of_identity)

    def on_event(self, event: np.void) -> Iterator[Change]:
        """Take a FLOW_EVENT, of whatever kind; yield what is to change in the switch."""
        row = int(event["row"])
        captured = (
            event["change"] == FlowChange.JUDGED and int(event["flow"]["state"]) in self._captured
        )
        if captured:
            yield from self._want(row, event["flow"], int(event["time"]))
        elif row in self._of_row:
            yield from self._release(row)

    def on_packet(self, row: int) -> Iterator[Change]:
        """Take note that the client of an erroneous flow spoke; its rule may have idled out."""
        redirect = self._of_row.get(row)
        if redirect is not None and not redirect.installed:
            yield from self._install(redirect, due=0)

    def on_removed(self, cookie: Cookie) -> Rule | None:
        """Take note that the switch removed or refused a rule; return it if it is a live one."""
        redirect = self._of_identity.pop(cookie.identity, None)
        if redirect is None:
            return None
        redirect.installed = False
        return redirect.rule

    def _want(self, row: int, flow: np.void, due: int) -> Iterator[Change]:
        if row in self._of_row:
            return
        match = FlowKey.of(flow).client_to_server()
        redirect = self._of_match.get(match)
        if redirect is None:
            rule = Rule(
                self._frame.tables.redirect, _PRIORITY, match, (self._frame.logger,),
                self._frame.tables.filter, idle_timeout=self._idle_timeout, notify=True,
            )  # fmt: skip
            redirect = self._of_match[match] = _Redirect(rule)
        redirect.rows.add(row)
        self._of_row[row] = redirect
        if not redirect.installed:
            yield from self._install(redirect, due)

    def _install(self, redirect: _Redirect, due: int) -> Iterator[Change]:
        if len(self._of_identity) >= self._max_rules:
            self.refused += 1
            return
        # A new identity each time: the removal of the rule's former self may still be on its way.
        self._identity = self._identity + 1 & 0xFFFFFFFF
        redirect.rule = redirect.rule.with_cookie(Cookie(Kind.REDIRECT, self._identity))
        redirect.installed = True
        self._of_identity[self._identity] = redirect
        yield Change(redirect.rule, due=due)

    def _release(self, row: int) -> Iterator[Change]:
        redirect = self._of_row.pop(row)
        redirect.rows.remove(row)
        if redirect.rows:
            return
        del self._of_match[redirect.rule.match]
        if redirect.installed:
            del self._of_identity[redirect.rule.cookie.identity]
            yield Change(redirect.rule, add=False)
