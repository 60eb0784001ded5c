"""Who asked and who was heard: a few counters for each verdict.

Whether replies can be seen at all is a matter of hosts, not of flows: one client that scans, or one
server that is down, makes any number of failures. So what is asked and answered is counted by
client and by server, in buckets that a keyed hash chooses; from how many of them are in use the
number of hosts is estimated (linear counting: Whang, Vander-Zanden and Taylor, "A linear-time
probabilistic counting algorithm for database applications", ACM TODS 15(2), 1990). That costs
nothing per packet, and what engines with the same keys count can be added up.

An answer counts for the interval in which it was asked for. A *group* is an internal prefix and a
direction. Prefix 0 stands for all prefixes together.
"""

from __future__ import annotations

import secrets
from enum import IntEnum
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from chamaleonet.flows.records import MARK_CLIENT_HIGH, Direction
from chamaleonet.flows.transitions import State
from chamaleonet.kernels import inlined

if TYPE_CHECKING:
    from numpy.typing import NDArray

BUCKETS = 256
SLOTS = 4  # intervals that are counted at once: of those before and after, some answers come

U64 = np.uint64


class Seen(IntEnum):
    """What was seen of a flow."""

    ASKED = 0  # its client asked for an answer
    HEARD = 1  # its server spoke
    UNASKED = 2  # its first packet is a response to a request that was not seen


CLIENTS, SERVERS = 0, 1  # whose buckets they are
COUNTS = (len(Seen), 2, BUCKETS)  # of a group

_NOTHING = len(Seen)
_SEEN = np.full(len(State), _NOTHING, np.int64)
_SEEN[State.PENDING] = Seen.ASKED
_SEEN[[State.ANSWERED, State.RECOVERED, State.REFUSED]] = Seen.HEARD
_SEEN[State.UNSOLICITED] = Seen.UNASKED


class Sights(NamedTuple):
    """What was seen, by group; plain arrays, which whoever reads them clears as well.

    Attributes:
        counts: uint32, shape (SLOTS, prefixes + 1, len(Direction), len(Seen), 2, BUCKETS): flows
            of an interval by client and by server.
        flows: int64, shape (prefixes + 1, len(Direction), len(Seen)): how many, ever.
    """

    counts: NDArray[np.uint32]
    flows: NDArray[np.int64]

    def join(self, places: NDArray[np.int64], other: Sights) -> None:
        """Add what another engine with the same keys has counted.

        Args:
            places: of ``other.counts``, shape (n,), in ours with its first three dimensions as one.
            other: counts of n groups and slots, and all flows.
        """
        flat = _flat(self.counts)
        flat[places] += other.counts
        self.flows[:] += other.flows

    def take(self) -> tuple[NDArray[np.int64], Sights]:
        """Return what ``join`` takes, and forget it."""
        flat = _flat(self.counts)
        places = np.flatnonzero(flat.any(axis=(1, 2, 3)))
        taken = Sights(flat[places], self.flows.copy())
        flat[places] = 0
        self.flows[:] = 0
        return places, taken


def _flat(counts: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Return a view with one dimension for slots and groups."""
    return counts.reshape(-1, *COUNTS)


def new_keys() -> NDArray[np.uint64]:
    """Return the secret of a hash: uint64, shape (3,), for ``new_table``."""
    return np.frombuffer(secrets.token_bytes(24), U64) | U64(1)


def new_sights(prefixes: int) -> Sights:
    """Return empty arrays for so many internal prefixes."""
    groups = prefixes + 1, len(Direction)
    return Sights(
        np.zeros((SLOTS, *groups, *COUNTS), np.uint32), np.zeros((*groups, len(Seen)), np.int64)
    )


@inlined
def _count(counts: Any, seen: int, client: int, server: int) -> None:
    counts[seen, CLIENTS, client] += np.uint32(1)
    counts[seen, SERVERS, server] += np.uint32(1)


@inlined
def _bucket(table: Any, hi: Any, lo: Any) -> int:
    """Return an address's bucket.

    Multiplied twice: neighbours would not be scattered at random by the first alone.
    """
    keys = table.sight_keys
    mixed = keys[0] * lo + keys[1] * hi
    mixed = (mixed ^ mixed >> U64(32)) * keys[2]
    return int(mixed >> U64(56))


@inlined
def note_sight(table: Any, flow: Any, now: int, interval: int) -> None:
    """Count what a flow's new state says was seen of it.

    Args:
        table: a Table.
        flow: a FLOW record.
        now: ns.
        interval: ns.
    """
    seen = _SEEN[flow.state]
    if seen == _NOTHING:
        return
    table.sighted[0, flow.direction, seen] += 1
    if flow.prefix:
        table.sighted[flow.prefix, flow.direction, seen] += 1
    asked = flow.first // interval
    if now // interval - asked > 1:
        return  # an answer that is too late to count for anything
    client = _bucket(table, flow.low_hi, flow.low_lo)
    server = _bucket(table, flow.high_hi, flow.high_lo)
    if flow.marks & np.uint8(MARK_CLIENT_HIGH):
        client, server = server, client
    counts = table.sights[asked % SLOTS]
    _count(counts[0, flow.direction], seen, client, server)
    if flow.prefix:
        _count(counts[flow.prefix, flow.direction], seen, client, server)


def distinct(counts: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
    """Return how many different addresses were counted.

    Args:
        counts: integers, shape (..., BUCKETS).

    Returns:
        float64, shape (...): an estimate; 1420 stands for that many and more.
    """
    unused = (counts == 0).sum(axis=-1)
    estimate: NDArray[np.float64] = -BUCKETS * np.log(np.maximum(unused, 1) / BUCKETS)
    return estimate
