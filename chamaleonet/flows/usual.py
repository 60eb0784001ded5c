"""What answers are usually like, and whether they are missing."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np

from chamaleonet.flows.sights import CLIENTS, SERVERS, Seen, distinct

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SECOND = 10**9
_MEMORY = 300 * _SECOND  # what is usual is an average of about so long
_KNOWN = 10  # intervals until something is usual
_SIGMAS = 5  # standard deviations that chance does not reach


class Interval(NamedTuple):
    """What was seen of a group in an interval.

    Attributes:
        age: ns.
        asked: clients that asked, and servers that were asked: distinct ones.
        shares: of these, how many were heard, or spoke, on half of their flows or more.
        answers: how many there were.
    """

    age: int
    asked: tuple[float, float]
    shares: tuple[float, float]
    answers: int

    @classmethod
    def of(cls, counts: NDArray[np.int64], age: int) -> Self:
        """Return what a group's counts (as in Sights) tell."""
        asked, heard = counts[Seen.ASKED], counts[Seen.HEARD]
        there = (asked > 0).sum(axis=-1)
        answered = ((asked > 0) & (2 * heard >= asked)).sum(axis=-1)
        shares = answered / np.maximum(there, 1)
        hosts = distinct(asked)
        return cls(
            age=age,
            asked=(float(hosts[CLIENTS]), float(hosts[SERVERS])),
            shares=(float(shares[CLIENTS]), float(shares[SERVERS])),
            answers=int(heard[CLIENTS].sum()),
        )

    @property
    def rate(self) -> float:
        """Answers per second."""
        return self.answers * _SECOND / self.age


class Usual:
    """What a group's answers are like when all is well: moving averages."""

    def __init__(self) -> None:
        self._intervals = 0
        self.shares = [0.0, 0.0]
        self.rate = 0.0

    @property
    def known(self) -> bool:
        """Whether enough was seen to say so."""
        return self._intervals >= _KNOWN

    def learn(self, seen: Interval) -> None:
        """Take an interval in which all was well."""
        self._intervals += 1
        weight = max(1 / self._intervals, 1 - math.exp(-seen.age / _MEMORY))
        for end in (CLIENTS, SERVERS):
            self.shares[end] += weight * (seen.shares[end] - self.shares[end])
        self.rate += weight * (seen.rate - self.rate)

    def is_missed(self, seen: Interval, part: float) -> bool:
        """Return whether answers are below a part of what is usual, in every regard."""
        return (
            all(seen.shares[end] < part * self.shares[end] for end in (CLIENTS, SERVERS))
            and seen.rate < part * self.rate
        )

    def is_no_chance(self, asked: float, heard: float) -> bool:
        """Return whether it is more than bad luck that so few of so many clients were heard."""
        share = self.shares[CLIENTS]
        deviation = max(math.sqrt(share * (1 - share) * asked), 1.0)
        return share * asked - heard >= _SIGMAS * deviation
