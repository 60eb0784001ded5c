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
    erroneous = rows["all", "all", "erroneous"]
    assert erroneous["flows"] == 3
    assert erroneous["share"] == pytest.approx(3 / 11)
    assert erroneous["packet_share"] == pytest.approx(9 / 42)
    assert rows["inbound", "all", "refused"]["share"] == 1


def test_totals_are_the_sums_of_their_rows(opened):
    rows = _rows(opened(_log()))
    for total, part in (("all", 0), ("all", 1)):
        for key, row in rows.items():
            if key[part] == total:
                parts = [
                    other
                    for name, other in rows.items()
                    if name[part] != total and name[1 - part] == key[1 - part]
                    and name[2] == key[2]
                ]  # fmt: skip
                assert row["flows"] == sum(other["flows"] for other in parts)
    assert list(rows)[-1] == ("all", "all", "all")


def test_without_counters_there_is_no_share(tmp_path):
    with Logs.open(_log().write_file(tmp_path / "flows.parquet")) as logs:
        rows = _rows(logs)
    assert rows["all", "all", "erroneous"]["flows"] == 3
    assert {row["share"] for row in rows.values()} == {None}
    assert {row["packet_share"] for row in rows.values()} == {None}


def test_no_flows_no_rows(opened):
    written = synthetic.Logs()
    written.healthy(0, "10.0.0.1")
    logs = opened(written)
    assert ("outbound", "tcp", "erroneous") not in _rows(logs)
