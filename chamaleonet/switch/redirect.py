"""Redirect rules: the packets of erroneous flows, copied to the logger, within a budget.

Each flow has a rule of its own while there is room. When the rules come near the budget, those of
many flows become one (``chamaleonet.switch.aggregate``), and when the pressure is gone they become
single rules again. A flow is covered by one rule at a time, so no packet is copied twice, but for
the moment between adding what replaces a rule and deleting the rule.

A rule that the switch removed as idle sleeps until its flow's client speaks again. What found no
room, or was refused by the switch, is set aside: it is counted, and tried again later.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from chamaleonet.flows.records import Change as FlowChange
from chamaleonet.switch.aggregate import Group, Lattice, Prefix, Want, Wish
from chamaleonet.switch.budget import Budget
from chamaleonet.switch.match import FlowKey
from chamaleonet.switch.pipeline import Change, Frame, Pipeline
from chamaleonet.switch.rules import Cookie, Kind, Rule

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy as np

    from chamaleonet.flows.transitions import State
    from chamaleonet.units import Network

_PRIORITY = 100
_SECOND = 10**9
_MOST_RETRIES = 1000  # in a second
_MOST_BACK_OFF = 64  # s
_NO_AGGREGATES = 60 * _SECOND  # after the table of aggregates was full


class Redirects:
    """Which redirect rules a switch should have, by the flow events of its engine.

    It must be told of every flow that enters or leaves a captured state (JUDGED), and that ends in
    one (ENDED).

    Args:
        pipeline: says what can be aggregated, and how.
        frame: the tables and ports of the switch.
        captured: the states whose packets are redirected.
        internal: the internal prefixes.

    Attributes:
        budget: how many rules there may be.
        refused: how often a rule was wanted, but found no room.
        aggregated: how often flows were put under one rule.
        dissolved: how often such a rule was given up.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        frame: Frame,
        captured: tuple[State, ...],
        internal: Iterable[Network] = (),
    ) -> None:
        self._pipeline = pipeline
        self._frame = frame
        self._captured = frozenset(map(int, captured))
        # Of nested prefixes the widest: then two aggregates of rank 2 never overlap.
        self._internal = sorted(map(Prefix.of, internal), key=lambda prefix: prefix.mask)
        self._idle_timeout = frame.switch.redirect.idle_timeout // _SECOND
        self.budget = Budget(frame.switch.redirect.max_rules)
        self._lattice = Lattice()
        self._of_key: dict[FlowKey, Want] = {}
        self._of_row: dict[int, Want] = {}
        self._of_identity: dict[int, Wish] = {}  # those that have a rule
        self._aside: dict[Wish, None] = {}
        self._identity = 0
        self._now = self._next_look = self._no_aggregates_before = 0
        self.refused = self.aggregated = self.dissolved = 0

    def __len__(self) -> int:
        return len(self._of_identity)

    @property
    def aggregates(self) -> int:
        """The aggregates in force."""
        return len(self._lattice.active)

    @property
    def uncovered(self) -> int:
        """The flows that found no room, or whose rule the switch refused."""
        return sum(
            len(want.rows)
            for wish in self._aside
            for want in (wish.under if isinstance(wish, Group) else (wish,))
        )

    # What happens to flows.

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
        """Take note that the client of an erroneous flow spoke; its rule may sleep."""
        want = self._of_row.get(row)
        if want is not None:
            yield from self._serve(want)

    def _want(self, row: int, flow: np.void, due: int) -> Iterator[Change]:
        if row in self._of_row:
            return
        key = FlowKey.of(flow).matchable
        want = self._of_key.get(key)
        if want is None:
            want = self._of_key[key] = Want(key)
            self._join(want)
        want.rows.add(row)
        self._of_row[row] = want
        yield from self._serve(want, due)

    def _release(self, row: int) -> Iterator[Change]:
        want = self._of_row.pop(row)
        want.rows.remove(row)
        if want.rows:
            return
        del self._of_key[want.key]
        self._aside.pop(want, None)
        group = want.group
        if group is None:
            yield from self._uninstall(want)
            self._lattice.leave(want)
            return
        del group.under[want]
        if not group.under:
            yield from self._dissolve(group)

    # What happens to rules.

    def on_removed(self, cookie: Cookie) -> Rule | None:
        """Take note that the switch removed a rule; return it if it is a live one."""
        wish = self._of_identity.get(cookie.identity)
        return None if wish is None else self._lose(wish)

    def on_refused(self, cookie: Cookie, *, full: bool) -> Iterator[Change]:
        """Take note that the switch refused to add a rule; yield what is to change for that.

        Args:
            cookie: the rule's.
            full: whether it did so because its table is full.
        """
        wish = self._of_identity.get(cookie.identity)
        if wish is None:
            return
        self._lose(wish)
        if isinstance(wish, Group):
            # Nothing shows that a narrower one would fare better: back to single rules.
            if full:
                self._no_aggregates_before = self._now + _NO_AGGREGATES
            else:
                self._lattice.bar(wish.aggregate)
            yield from self._dissolve(wish, awake=True)
        else:
            if full:
                self.budget.table_full(len(self), self._now)
            else:
                wish.failures += 1
                wait = min(1 << min(wish.failures, 10), _MOST_BACK_OFF)
                wish.not_before = self._now + wait * _SECOND
            yield from self._serve(wish)

    def on_connect(self) -> None:
        """Take note of a new connection: the switch may be another one."""
        self._lattice.unbar()
        self._no_aggregates_before = 0

    def advance(self, now: int) -> Iterator[Change]:
        """Let time pass; once a second aggregate, try again or dissolve, as there is need."""
        self._now = now
        if now < self._next_look:
            return
        self._next_look = now + _SECOND
        self.budget.advance(now)
        yield from self._relieve()
        for wish in list(islice(self._aside, _MOST_RETRIES)):
            if len(self) >= self.budget.limit:
                break
            if wish in self._aside:
                want = next(iter(wish.under)) if isinstance(wish, Group) else wish
                yield from self._serve(want)
        if len(self) > self.budget.low:
            self.budget.press(now)
        elif self.budget.is_relaxed(now):
            yield from self._dissolve_what_fits()

    def _join(self, want: Want) -> None:
        """Put a want under an aggregate in force, or below those that might come."""
        aggregates = self._pipeline.aggregates(want.key, self._inside(want.key))
        want.group = self._lattice.covering(aggregates)
        if want.group is not None:
            want.group.under[want] = None
        else:
            self._lattice.enter(want, aggregates)

    def _inside(self, key: FlowKey) -> Prefix | None:
        for prefix in self._internal:
            if prefix.version == key.version and key.server & prefix.mask == prefix.address:
                return prefix
        return None

    def _serve(self, want: Want, due: int = 0) -> Iterator[Change]:
        """See to it that a want is covered by a rule, or set aside."""
        if (want.group or want).rule is not None:
            return
        yield from self._relieve(want)
        wish = want.group or want  # it may be under another one by now
        if wish.rule is not None:
            return
        waits = self._now < wish.not_before
        if not waits and len(self) < self.budget.limit:
            yield from self._install(wish, due)
            return
        if wish in self._aside:
            del self._aside[wish]  # and to the end of the queue
        elif not waits:
            self.refused += 1
        self._aside[wish] = None

    def _relieve(self, want: Want | None = None) -> Iterator[Change]:
        """Aggregate until there is room for another rule, or this want needs none."""
        while len(self) >= self.budget.high and self._now >= self._no_aggregates_before:
            full = len(self) >= self.budget.limit
            group = self._lattice.heaviest(1 if full else self.budget.worth)
            if group is None and full and want is not None:
                group = self._lattice.own(want)
            if group is None:
                return
            yield from self._aggregate(group)

    def _aggregate(self, group: Group) -> Iterator[Change]:
        below = list(group.below)
        if len(self) >= self.budget.limit:  # one must go before
            yield from self._uninstall(next(wish for wish in below if wish.rule is not None))
        self._lattice.activate(group)
        self.aggregated += 1
        self.budget.press(self._now)
        yield from self._install(group, due=0)
        for wish in below:
            self._aside.pop(wish, None)
            yield from self._uninstall(wish)
            if isinstance(wish, Group):
                group.under |= wish.under
                for want in wish.under:
                    want.group = group
                wish.under = {}
                self._lattice.deactivate(wish)
                self.dissolved += 1
            else:
                group.under[wish] = None
                wish.group = group
                self._lattice.leave(wish)

    def _dissolve_what_fits(self) -> Iterator[Change]:
        for group in sorted(self._lattice.active, key=lambda group: len(group.under)):
            if len(self) + len(group.under) > self.budget.low:
                return
            yield from self._dissolve(group, awake=group.rule is not None)

    def _dissolve(self, group: Group, *, awake: bool = False) -> Iterator[Change]:
        """Give up an aggregate; with ``awake`` its flows get rules of their own at once."""
        self._aside.pop(group, None)
        rule = self._lose(group)
        wants, group.under = group.under, {}
        self._lattice.deactivate(group)
        self.dissolved += 1
        for want in wants:
            self._join(want)
            if awake:
                yield from self._serve(want)
        if rule is not None:
            yield Change(rule, add=False)

    def _install(self, wish: Wish, due: int) -> Iterator[Change]:
        # A new identity each time: the removal of the rule's former self may still be on its way.
        self._identity = self._identity + 1 & 0xFFFFFFFF
        wish.rule = self._rule(wish).with_cookie(Cookie(Kind.REDIRECT, self._identity))
        self._of_identity[self._identity] = wish
        self._aside.pop(wish, None)
        self._lattice.weigh(wish, 1)
        yield Change(wish.rule, due=due)

    def _uninstall(self, wish: Wish) -> Iterator[Change]:
        rule = self._lose(wish)
        if rule is not None:
            yield Change(rule, add=False)

    def _lose(self, wish: Wish) -> Rule | None:
        """Take note that a wish has no rule any more; return the one that it had."""
        rule = wish.rule
        if rule is not None:
            wish.rule = None
            del self._of_identity[rule.cookie.identity]
            self._lattice.weigh(wish, -1)
        return rule

    def _rule(self, wish: Wish) -> Rule:
        if isinstance(wish, Group):
            rule = self._pipeline.aggregate_rule(wish.aggregate)
        else:
            tables = self._frame.tables
            rule = Rule(
                tables.redirect, _PRIORITY, wish.key.client_to_server(), (self._frame.logger,),
                tables.filter,
            )  # fmt: skip
        return rule._replace(idle_timeout=self._idle_timeout, notify=True)
