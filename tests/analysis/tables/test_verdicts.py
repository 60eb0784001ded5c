"""Table 1 on logs of which everything is known."""

from __future__ import annotations

import pytest

from chamaleonet.analysis.source import Logs
from chamaleonet.analysis.table import Options
from chamaleonet.analysis.tables import compute
from tests.analysis import synthetic


def _rows(logs):
    return {
        (row["direction"], row["protocol"], row["verdict"]): row
        for row in compute("verdicts", logs, Options()).value
    }


def _log():
    logs = synthetic.Logs()
    logs.healthy(0, "10.0.0.1", flows=6, client_packets=20, server_packets=10)
    logs.healthy(0, "10.0.0.1", flows=1, verdict="pending", client_packets=1, server_packets=0)
    for _ in range(2):
        logs.flow(1, "10.0.0.1", "192.0.2.1", attempts=4)
    logs.flow(1, "10.0.0.1", "192.0.2.1", 53, protocol="udp", verdict="icmp_error")
    logs.flow(1, "192.0.2.1", "10.0.0.1", verdict="refused")
    return logs


def test_flows_packets_and_shares(opened):
    rows = _rows(opened(_log()))
    unanswered = rows["outbound", "tcp", "unanswered"]
    assert unanswered["flows"] == 2
    assert unanswered["packets"] == 8
    assert unanswered["share"] == pytest.approx(2 / 9)
    assert unanswered["packet_share"] == pytest.approx(8 / 39)
    assert unanswered["erroneous_share"] == pytest.approx(2 / 9)
    assert unanswered["erroneous_packet_share"] == pytest.approx(8 / 39)
    answered = rows["outbound", "tcp", "answered"]
    assert answered["share"] == pytest.approx(6 / 9)
    assert answered["erroneous_share"] == unanswered["erroneous_share"], "of the same traffic"
    assert rows["outbound", "udp", "icmp_error"]["erroneous_share"] == 1
    assert rows["inbound", "tcp", "refused"]["share"] == 1
    assert rows["inbound", "tcp", "refused"]["erroneous_share"] == 0
    assert len(rows) == 5
    assert sum(row["flows"] for row in rows.values()) == 11


def test_where_a_switch_keeps_packets_back_their_number_is_not_known(opened):
    logs = _log()
    logs.healthy(0, "10.0.0.1", flows=1, client_packets=None, server_packets=None)
    rows = _rows(opened(logs))
    assert rows["outbound", "tcp", "answered"]["flows"] == 7
    assert rows["outbound", "tcp", "answered"]["packets"] is None
    assert rows["outbound", "tcp", "unanswered"]["packets"] == 8
    assert rows["outbound", "tcp", "unanswered"]["packet_share"] is None
    assert rows["outbound", "tcp", "unanswered"]["share"] == pytest.approx(2 / 10)
    assert rows["outbound", "udp", "icmp_error"]["packet_share"] == 1


def test_without_counters_there_is_no_share(tmp_path):
    with Logs.open(_log().write_file(tmp_path / "flows.parquet")) as logs:
        rows = _rows(logs)
    assert sum(row["flows"] for row in rows.values()) == 4
    assert {row["share"] for row in rows.values()} == {None}
    assert {row["packet_share"] for row in rows.values()} == {None}


def test_no_flows_no_rows(opened):
    written = synthetic.Logs()
    written.healthy(0, "10.0.0.1")
    logs = opened(written)
    assert set(_rows(logs)) == {("outbound", "tcp", "answered")}
