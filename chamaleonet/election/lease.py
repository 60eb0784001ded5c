"""A lease: who holds it is master, for as long as it is sure to hold it.

What a service grants runs from when it granted it, which is after we asked and before we heard. So
a master counts from when it asked, and stops a margin before the end: by then nobody else can have
the lease, however long an answer took. Clocks of two machines are never compared.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

_SURE = 0.8  # of a lease's time, in which its holder takes it for its own
ASKS = 4


class LeaseError(Exception):
    """Who holds the lease could not be found out."""


class Lease(Protocol):
    """A way to elect a master."""

    def hold(self) -> int | None:
        """Take the lease if it is free, or renew it if it is ours.

        Returns:
            The term: a number that grows with each master. None if somebody else is master.

        Raises:
            LeaseError: it could not be found out.
        """

    def release(self) -> None:
        """Give the lease up if it is ours, as far as that can be done."""


class Candidacy:
    """Tries to be master, and knows for how long it is.

    Args:
        lease: may take long to answer; asked in one thread alone.
        seconds: the lease's time; infinite where a term ends by other means.
        clock: seconds, of a clock that runs evenly.
    """

    def __init__(self, lease: Lease, seconds: float, clock: Callable[[], float]) -> None:
        self._lease, self._seconds, self._clock = lease, seconds, clock
        self._term: int | None = None
        self._until = 0.0
        self._failed = False

    @property
    def term(self) -> int | None:
        """The term in which we are master now, or None. For any thread."""
        return self._term if self._clock() < self._until else None

    def ask(self) -> None:
        """Take or renew the lease; to be called ASKS times within the lease's time."""
        asked = self._clock()
        try:
            term = self._lease.hold()
        except LeaseError as error:
            if not self._failed:
                log.warning("who is master cannot be found out: %s", error)
            self._failed = True
            return
        if self._failed:
            log.warning("who is master can be found out again")
            self._failed = False
        if term is None:
            self._until = 0.0
        else:
            self._term, self._until = term, asked + _SURE * self._seconds

    def resign(self) -> None:
        """Be master no longer, and let the other one be it at once."""
        if self.term is not None:
            self._until = 0.0
            self._lease.release()
