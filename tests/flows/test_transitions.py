"""The table itself: complete, and nothing in it that cannot happen."""

from __future__ import annotations

from chamaleonet.flows.transitions import (
    CAPTURABLE,
    EVICTABLE,
    HARMLESS,
    ILLEGAL,
    TABLE,
    TRANSITIONS,
    VERDICTS,
    Event,
    State,
    state_mask,
)  # fmt: skip


def test_every_state_but_none_is_a_verdict():
    assert set(VERDICTS) == set(State) - {State.NONE}


def test_only_an_opening_makes_a_flow():
    for event in Event:
        opens = event in (Event.OPEN_REQUEST, Event.OPEN_RESPONSE, Event.OPEN_MIDSTREAM)
        assert (TABLE[State.NONE, event] != ILLEGAL) == opens
        for state in VERDICTS:
            assert (TABLE[state, event] == ILLEGAL) == (
                opens or (event not in HARMLESS and (state, event) not in TRANSITIONS)
            )


def test_every_flow_ends():
    assert all(TABLE[state, Event.END] == State.NONE for state in VERDICTS)


def test_pending_is_left_by_a_verdict_only():
    assert {int(target) for target in TABLE[State.PENDING] if target != ILLEGAL} == {
        State.NONE, State.PENDING,
        State.ANSWERED, State.REFUSED, State.ICMP_ERROR, State.UNANSWERED,
    }  # fmt: skip


def test_a_flow_that_recovered_or_was_answered_never_fails():
    for state in (State.ANSWERED, State.RECOVERED):
        assert not {int(target) for target in TABLE[state]} & set(CAPTURABLE)
    assert not set(EVICTABLE) & set(CAPTURABLE)


def test_masks():
    assert state_mask((State.PENDING, State.UNANSWERED)) == 0b1000010
