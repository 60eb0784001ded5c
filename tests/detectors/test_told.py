import numpy as np

from chamaleonet.detectors.told import Told
from chamaleonet.flows.records import FLOW_EVENT, Change
from chamaleonet.flows.transitions import ERRONEOUS, State

ENDED = tuple(state for state in State if state not in (State.NONE, State.ANSWERED))
JUDGED, END = int(Change.JUDGED), int(Change.ENDED)


def events(*told):
    """Return events of (row, change, state, port)."""
    made = np.zeros(len(told), FLOW_EVENT)
    for event, (row, change, state, port) in zip(made, told, strict=True):
        event["row"], event["change"] = row, change
        event["flow"]["state"], event["flow"]["ports"] = state, port
    return made


def ports(flows):
    return flows["ports"].tolist()


def test_flows_are_as_they_were_last_told():
    told = Told(10, ENDED)
    told.take(events((1, JUDGED, State.UNANSWERED, 11), (7, JUDGED, State.ICMP_ERROR, 77)))
    told.take(events())
    assert ports(told.live(ERRONEOUS)) == [11, 77]
    told.take(events((1, JUDGED, State.RECOVERED, 11)))
    assert ports(told.live(ERRONEOUS)) == [77]
    assert ports(told.live((State.RECOVERED,))) == [11]


def test_healthy_flows_are_not_kept():
    told = Told(10, ENDED)
    told.take(events((1, JUDGED, State.UNSOLICITED, 11)))
    told.take(events((1, JUDGED, State.ANSWERED, 11)))
    assert ports(told.live(tuple(State)[1:])) == []
    assert len(told.end(0, 1, now=99)) == 0


def test_of_several_events_of_a_row_the_last_one_holds():
    told = Told(10, ENDED)
    told.take(
        events(
            (1, JUDGED, State.UNANSWERED, 11), (1, END, State.UNANSWERED, 11),
            (2, JUDGED, State.UNANSWERED, 22), (2, END, State.UNANSWERED, 22),
            (1, JUDGED, State.ICMP_ERROR, 12),
        )
    )  # fmt: skip
    assert ports(told.live(tuple(State)[1:])) == [12]


def test_a_detectors_flows_end_with_it():
    told = Told(10, ENDED)
    told.take(events(*((row, JUDGED, State.UNANSWERED, row) for row in range(6))))
    told.take(events((3, JUDGED, State.ANSWERED, 3), (5, END, State.UNANSWERED, 5)))
    ended = told.end(1, 2, now=99)
    assert ended["row"].tolist() == [1]  # nobody wants to know of 3; 5 has ended before
    assert ended["change"].tolist() == [END]
    assert ended["time"].tolist() == [99]
    assert ended["was"].tolist() == ended["flow"]["state"].tolist() == [State.UNANSWERED]
    assert ports(told.live(ERRONEOUS)) == [0, 2, 4]
    assert len(told.end(1, 2, now=100)) == 0
