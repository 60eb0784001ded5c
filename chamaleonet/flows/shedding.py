"""Shedding: whose flows are opened when there are more new ones than can be followed.

A packet of a known flow is a look-up; a new flow costs a row, later an event, and rules and
records for whoever hears of it. So a flood is cut down where flows are opened, and known flows
are never touched.

Time is cut into intervals, and each has a budget of new flows. It is shared by max-min fairness
(Bertsekas and Gallager, Data Networks, section 6.5.2): first between senders inside and senders
outside, so that sources spoofed from everywhere press on each other and not on our own hosts;
then, in either group, among buckets of source prefixes. What a bucket may open in an interval (the
group's *level*) follows from the demand in the interval before. Prefixes are spread over the
buckets by a keyed hash that is another one in each interval, so none has to share its bucket
with a flood for long.

The first interval of a flood has no demand to go by. When its budget is spent, a group that has
not had its half yet goes on, and so does each bucket up to its *floor*: at the worst an interval
opens twice its budget.

A flow that was shed must not be opened by its next packet: its reply would look like a request
that nobody answers. So the hashes of shed flows are remembered, with the end that spoke, in a
table where a newer one takes an older one's place: a flood shortens memory, but never fills it
up. (Bitmaps would fill up, and then all that is new looks shed.) The end that was shed may try
again. The other end's first packet is shed as well; what comes after that opens a flow that is
never judged (MIDSTREAM), as its beginning is not known. A SYN always begins anew.
"""

from __future__ import annotations

import os
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from chamaleonet.flows.headers import (
    BIT_EQUAL_ENDS,
    BIT_FROM_HIGH,
    BIT_REQUEST,
    BIT_RESPONSE,
    BIT_SYN,
)
from chamaleonet.kernels import inlined

if TYPE_CHECKING:
    from numpy.typing import NDArray

U16, U64 = np.uint16, np.uint64

_TCP = 6

INTERVAL = 100_000_000  # ns
BUCKETS = 256  # in each group, a power of two
_BUCKET_BITS = 8
_REMEMBERED = 1 << 20
# A remembered flow: its hash, the time in units of 2**20 ns (30 bits), which ends were shed.
_STAMP_SHIFT, _STAMP_MASK = U64(20), U64((1 << 30) - 1)
_UNLIMITED = 1 << 62

INSIDE, OUTSIDE = 0, 1
GROUPS = 2

ANY, LATE, NONE = 0, 1, 2  # what ``claim`` returns


class Quota(IntEnum):
    """The scalars of shedding, in one int64 array that kernels can write."""

    PER_INTERVAL = 0  # new flows that may be opened in an interval; 0: any number
    INTERVAL = 1  # the interval that is counted now
    BUDGET = 2  # of this interval
    OPENED = 3  # in this interval
    OPENED_INSIDE = 4
    OPENED_OUTSIDE = 5
    LEVEL_INSIDE = 6  # what a bucket may open in this interval
    LEVEL_OUTSIDE = 7
    SHARE_INSIDE = 8  # what the group may open, if its level is limited
    SHARE_OUTSIDE = 9
    SHED = 10  # packets, ever
    LAST_SHED = 11  # time of the last one, ns; -1: none


def new_quota(per_second: int) -> NDArray[np.int64]:
    """Return a Quota of so many new flows a second, 0 for any number."""
    quota = np.zeros(len(Quota), np.int64)
    quota[Quota.PER_INTERVAL] = -(-per_second * INTERVAL // 10**9)
    quota[Quota.INTERVAL] = quota[Quota.LAST_SHED] = -1
    return quota


def new_salts() -> NDArray[np.uint64]:
    """Return the secret of the buckets' hash: uint64, shape (2,)."""
    return np.frombuffer(os.urandom(2 * 8), np.uint64)


def new_remembered(per_second: int) -> NDArray[np.uint64]:
    """Return the empty memory of shed flows: uint64, shape (power of two,)."""
    return np.zeros(_REMEMBERED if per_second else 1, np.uint64)


def new_buckets() -> NDArray[np.int32]:
    """Return what each bucket wanted and got in an interval: int32, shape (2, groups, buckets)."""
    return np.zeros((2, GROUPS, BUCKETS), np.int32)


@inlined
def bucket_of(salts: Any, interval: int, group: int, version: Any, hi: Any, lo: Any) -> int:
    """Return the bucket of a source address in an interval.

    A prefix is a subnet inside (/24, /64) and about a network outside (/16, /32). Multiply-shift
    hashing (Dietzfelbinger et al., Journal of Algorithms 25(1), 1997): two prefixes collide with
    a probability of 2 / BUCKETS at most, over the secret multipliers.
    """
    word = U64(hi)
    if version == U64(4):
        word = U64(lo) >> U64(8 if group == INSIDE else 16)
    elif group == OUTSIDE:
        word >>= U64(32)
    multiplier = (salts[0] + salts[1] * U64(interval)) | U64(1)
    return int(multiplier * word >> U64(64 - _BUCKET_BITS))


@inlined
def water_level(demand: Any, share: int) -> int:
    """Return the largest level, at least 1, with ``sum(min(demand, level)) <= share``.

    It is unlimited where the whole demand fits.
    """
    below, above = 1, 1
    total = 0
    for i in range(len(demand)):
        total += int(demand[i])
        above = max(above, int(demand[i]))
    if total <= share:
        return _UNLIMITED
    while below < above:
        middle = (below + above + 1) >> 1
        total = 0
        for i in range(len(demand)):
            total += min(int(demand[i]), middle)
        if total <= share:
            below = middle
        else:
            above = middle - 1
    return below


@inlined
def _begin(quota: Any, buckets: Any, interval: int, most: int) -> None:
    """Begin an interval: what may be opened in it follows from the one before."""
    budget = max(1, min(int(quota[Quota.PER_INTERVAL]), most))
    inside = outside = 0
    for i in range(BUCKETS):
        inside += int(buckets[0, INSIDE, i])
        outside += int(buckets[0, OUTSIDE, i])
    quota[Quota.LEVEL_INSIDE] = quota[Quota.LEVEL_OUTSIDE] = _UNLIMITED
    if interval == quota[Quota.INTERVAL] + 1 and inside + outside > budget:
        share_inside = max(budget >> 1, budget - outside)
        share_outside = max(budget >> 1, budget - inside)
        quota[Quota.LEVEL_INSIDE] = water_level(buckets[0, INSIDE], share_inside)
        quota[Quota.LEVEL_OUTSIDE] = water_level(buckets[0, OUTSIDE], share_outside)
        quota[Quota.SHARE_INSIDE], quota[Quota.SHARE_OUTSIDE] = share_inside, share_outside
    for group in range(GROUPS):
        for i in range(BUCKETS):
            buckets[0, group, i] = buckets[1, group, i] = 0
    quota[Quota.INTERVAL] = interval
    quota[Quota.BUDGET] = budget
    quota[Quota.OPENED] = quota[Quota.OPENED_INSIDE] = quota[Quota.OPENED_OUTSIDE] = 0


@inlined
def _is_fair(quota: Any, group: int, opened: int) -> bool:
    """Tell whether a bucket may open one more flow than it has in this interval."""
    budget, total = int(quota[Quota.BUDGET]), int(quota[Quota.OPENED])
    of_group, level = int(quota[Quota.OPENED_INSIDE + group]), quota[Quota.LEVEL_INSIDE + group]
    if level != _UNLIMITED:
        return bool(opened < level and of_group < quota[Quota.SHARE_INSIDE + group])
    half = budget >> 1
    floor = max(1, budget // (GROUPS * BUCKETS))
    return (
        total < budget
        or (of_group < half and total < 2 * budget)
        or (opened < floor and total < budget + half)
    )


@inlined
def admit(
    quota: Any, buckets: Any, salts: Any, now: int, most: int,
    group: int, version: Any, hi: Any, lo: Any,
) -> bool:  # fmt: skip
    """Tell whether a source may open a flow now, and count it.

    Args:
        quota: Quota.
        buckets: of ``new_buckets``.
        salts: of ``new_salts``.
        now: ns.
        most: the budget of an interval that begins now is not larger.
        group: INSIDE or OUTSIDE.
        version: of the source address, 4 or 6.
        hi: the source address, first half.
        lo: its second half.
    """
    interval = now // INTERVAL
    if interval != quota[Quota.INTERVAL]:
        _begin(quota, buckets, interval, most)
    bucket = bucket_of(salts, interval, group, version, hi, lo)
    buckets[0, group, bucket] += 1
    opened = int(buckets[1, group, bucket])
    if not _is_fair(quota, group, opened):
        return False
    buckets[1, group, bucket] = opened + 1
    quota[Quota.OPENED] += 1
    quota[Quota.OPENED_INSIDE + group] += 1
    return True


@inlined
def _end_of(header: Any) -> Any:
    """Return which end of its flow sent a packet: 1 or 2."""
    if header.bits & BIT_EQUAL_ENDS:
        return U64(2) if header.bits & BIT_RESPONSE else U64(1)
    return U64(2) if header.bits & BIT_FROM_HIGH else U64(1)


@inlined
def _ends_shed(remembered: Any, hashed: Any, now: int, idle_timeout: int) -> Any:
    """Return which ends of a flow were shed not long ago: bits 1 and 2."""
    entry = remembered[U64(hashed) & U64(len(remembered) - 1)]
    if entry >> U64(32) != U64(hashed):
        return U64(0)
    age = (U64(now) >> _STAMP_SHIFT) - (entry >> U64(2)) & _STAMP_MASK
    return entry & U64(3) if age < U64(idle_timeout) >> _STAMP_SHIFT else U64(0)


@inlined
def claim(quota: Any, remembered: Any, header: Any, now: int, idle_timeout: int) -> int:
    """Return what a packet without a flow may open, its flow having been shed or not.

    Returns:
        ANY: whatever it would open; LATE: a flow that is not judged, as its beginning is not
        known; NONE: nothing, it is to be shed as well.
    """
    if quota[Quota.LAST_SHED] < 0 or now - quota[Quota.LAST_SHED] >= idle_timeout:
        return ANY
    ends = _ends_shed(remembered, header.hash, now, idle_timeout)
    if ends & ~_end_of(header) == U64(0) or header.bits & BIT_SYN:
        return ANY
    if header.kind >> U16(8) == U16(_TCP):
        return NONE if header.bits & (BIT_REQUEST | BIT_RESPONSE) else ANY  # midstream in any case
    return LATE if ends == U64(3) else NONE


@inlined
def shed(quota: Any, remembered: Any, header: Any, now: int, idle_timeout: int) -> None:
    """Count a packet as shed, and remember its flow."""
    quota[Quota.SHED] += 1
    quota[Quota.LAST_SHED] = now
    ends = _ends_shed(remembered, header.hash, now, idle_timeout) | _end_of(header)
    stamp = U64(now) >> _STAMP_SHIFT & _STAMP_MASK
    at = U64(header.hash) & U64(len(remembered) - 1)
    remembered[at] = U64(header.hash) << U64(32) | stamp << U64(2) | ends
