"""What the logger wrote."""

from __future__ import annotations

import pytest

from chamaleonet.errors import UserError
from chamaleonet.lab import logged
from chamaleonet.lab.truth import Key
from tests.lab.recorded import BEGIN, GONE, HPC, INTERNAL, STAFF, WWW, Run
from tests.traffic import SECOND, SYN, icmp_error, tcp


@pytest.fixture
def log(tmp_path):
    run = Run()
    run.healthy(1)
    run.unanswered(2)
    run.unreachable(5)
    run.packet(6, icmp_error(WWW, tcp(STAFF, WWW, SYN, sport=9)))  # about no flow
    return run.write(tmp_path) / "log"


def test_flows(log):
    flows = sorted(logged.flows(log), key=lambda flow: flow.first)
    assert flows == [
        (Key("tcp", HPC, 20_002, GONE, 80), BEGIN + 2 * SECOND, "unanswered", "sound"),
        (Key("udp", HPC, 20_003, WWW, 500), BEGIN + 5 * SECOND, "icmp_error", "sound"),
    ]


def test_packets_of_either_direction(log):
    packets = sorted(logged.packets(log, INTERNAL), key=lambda packet: packet.time)
    assert [(packet.time - BEGIN, packet.error) for packet in packets] == [
        (2 * SECOND, False), (4 * SECOND, False), (5 * SECOND, False),
        (round(5.02 * SECOND), True), (6 * SECOND, True),
    ]  # fmt: skip
    syn, _, datagram, error, orphan = packets
    assert syn.from_high == datagram.from_high is False, "10/8 is lower than 192/8"
    assert error.name == datagram.name, "by what it quotes"
    assert orphan.name not in (syn.name, error.name)


def test_an_empty_log(tmp_path):
    assert logged.flows(tmp_path) == []
    assert logged.packets(tmp_path, INTERNAL) == []


@pytest.mark.parametrize("suffix", [".flows.parquet", ".pcapng.zst"])
def test_a_file_that_is_not_finished(log, suffix):
    [path] = log.rglob(f"*{suffix}")
    path.rename(f"{path}.partial")
    with pytest.raises(UserError, match="has not finished"):
        logged.flows(log), logged.packets(log, INTERNAL)


def test_a_damaged_file(log):
    [path] = log.rglob("*.flows.parquet")
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UserError, match=path.name):
        logged.flows(log)
