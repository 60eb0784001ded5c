"""Two nodes without a service: each sees whether the other one lives, and who has which priority.

Where they cannot see each other both will be master. Then the switch decides: it takes the one that
has claimed last, by its generation id, and the other one learns so from the switch and stands back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from chamaleonet.election.lease import ASKS

if TYPE_CHECKING:
    from collections.abc import Callable


class Peer(NamedTuple):
    """What the other node said last.

    Attributes:
        heard: when, in seconds of our clock; -inf if never.
        is_master: whether it was master.
        priority: its priority.
    """

    heard: float
    is_master: bool
    priority: int


class PriorityLease:
    """See lease.Lease.

    Args:
        priority: ours; the other node has another one.
        seconds: a node that was not heard of for so long is dead.
        peer: returns what the other node said last.
        new_term: returns a number for a term that begins.
        clock: seconds, of a clock that runs evenly.
        preempt: after so many seconds as standby, take over from a master of lower priority; None:
            never.
    """

    def __init__(
        self,
        priority: int,
        seconds: float,
        peer: Callable[[], Peer],
        new_term: Callable[[], int],
        *,
        clock: Callable[[], float],
        preempt: float | None = None,
    ) -> None:
        self._priority, self._seconds = priority, seconds
        self._peer, self._new_term, self._clock = peer, new_term, clock
        self._preempt = preempt
        self._since = self._asked = clock()
        self._silence = 0.0
        self._term: int | None = None

    def hold(self) -> int | None:
        """Be master, or not; to be called ASKS times within ``seconds``."""
        now = self._clock()
        # Where we were asleep ourselves, the other one could not be heard.
        self._silence += min(now - self._asked, 1.5 * self._seconds / ASKS)
        if self._peer().heard > self._asked:
            self._silence = 0.0
        self._asked = now
        if self._term is None and self._may_begin():
            self._term = self._new_term()
        return self._term

    def _may_begin(self) -> bool:
        peer = self._peer()
        if self._silence >= self._seconds:
            return True  # we are alone
        if peer.heard < self._since or peer.priority >= self._priority:
            return False
        if not peer.is_master:
            return self._silence == 0.0
        return self._preempt is not None and self._asked - self._since >= self._preempt

    def release(self) -> None:
        """Stand back."""
        self._term = None
