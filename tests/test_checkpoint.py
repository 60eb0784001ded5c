"""Live flows on disk."""

import os
import stat

import numpy as np
import pytest

from chamaleonet.checkpoint import (
    CheckpointFile,
    Checkpoints,
    DamagedError,
    decode,
    encode,
    encode_events,
)
from chamaleonet.errors import UserError
from chamaleonet.flows.transitions import State
from tests.flows.test_snapshot import engine
from tests.traffic import SECOND, Record, batch, ethernet, udp

C, S = "10.0.0.1", "192.0.2.9"
RUN, TERM, TIME = 77, 5, 1_700_000_000 * SECOND


def saved(ports=(1, 2, 3)):
    """Return a snapshot of flows that wait, and the events of their becoming unanswered."""
    source = engine()
    records = [Record(ethernet(udp(C, S, sport=port)), time=0) for port in ports]
    list(source.judge(batch(records)))
    flows = source.snapshot(100)
    events = [output.events.copy() for output in source.advance(4 * SECOND)]
    return flows, np.concatenate(events)


def states(data):
    return [State(state) for state in decode(data).flows.flows["state"]]


def test_what_was_written_is_read():
    flows, _ = saved()
    read = decode(encode(flows, RUN, TERM, TIME))
    assert (read.run, read.term, read.time) == (RUN, TERM, TIME)
    assert read.flows.flows.tobytes() == flows.flows.tobytes()
    assert read.flows.firsts.tobytes() == flows.firsts.tobytes()


def test_events_that_follow_are_followed():
    flows, events = saved()
    data = encode(flows, RUN, TERM, TIME)
    assert states(data) == [State.PENDING] * 3
    for n in range(3):
        data += encode_events(events[n : n + 1])
    assert states(data) == [State.UNANSWERED] * 3


def test_a_torn_end_is_no_event_and_all_before_it_are():
    flows, events = saved()
    whole = encode(flows, RUN, TERM, TIME) + encode_events(events[:1])
    torn = encode_events(events[1:])
    for length in range(len(torn)):
        assert states(whole + torn[:length]).count(State.UNANSWERED) == 1
    damaged = bytearray(torn)
    damaged[30] ^= 1
    assert states(whole + damaged).count(State.UNANSWERED) == 1
    assert states(whole + torn).count(State.UNANSWERED) == 3


def test_a_damaged_file_is_none():
    flows, _ = saved()
    data = encode(flows, RUN, TERM, TIME)
    for length in range(len(data)):
        with pytest.raises(DamagedError):
            decode(data[:length])
    for at in range(len(data)):
        damaged = bytearray(data)
        damaged[at] ^= 0x10
        with pytest.raises(DamagedError):
            decode(bytes(damaged))


def test_another_version_is_said_to_be_one():
    data = bytearray(encode(saved()[0], RUN, TERM, TIME))
    data[8] ^= 1
    with pytest.raises(DamagedError, match="another version"):
        decode(bytes(data))


def test_the_file_is_replaced_in_one_step_and_its_owners_alone(tmp_path):
    flows, events = saved()
    file = CheckpointFile(tmp_path / "a1.flows")
    assert file.load() is None
    file.append(encode_events(events))  # nothing yet to be added to
    file.begin(encode(flows, RUN, TERM, TIME))
    file.append(encode_events(events))
    path = tmp_path / "a1.flows"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert file.size == path.stat().st_size
    assert set(CheckpointFile(path).load().flows.flows["state"]) == {State.UNANSWERED}
    file.begin(encode(flows, RUN, TERM, TIME))
    assert set(CheckpointFile(path).load().flows.flows["state"]) == {State.PENDING}
    file.close()
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_cannot_be_read_is_ignored_with_a_warning(tmp_path, caplog):
    path = tmp_path / "a1.flows"
    path.write_bytes(b"CHAMFLOW and then nothing of sense, but enough of it to be a header")
    assert CheckpointFile(path).load() is None
    assert "a1.flows: ignored: written by another version" in caplog.text


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_on_a_full_disk_nothing_stale_is_left_and_it_goes_on_by_itself(small_disk, caplog):
    flows, events = saved()
    file = CheckpointFile(small_disk / "a1.flows")
    file.begin(encode(flows, RUN, TERM, TIME))
    hog = small_disk / "hog"
    with hog.open("wb", buffering=0) as full:
        try:
            while True:
                full.write(bytes(4096))
        except OSError:
            pass
    for _ in range(2000):  # until the last page is full too
        file.append(encode_events(events))
    assert file.size == 0
    assert not (small_disk / "a1.flows").exists()
    assert caplog.text.count("cannot be written: No space left") == 1
    hog.unlink()
    file.begin(encode(flows, RUN, TERM, TIME))
    assert file.size
    assert "written again" in caplog.text
    file.close()


def test_a_directory_is_one_controllers_own(tmp_path):
    directory = tmp_path / "checkpoint"
    first = Checkpoints(directory)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    with pytest.raises(UserError, match="another controller uses these checkpoints"):
        Checkpoints(directory)
    first.close()
    Checkpoints(directory).close()
    directory.chmod(0o755)
    with pytest.raises(UserError, match="mode 0700"):
        Checkpoints(directory)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot hold checkpoints"):
        Checkpoints(tmp_path / "file" / "below")


def test_each_switch_has_a_file(tmp_path):
    flows, _ = saved()
    checkpoints = Checkpoints(tmp_path / "c")
    for dp_id, run in ((0xA1, 5), (0xA2, 6)):
        checkpoints.of(dp_id).begin(encode(flows, run, TERM, TIME))
    assert checkpoints.size == 2 * len(encode(flows, RUN, TERM, TIME))
    assert [checkpoints.of(dp_id).load().run for dp_id in (0xA1, 0xA2)] == [5, 6]
    checkpoints.close()


def test_a_run_number_that_no_clock_reads_is_damage():
    flows, _ = saved()
    with pytest.raises(DamagedError):
        decode(encode(flows, 1 << 63, TERM, TIME))
