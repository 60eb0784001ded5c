import numpy as np

from chamaleonet.detectors.gather import Gathered
from chamaleonet.flows.engine import Output
from chamaleonet.flows.records import CAPTURED, FLOW_EVENT
from tests.detectors.test_frames import first


def output(rows, *contents):
    """Return an Output with events of these rows and packets of these bytes."""
    events, packets = np.zeros(len(rows), FLOW_EVENT), np.zeros(len(contents), CAPTURED)
    events["row"] = rows
    packets["length"] = [len(each) for each in contents]
    packets["offset"] = np.cumsum([0, *packets["length"]])[:-1]
    return Output(events, packets, np.frombuffer(b"".join(contents), np.uint8))


def test_outputs_become_one_in_their_order():
    gathered = Gathered()
    for each in (output([1, 2], b"one", b"three"), output([3]), output([], b"five"), output([4])):
        gathered.add(each)
    assert gathered.size == 4 * FLOW_EVENT.itemsize + 3 * CAPTURED.itemsize + 12
    got = first(gathered.frame()).output()
    assert got.events["row"].tolist() == [1, 2, 3, 4]
    contents = [
        got.data[packet["offset"] : packet["offset"] + packet["length"]].tobytes()
        for packet in got.packets
    ]
    assert contents == [b"one", b"three", b"five"]
    assert gathered.size == 0


def test_what_was_added_is_a_copy():
    gathered, borrowed = Gathered(), output([1], b"x")
    gathered.add(borrowed)
    borrowed.events["row"] = 9
    assert first(gathered.frame()).output().events["row"].tolist() == [1]
