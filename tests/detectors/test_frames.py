import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chamaleonet.detectors.frames import (
    Counts,
    FrameReader,
    Kind,
    pack,
    pack_numbers,
    pack_verdicts,
)
from chamaleonet.flows.records import CAPTURED, FLOW_EVENT


def read(stream, sizes=()):
    """Return the frames of a stream that comes in pieces of these sizes."""
    reader, frames, sizes = FrameReader(), [], iter(sizes)
    while stream:
        number = min(len(reader.room), len(stream), next(sizes, len(stream)))
        reader.room[:number] = stream[:number]
        stream = stream[number:]
        if frame := reader.wrote(number):
            frames.append((frame.kind, *(part.tobytes() for part in frame.parts)))
    return frames


@given(
    st.lists(st.tuples(st.sampled_from(Kind), st.lists(st.binary(), min_size=3, max_size=3))),
    st.lists(st.integers(1, 7), max_size=300),
)
def test_frames_come_out_as_they_went_in_whatever_the_pieces(frames, sizes):
    stream = b"".join(pack(kind, *parts) for kind, parts in frames)
    assert read(stream, sizes) == [(kind, *parts) for kind, parts in frames]


def first(stream):
    reader = FrameReader()
    while True:
        number = len(reader.room)
        reader.room[:] = stream[:number]
        stream = stream[number:]
        if frame := reader.wrote(number):
            return frame


def test_numbers():
    counts = Counts(packets=1 << 40, pending_flows=7)
    assert Counts(*first(pack_numbers(Kind.COUNTS, *counts)).numbers()) == counts
    assert first(pack_numbers(Kind.FORGET, 3, -(1 << 62))).numbers() == [3, -(1 << 62)]


def test_verdicts():
    frame = first(pack_verdicts({7: 1, 1 << 31: 5}))
    assert (frame.numbers(0), frame.numbers(1)) == ([7, 1 << 31], [1, 5])


def test_an_output():
    events, packets = np.zeros(3, FLOW_EVENT), np.zeros(2, CAPTURED)
    events["row"], packets["row"] = [4, 5, 6], [-1, 5]
    frame = pack(Kind.OUTPUT, events.tobytes(), packets.tobytes(), bytes(range(9)))
    output = first(frame).output()
    assert output.events["row"].tolist() == [4, 5, 6]
    assert output.packets["row"].tolist() == [-1, 5]
    assert output.data.tolist() == list(range(9))
    output.events["row"] += 1  # it is the receiver's own


def test_what_is_no_frame_is_refused():
    with pytest.raises(ValueError, match="99 is not a valid Kind"):
        read(pack(99))
