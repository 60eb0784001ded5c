import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chamaleonet.detectors.digest import Digest
from chamaleonet.flows.engine import Output
from chamaleonet.flows.records import CAPTURED, FLOW_EVENT, Change
from chamaleonet.flows.transitions import State
from chamaleonet.log.tally import Tally

JUDGED, ENDED = Change.JUDGED, Change.ENDED


def output(*told):
    """Return an Output with events of (change, was, state)."""
    events = np.zeros(len(told), FLOW_EVENT)
    for row, (event, (change, was, state)) in enumerate(zip(events, told, strict=True)):
        event["change"], event["was"], event["row"] = change, was, row
        event["flow"]["state"], event["flow"]["kind"] = state, 17 << 8 | 4
    return Output(events, np.zeros(1, CAPTURED), np.zeros(7, np.uint8))


@pytest.mark.parametrize(
    ("event", "told"),
    [
        ((JUDGED, State.PENDING, State.ANSWERED), False),
        ((JUDGED, State.NONE, State.MIDSTREAM), False),
        ((ENDED, State.ANSWERED, State.ANSWERED), False),
        ((JUDGED, State.UNSOLICITED, State.ANSWERED), True),
        ((JUDGED, State.PENDING, State.UNANSWERED), True),
        ((JUDGED, State.UNANSWERED, State.RECOVERED), True),
        ((ENDED, State.UNANSWERED, State.UNANSWERED), True),
        ((ENDED, State.PENDING, State.PENDING), True),
    ],
)
def test_what_is_told_on(event, told):
    taken = Digest(None).take(output(event))
    assert len(taken.events) == told
    assert (len(taken.packets), len(taken.data)) == (1, 7)


def test_what_is_not_told_on_is_counted():
    counted = []
    tally = Tally(lambda counts: counted.append(counts.copy()))
    digest = Digest(tally)
    digest.take(
        output(
            (JUDGED, State.PENDING, State.ANSWERED), (JUDGED, State.PENDING, State.ANSWERED),
            (JUDGED, State.PENDING, State.UNANSWERED), (ENDED, State.ANSWERED, State.ANSWERED),
            (ENDED, State.UNANSWERED, State.UNANSWERED),
        )
    )  # fmt: skip
    assert [(State(key & 0xFF), n) for key, n in digest.verdicts.items()] == [(State.ANSWERED, 2)]
    tally.flush()
    assert [int(each["flows"].sum()) for each in counted] == [1]


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(Change), st.sampled_from(State), st.sampled_from(State))))
def test_every_event_is_told_or_counted_and_the_order_is_kept(events):
    digest = Digest(None)
    told = digest.take(output(*events)).events
    ends = sum(
        change == ENDED and state in (State.ANSWERED, State.MIDSTREAM)
        for change, _, state in events
    )
    assert len(told) + sum(digest.verdicts.values()) + ends == len(events)
    assert told["row"].tolist() == sorted(told["row"].tolist())
