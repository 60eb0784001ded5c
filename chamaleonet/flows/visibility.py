"""Can replies be seen at all? Where they cannot, silence says nothing about who is silent.

A dead mirror port, asymmetric routing or a full ring make everything look unanswered. That is told
from failures by who is affected, interval by interval and group by group (sights.py):

* *answered_share*: the share of clients that are answered on half of their flows or more, that of
  servers that answer so, and the answers per second all fall below a part of what is usual there. A
  client that scans or a server that is down touches one of them, and a flood with forged sources
  leaves the answers there.
* *one_way*: as before, and not one answer is left; or, before anything is known to be usual, many
  clients inside ask many servers and nobody is ever heard; or responses come from many addresses
  outside that nothing was seen to ask, while nothing is seen the other way at all.

Answers stop when replies get out of sight, but verdicts only after the timeout: where there are
enough clients, this is noticed before the first verdict that it spoils. Where there are few, an
interval goes on until there are enough, or until it says nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from chamaleonet.flows.records import Direction
from chamaleonet.flows.sights import CLIENTS, COUNTS, SERVERS, SLOTS, Seen, Sights, distinct
from chamaleonet.flows.usual import Interval, Usual

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_SECOND = 10**9
MANY = 20  # clients
_LONGEST = 60 * _SECOND  # what is not decided then will not be

# From where to where the replies to a direction's flows go.
_LEAVING, _ENTERING = 0, 1
_REPLIES = {Direction.OUTBOUND: _ENTERING, Direction.INBOUND: _LEAVING}
# Whose addresses are outside: of an unasked response, who sent it or who got it.
_OUTSIDE = {Direction.OUTBOUND: SERVERS, Direction.INBOUND: CLIENTS}


class Reason(StrEnum):
    """Why verdicts are suspect."""

    ANSWERED_SHARE = "answered_share"  # far fewer answers than usual
    ONE_WAY = "one_way"  # no answer at all
    DROPS = "drops"  # packets were lost on their way to us


@dataclass(frozen=True, slots=True)
class Thresholds:
    """When verdicts are suspect.

    Attributes:
        interval: ns from one look to the next.
        clients: distinct clients, at least, that something is concluded from.
        cliff: the part of what is usual below which answers must fall.
        recovery: ns that answers must be back before verdicts are sound again; more than the
            engine's timeout, or flows that began out of sight are taken for sound.
    """

    interval: int = _SECOND
    clients: int = MANY
    cliff: float = 0.5
    recovery: int = 10 * _SECOND


class Change(NamedTuple):
    """Verdicts become suspect, or sound again.

    Attributes:
        prefix: number of the internal prefix; 0: all together.
        direction: of the flows.
        reason: why.
        suspect: whether they are now.
    """

    prefix: int
    direction: Direction
    reason: Reason
    suspect: bool


@dataclass(slots=True)
class _Group:
    """An internal prefix and a direction: what was counted lately, and what is known.

    Attributes:
        prefix, direction: which group it is.
        begun: since when it is counted.
        counts: what was: as in Sights, of one group.
        usual: what is usual here.
        missed: clients that asked, and that were heard, in the last intervals, as long as answers
            have been missing: until that is no chance.
        reason: why its verdicts are suspect.
        one_sided: they are because nothing at all goes the way that replies go.
        back: since when answers are back.
    """

    prefix: int
    direction: Direction
    begun: int
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(COUNTS, np.int64))
    usual: Usual = field(default_factory=Usual)
    missed: tuple[float, float] = (0.0, 0.0)
    reason: Reason | None = None
    one_sided: bool = False
    back: int | None = None


class Visibility:
    """Tells where replies are out of sight.

    Args:
        sights: what the engine counts; what was looked at is cleared.
        thresholds: when verdicts are suspect.
        now: ns, of the engine's clock; as in all calls.

    Attributes:
        thresholds: may be replaced; the interval must stay.
    """

    def __init__(self, sights: Sights, thresholds: Thresholds, now: int) -> None:
        self._sights, self.thresholds = sights, thresholds
        prefixes = len(sights.flows)
        self._next = now // thresholds.interval  # which interval is to be looked at
        self._groups = [
            _Group(prefix, direction, now) for prefix in range(prefixes) for direction in Direction
        ]
        # How often something was seen to go each way, and when last, by prefix.
        self._crossings = np.zeros((prefixes, 2), np.int64)
        self._last_crossed = np.full((prefixes, 2), now, np.int64)

    def look(self, now: int) -> Iterator[Change]:
        """Look at the intervals that are over since the last time; yield what changes.

        Answers have half an interval to arrive after its end.
        """
        interval = self.thresholds.interval
        over = (now - interval // 2) // interval  # the first one that is not
        if over <= self._next:
            return
        crossings = _crossings(self._sights.flows)
        self._last_crossed[crossings > self._crossings] = now
        self._crossings = crossings
        if over - self._next >= SLOTS:  # we were away: whose they are cannot be told
            self._sights.counts[:] = 0
            self._next = over
        while self._next < over:
            counts = self._sights.counts[self._next % SLOTS]
            self._next += 1
            yield from self._take(counts, self._next * interval)
            counts[:] = 0

    def _take(self, counts: NDArray[np.uint32], end: int) -> Iterator[Change]:
        """Look at an interval that ended then."""
        busy: Any = counts.any(axis=(2, 3, 4))
        for group in self._groups:
            where = group.prefix, group.direction
            if busy[where]:
                group.counts += counts[where]
            elif not group.counts.any():
                group.begun = end
                continue
            if self._is_over(group, end):
                was = group.reason
                self._conclude(group, end)
                reason = group.reason or was
                if reason is not None and was is not group.reason:
                    yield Change(*where, reason, suspect=group.reason is not None)
                group.begun = end
                group.counts[:] = 0

    def _least(self, group: _Group) -> int:
        """Return how many clients there must be for a conclusion; to trust again, fewer."""
        clients = self.thresholds.clients
        return clients if group.reason is None else max(clients // 4, 1)

    def _is_one_sided(self, group: _Group) -> bool:
        """Return whether nothing goes the way that replies go, though requests must."""
        outside = _OUTSIDE.get(group.direction)
        return (
            outside is not None
            and bool(distinct(group.counts[Seen.UNASKED, outside]) >= self.thresholds.clients)
            and not self._crosses(group)
        )

    def _crosses(self, group: _Group) -> bool:
        """Return whether anything was seen to go the way that replies go."""
        way = _REPLIES.get(group.direction)
        return way is None or bool(self._last_crossed[group.prefix, way] > group.begun)

    def _is_over(self, group: _Group, end: int) -> bool:
        """Return whether enough is known to conclude something, or ever will be."""
        return (
            end - group.begun >= _LONGEST
            or group.one_sided
            or bool(distinct(group.counts[Seen.ASKED, CLIENTS]) >= self._least(group))
            or self._is_one_sided(group)
        )

    def _conclude(self, group: _Group, end: int) -> None:
        seen = Interval.of(group.counts, end - group.begun)
        one_sided = self._is_one_sided(group)
        missing: bool | None
        if group.one_sided:
            missing = not self._crosses(group)
        else:
            missing = one_sided or self._are_missing(group, seen)
        if missing is None:
            return
        if missing:
            if group.reason is None:
                group.reason = Reason.ANSWERED_SHARE if seen.answers else Reason.ONE_WAY
                group.one_sided = one_sided
            group.back = None
        elif group.reason is None:
            group.usual.learn(seen)
        else:
            group.back = group.begun if group.back is None else group.back
            if end - group.back >= self.thresholds.recovery:
                group.reason = group.back = None
                group.missed = 0.0, 0.0
                group.one_sided = False

    def _are_missing(self, group: _Group, seen: Interval) -> bool | None:
        """Return whether answers are missing; None where that cannot be told."""
        clients, servers = seen.asked
        if clients < self._least(group):
            return None
        many = servers >= self._least(group) / 4
        usual, cliff = group.usual, self.thresholds.cliff
        if usual.known and group.reason is not None:
            return usual.is_missed(seen, (1 + cliff) / 2)
        if usual.known:
            if not (many and usual.is_missed(seen, cliff)):
                group.missed = 0.0, 0.0
                return False
            group.missed = (
                group.missed[0] + clients,
                group.missed[1] + seen.shares[CLIENTS] * clients,
            )
            return True if usual.is_no_chance(*group.missed) else None
        if seen.answers:
            return False
        # Clients outside may well ask in vain for ever: scans, and a firewall.
        return many if group.direction in (Direction.OUTBOUND, Direction.INTERNAL) else None


def _crossings(flows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how often something was seen to leave, and to enter, by prefix: shape (n, 2)."""
    outbound, inbound = flows[:, Direction.OUTBOUND], flows[:, Direction.INBOUND]

    def sent(begun_here: NDArray[np.int64], begun_there: NDArray[np.int64]) -> NDArray[np.int64]:
        return begun_here[:, Seen.ASKED] + begun_here[:, Seen.UNASKED] + begun_there[:, Seen.HEARD]

    return np.stack([sent(outbound, inbound), sent(inbound, outbound)], axis=1)


def one_way(sights: Sights, clients: int = MANY) -> list[Direction]:
    """Return the directions of which a whole capture holds the requests, but no reply.

    Args:
        sights: of the whole capture, never cleared.
        clients: distinct clients, at least, that something is concluded from.
    """
    copies = Sights(sights.counts.copy(), sights.flows)
    visibility = Visibility(copies, Thresholds(interval=_LONGEST, clients=clients), 0)
    return [change.direction for change in visibility.look(2 * _LONGEST) if change.prefix == 0]
