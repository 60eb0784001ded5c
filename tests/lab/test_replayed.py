"""What became of a replay: as planned, at the border, and live."""

from __future__ import annotations

import json

import pytest

from chamaleonet.flows.records import Quality
from tests.capture.build import Packet, pcap
from tests.lab.recorded import GONE, HPC, STAFF, WWW, Run

TOLD = {
    "packets": 20, "left_out": {"excluded": 1}, "sent": 19, "late": 0.0, "behind": 0.001,
    "one_way": [], "original": {"answered": 2, "unanswered": 3},
}  # fmt: skip


@pytest.fixture
def run():
    """Two flows that are answered, two that are not."""
    run = Run()
    run.findings = []
    for at in (1.0, 2.0):
        run.healthy(at)
        run.unanswered(at)
    run.healthy(8.0, client=HPC)
    return run


def judged(run, directory, *, sent=None, one_way=()):
    """Judge a run whose packets at the border were planned to be others, if ``sent`` is given."""
    packets = [Packet(record.data, record.on_wire, record.time) for record in sent or run.records]
    (directory / "sent.pcap").write_bytes(pcap(packets, nano=True))
    (directory / "replay.json").write_text(json.dumps(TOLD | {"one_way": one_way}))
    return run.judged(directory, plants=(), replay={"captures": "some.pcap"})


def test_as_planned(run, tmp_path):
    result = judged(run, tmp_path)
    assert result.ok
    replay = result.replay
    assert replay.model_dump(include=set(TOLD)) == TOLD
    assert replay.mapped == {"answered": 3, "unanswered": 2}
    assert (replay.crossing, replay.altered) == (5, 0)
    assert (replay.expected_flows, replay.judged_right, replay.live) == (2, 2, {"unanswered": 2})
    assert replay.captured == replay.captured_expected.least == 4
    assert replay.captured_missing == 0


def test_findings_of_a_capture_are_no_mistake(run, tmp_path):
    run.findings = Run().findings
    assert judged(run, tmp_path).ok


def test_what_the_network_alters_is_told(run, tmp_path):
    sent = sorted([*run.records, *extra(6.0)], key=lambda record: record.time)
    answer = next(n for n, record in enumerate(run.records) if record.data[26:30] == packed(WWW))
    del run.records[answer]
    result = judged(run, tmp_path, sent=sent)
    assert not result.ok
    assert result.replay.altered == 2
    assert [row.rpartition(": ")[2] for row in result.replay.altered_rows] == [
        "planned answered, was unanswered", "planned unanswered, was not there",
    ]  # fmt: skip
    assert result.replay.problems[0] == "the network made something else of 2 flows"


def extra(at):
    """Return the packets of one more flow that nobody answers."""
    run = Run()
    run.unanswered(at, dport=8080)
    return run.records


def packed(address):
    return bytes(map(int, address.split(".")))


def test_the_planned_end_is_waited_for(run, tmp_path):
    run.unanswered(20.0)
    before = [record for record in run.records if record.time < run.records[-2].time]
    result = judged(run, tmp_path, sent=before)
    assert result.replay.mapped == {"answered": 3, "unanswered": 3}
    assert result.replay.altered == 0


def test_packets_that_were_not_captured(run, tmp_path):
    run.change_packets = lambda packets: packets[:0]
    result = judged(run, tmp_path)
    assert result.replay.problems == ["4 packets of failing flows were not captured"]
    assert not result.ok


def test_nothing_at_the_border(tmp_path):
    run = Run()
    run.unanswered(1.0, client=HPC, server=STAFF)
    sent, run.records = run.records, []
    result = judged(run, tmp_path, sent=sent)
    assert (result.replay.crossing, result.replay.altered) == (0, 0)
    assert "nothing crossed the border" in result.replay.problems[0]


@pytest.mark.parametrize(("one_way", "ok"), [(["outbound"], True), ([], False)])
def test_captures_without_replies_make_suspect_verdicts(tmp_path, one_way, ok):
    run = Run()
    run.unanswered(1.0, client=HPC, server=GONE)
    run.unanswered(2.0, client=HPC, server=GONE)

    def suspect(flows):
        flows["quality"] = Quality.SUSPECT
        return flows

    run.change_flows = suspect
    run.change_packets = lambda packets: packets[:0]
    result = judged(run, tmp_path, one_way=one_way)
    assert result.ok == ok
    assert result.differences.known == (2 if ok else 0)
    assert result.replay.judged_right == 0
