"""How much of the erroneous traffic one internal host is the cause of.

A healthy network's failures come from many hosts; a worm, a scanner or a host whose server is gone
shows as one that has most of them. The metric must not name the host, and must not grow with the
number of hosts: spoofed addresses are endless. So hosts are counted by a Misra-Gries summary
(J. Misra, D. Gries, "Finding repeated elements", 1982), merged batch by batch (P. K. Agarwal et
al., "Mergeable summaries", PODS 2012, section 3), whose weights halve every few minutes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from chamaleonet.flows.records import MARK_CLIENT_HIGH, Change, Direction
from chamaleonet.flows.transitions import ERRONEOUS

if TYPE_CHECKING:
    from numpy.typing import NDArray

HALF_LIFE = 300 * 10**9  # ns
CAPACITY = 255  # hosts that are known at once: shares are right to 1/256

_IS_ERRONEOUS = np.isin(np.arange(256), ERRONEOUS)  # by state


class HeavyHost:
    """The share of the heaviest key in a stream whose past fades.

    Args:
        capacity: keys that are kept.
        half_life: ns in which what was counted loses half its weight.
    """

    def __init__(self, capacity: int = CAPACITY, half_life: int = HALF_LIFE) -> None:
        self._capacity, self._half_life = capacity, half_life
        self._hi = self._lo = np.empty(0, np.uint64)
        self._weights = np.empty(0)
        self._total = 0.0
        self._last = 0

    def add(self, hi: NDArray[np.uint64], lo: NDArray[np.uint64], now: int) -> None:
        """Count each address once, at ``now`` (ns)."""
        # Time that went back is taken for none.
        fade = 0.5 ** (max(0, now - self._last) / self._half_life)
        self._last = max(now, self._last)
        self._total = self._total * fade + len(hi)
        self._hi, self._lo = np.concatenate([self._hi, hi]), np.concatenate([self._lo, lo])
        self._weights = np.concatenate([self._weights * fade, np.ones(len(hi))])
        self._merge()

    def _merge(self) -> None:
        order = np.lexsort((self._lo, self._hi))
        hi, lo, weights = self._hi[order], self._lo[order], self._weights[order]
        first = np.flatnonzero(np.r_[True, (hi[1:] != hi[:-1]) | (lo[1:] != lo[:-1])])
        hi, lo, weights = hi[first], lo[first], np.add.reduceat(weights, first)
        if len(weights) > self._capacity:
            at = len(weights) - self._capacity - 1
            weights = weights - np.partition(weights, at)[at]  # the heaviest that has no place
            kept = weights > 0
            hi, lo, weights = hi[kept], lo[kept], weights[kept]
        self._hi, self._lo, self._weights = hi, lo, weights

    @property
    def share(self) -> float:
        """The heaviest key's part of all: never too high, at most 1 / (capacity + 1) too low."""
        return float(self._weights.max()) / self._total if len(self._weights) else 0.0


class Concentration:
    """For each direction, the share of the erroneous flows that one internal host has.

    The host is the client, of inbound flows the server; transit flows have none.
    """

    def __init__(self) -> None:
        self._hosts = {
            direction: HeavyHost() for direction in Direction if direction is not Direction.TRANSIT
        }

    def add(self, events: NDArray[Any], now: int) -> None:
        """Count the flows that became erroneous: FLOW_EVENT, shape (n,); at ``now`` (ns)."""
        flows = events["flow"]
        became = np.flatnonzero(
            (events["change"] == Change.JUDGED)
            & _IS_ERRONEOUS[flows["state"]]
            & ~_IS_ERRONEOUS[events["was"]]
        )
        if not len(became):
            return
        # Field by field: a copy of whole records costs more.
        directions = flows["direction"][became]
        client_high = flows["marks"][became] & MARK_CLIENT_HIGH != 0
        high = client_high != (directions == Direction.INBOUND)
        hi = np.where(high, flows["high_hi"][became], flows["low_hi"][became])
        lo = np.where(high, flows["high_lo"][became], flows["low_lo"][became])
        for direction, hosts in self._hosts.items():
            own = directions == direction
            if own.any():
                hosts.add(hi[own], lo[own], now)

    def shares(self) -> dict[Direction, float]:
        """Return the share of each direction's most erroneous host, from 0 to 1."""
        return {direction: hosts.share for direction, hosts in self._hosts.items()}
