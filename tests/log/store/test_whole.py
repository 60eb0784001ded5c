import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chamaleonet.capture.files import open_capture
from chamaleonet.log.pcapng import open_pcapng
from chamaleonet.log.store import whole
from chamaleonet.log.store.whole import whole_blocks, whole_flows, whole_lines
from tests.log.build import START, captured, flow


def capture_of(path, count):
    writer = open_pcapng(path)
    for i in range(count):
        writer.write(*captured(flow("tcp", "10.0.0.1", "9.9.9.9"), bytes(50 + i), time=START + i))
    writer.close()
    return path.read_bytes()


def packets(path):
    with open_capture(str(path)) as capture:
        return sum(len(batch) for batch in capture.batches())


@pytest.fixture(scope="module")
def capture(tmp_path_factory):
    return capture_of(tmp_path_factory.mktemp("whole") / "a.pcapng", 5)


def ends(data):
    """Where blocks end."""
    at, found = 0, []
    while at < len(data):
        at += struct.unpack_from("=I", data, at + 4)[0]
        found.append(at)
    return found


@pytest.mark.parametrize("chunk", [1, 7, 100, 1 << 20])
def test_a_capture_is_cut_behind_its_last_whole_block(capture, chunk, monkeypatch):
    monkeypatch.setattr(whole, "_CHUNK", chunk)
    expected = [0, *ends(capture)]
    for length in range(len(capture) + 1):
        last = max(end for end in expected if end <= length)
        assert whole_blocks(io.BytesIO(capture[:length])) == last


def test_a_capture_is_cut_where_zeros_follow(capture):
    for end in ends(capture):
        assert whole_blocks(io.BytesIO(capture[:end] + bytes(5000))) == end


@given(at=st.integers(0, 800), damage=st.binary(min_size=1, max_size=60))
def test_what_comes_before_damage_is_kept(capture, at, damage, tmp_path_factory):
    damaged = capture[:at] + damage + capture[at + len(damage) :]
    length = whole_blocks(io.BytesIO(damaged))
    before = [end for end in ends(capture) if end <= at]
    assert len(damaged) >= length >= max(before, default=0)
    if len(before) > 1:  # behind the section's header and the interface
        path = tmp_path_factory.getbasetemp() / "front.pcapng"
        path.write_bytes(damaged[: before[-1]])
        assert packets(path) == len(before) - 2


@given(data=st.binary(max_size=300))
def test_any_bytes_have_a_whole_front(data):
    for cut in (whole_blocks, whole_lines):
        length = cut(io.BytesIO(data))
        assert 0 <= length <= len(data)
        assert cut(io.BytesIO(data[:length])) == length


def test_a_block_that_is_too_long_is_damage(capture):
    length = 1 << 25
    assert whole_blocks(io.BytesIO(capture + struct.pack("=II", 6, length) + bytes(100))) == len(
        capture
    )


def test_what_begins_with_no_section_is_no_capture(capture):
    first = ends(capture)[0]
    assert whole_blocks(io.BytesIO(capture[first:])) == 0


@pytest.mark.parametrize("chunk", [1, 3, 1 << 20])
@pytest.mark.parametrize(
    ("data", "length"),
    [
        (b"", 0),
        (b"no end", 0),
        (b"one\n", 4),
        (b"one\ntwo\n", 8),
        (b"one\ntwo", 4),
        (b"one\ntwo\n\0\0\0\0", 8),
        (b"one\nt\0o\nthree\n", 4),
    ],
)
def test_lines_are_cut_behind_the_last_whole_one(data, length, chunk, monkeypatch):
    monkeypatch.setattr(whole, "_CHUNK", chunk)
    assert whole_lines(io.BytesIO(data)) == length


@pytest.mark.parametrize(("size", "length"), [(0, 0), (127, 0), (128, 128), (300, 256)])
def test_flows_are_cut_behind_the_last_whole_record(tmp_path, size, length):
    path = tmp_path / "flows"
    path.write_bytes(bytes(size))
    with path.open("rb") as file:
        assert whole_flows(file) == length
