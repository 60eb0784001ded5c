"""When packets are sent."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from chamaleonet.lab.schedule import ARRIVES, PACKETS_PER_SECOND, SECOND, Slot, Wish, schedule

MS = 10**6
APART = SECOND // PACKETS_PER_SECOND

_WISHES = st.lists(
    st.builds(Wish, st.integers(0, 100 * MS), st.sampled_from([None, "a", "b", "c"]), st.booleans())
).map(lambda wishes: sorted(wishes, key=lambda wish: wish.at))


def test_what_has_time_is_sent_at_its_time():
    wishes = [Wish(0, "a", True), Wish(30 * MS, "a", False), Wish(60 * MS, "b", True)]
    assert schedule(wishes) == [
        Slot(0, 0, None), Slot(30 * MS, 1, 0), Slot(60 * MS, 2, None)
    ]  # fmt: skip


def test_an_answer_waits_until_its_request_has_arrived_and_others_do_not():
    wishes = [
        Wish(0, "a", True), Wish(10, "a", False), Wish(20, "a", False), Wish(MS, "b", True)
    ]  # fmt: skip
    assert schedule(wishes) == [
        Slot(0, 0, None), Slot(MS, 3, None), Slot(ARRIVES, 1, 0), Slot(ARRIVES + APART, 2, None)
    ]  # fmt: skip


def test_what_belongs_to_no_flow_waits_for_nothing():
    wishes = [Wish(0, None, True), Wish(APART, None, False)]
    assert [slot.at for slot in schedule(wishes)] == [0, APART]


@given(_WISHES)
def test_all_are_sent_in_order_and_not_too_fast(wishes):
    slots = schedule(wishes)
    assert sorted(slot.number for slot in slots) == list(range(len(wishes)))
    assert all(slot.at >= wishes[slot.number].at for slot in slots)
    assert all(b.at - a.at >= APART for a, b in pairwise(slots))
    flows = defaultdict(list)
    for place, slot in enumerate(slots):
        flows[wishes[slot.number].flow].append((place, slot))
    for flow, its in flows.items():
        if flow is None:
            continue
        assert [slot.number for _, slot in its] == sorted(slot.number for _, slot in its)
        for (before, one), (_, other) in pairwise(its):
            turns = wishes[one.number].forward != wishes[other.number].forward
            assert other.answers == (before if turns else None)
            assert other.at - one.at >= (ARRIVES if turns else APART)


@given(_WISHES)
def test_without_some_of_them_the_others_are_not_later(wishes):
    ends = [schedule(part)[-1].at for part in (wishes, wishes[::2]) if part]
    assert ends == sorted(ends, reverse=True)
