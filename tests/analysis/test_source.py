"""A log as tables."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chamaleonet.analysis.source import Logs, split_service
from chamaleonet.errors import UserError
from tests.analysis import synthetic
from tests.analysis.synthetic import BEGIN, DAY, HOUR, SECOND


def _count(logs, table):
    return logs.row(table.aggregate(rows=table.count()))["rows"]


def _flows(logs):
    return sum(row["flows"] for row in logs.rows(logs.counts.select("flows")))


def test_ends_and_derived_columns(opened):
    written = synthetic.Logs()
    written.flow(0, "10.0.0.1", "192.0.2.1", attempts=2)
    written.flow(1, "192.0.2.1", "10.0.0.1", 53, protocol="udp", verdict="icmp_error")
    written.flow(2, "10.0.0.1", "fd00::1", protocol="icmpv6", verdict="recovered")
    written.flow(3, "192.0.2.1", "198.51.100.1", verdict="refused")
    logs = opened(written)
    columns = ("host", "remote", "service", "packets", "erroneous")
    rows = logs.rows(logs.flows.order_by("first").select(*columns))
    assert [tuple(row.values()) for row in rows] == [
        ("10.0.0.1", "192.0.2.1", "tcp/443", 2, True),
        ("10.0.0.1", "192.0.2.1", "udp/53", 1, True),
        ("10.0.0.1", "fd00::1", "icmpv6", 2, False),
        (None, "198.51.100.1", "tcp/443", 2, False),
    ]


def test_times_and_numbers(opened):
    written = synthetic.Logs()
    row = written.flow(1.5, "10.0.0.1", "192.0.2.1", verdict="recovered", delay=1 / 3)
    row["client_bytes"] = 2**62
    logs = opened(written)
    wanted = logs.flows.select("first", "judged", "reply_delay", "client_bytes", "vlan")
    assert logs.rows(wanted, times=("first",)) == [
        {
            "first": "2026-11-23T00:00:01.500000000Z",
            "judged": BEGIN + round((1.5 + 1 / 3) * SECOND),
            "reply_delay": 0.333333333,
            "client_bytes": 2**62,
            "vlan": None,
        }
    ]


def test_not_a_number_is_none(opened):
    written = synthetic.Logs()
    written.flow(0, "10.0.0.1", "192.0.2.1", verdict="recovered", reply_delay=float("nan"))
    logs = opened(written)
    assert logs.row(logs.flows.select("reply_delay")) == {"reply_delay": None}


def test_healthy_flows_are_counted_wherever_they_are(opened):
    """In counters or, by replay --all-flows, as rows: each counts once."""
    written = synthetic.Logs()
    written.healthy(0, "10.0.0.1", flows=10)
    written.flow(0, "10.0.0.1", "192.0.2.1")
    written.flow(61, "10.0.0.1", "192.0.2.1", verdict="answered", delay=0.015)
    written.flow(62, "192.0.2.1", "10.0.0.2", verdict="midstream")
    written.flow(63, "10.0.0.1", "192.0.2.1", verdict="answered", delay=90.0)
    logs = opened(written)
    assert _count(logs, logs.flows) == 1
    assert _count(logs, logs.tried) == 3
    assert _flows(logs) == 14
    counted = logs.healthy.select("minute", "host", "verdict", "delay", "flows")
    assert logs.rows(counted.order_by("minute", "verdict", "delay"), times=("minute",)) == [
        {"minute": f"2026-11-23T00:0{minute}:00Z", "host": host, "verdict": verdict,
         "delay": delay, "flows": flows}
        for minute, host, verdict, delay, flows in (
            (0, "10.0.0.1", "answered", 0.02, 10),
            (1, "10.0.0.1", "answered", 0.02, 1),
            (1, "10.0.0.1", "answered", float("inf"), 1),
            (1, "10.0.0.2", "midstream", None, 1),
        )
    ]  # fmt: skip
    assert logs.has_healthy


def test_one_file_has_no_counters(tmp_path):
    written = synthetic.Logs()
    written.flow(0, "10.0.0.1", "192.0.2.1")
    with Logs.open(written.write_file(tmp_path / "a's.parquet")) as logs:
        assert not logs.has_healthy
        assert _count(logs, logs.flows) == _flows(logs) == 1
    written.flow(1, "10.0.0.1", "192.0.2.1", verdict="answered")
    with Logs.open(written.write_file(tmp_path / "all.parquet")) as logs:
        assert logs.has_healthy
        assert _flows(logs) == 2


@pytest.mark.parametrize(
    ("since", "until", "flows", "counted"),
    [
        (None, None, 4, 12),
        (HOUR, None, 3, 8),
        (None, DAY, 2, 6),
        (HOUR, DAY, 1, 2),
        (9e5, 9e6, 0, 0),
    ],
)
def test_since_and_until(opened, since, until, flows, counted):
    """Flows by their last packet, counters by their minute; until is no longer part of it."""
    written = synthetic.Logs()
    for at in (0, HOUR, DAY, 3 * DAY):
        written.flow(at - 1, "10.0.0.1", "192.0.2.1", attempts=2)
    for at in (0, 60, HOUR, DAY, DAY + 60, DAY + 120):
        written.healthy(at, "10.0.0.1", flows=2)
    begin = datetime.fromtimestamp(BEGIN // SECOND, UTC)
    logs = opened(
        written,
        since=None if since is None else begin + timedelta(seconds=since),
        until=None if until is None else begin + timedelta(seconds=until),
    )
    assert _count(logs, logs.flows) == flows
    assert logs.row(logs.healthy.aggregate(flows=logs.healthy.flows.sum().fill_null(0))) == {
        "flows": counted
    }
    assert logs.has_healthy


def test_span_is_of_last_packets(opened):
    written = synthetic.Logs()
    written.flow(0, "10.0.0.1", "192.0.2.1", attempts=DAY, spacing=1)
    written.flow(2 * DAY, "10.0.0.1", "192.0.2.1")
    written.healthy(5 * DAY, "10.0.0.1")
    logs = opened(written)
    assert logs.span == (BEGIN + (DAY - 1) * SECOND, BEGIN + 2 * DAY * SECOND)
    only_healthy = synthetic.Logs()
    only_healthy.healthy(60, "10.0.0.1")
    assert opened(only_healthy).span == (BEGIN + 60 * SECOND,) * 2


def test_without_clients(opened):
    written = synthetic.Logs()
    for client in ("10.0.0.1", "10.0.0.2", "203.0.113.1"):
        written.flow(0, client, "192.0.2.1")
    written.healthy(0, "10.0.0.1", flows=10)
    written.healthy(0, "10.0.0.1", flows=20, direction="inbound")
    written.healthy(0, "10.0.0.2", flows=40)
    written.healthy(0, None, flows=80, direction="transit")
    logs = opened(written)
    left = logs.without(["10.0.0.1", "203.0.113.1"])
    assert [row["client"] for row in left.rows(left.flows.select("client"))] == ["10.0.0.2"]
    assert _count(left, left.tried) == 1
    assert _flows(left) == 1 + 20 + 40 + 80
    assert _flows(logs.without([])) == _flows(logs) == 3 + 150


def test_suspect_flows_are_in_no_table(opened):
    written = synthetic.Logs()
    for n, verdict in enumerate(("unanswered", "icmp_error", "recovered", "unsolicited")):
        written.flow(n, "10.0.0.1", "192.0.2.1", verdict=verdict, quality="suspect")
    written.flow(9, "10.0.0.1", "192.0.2.2", quality="degraded")
    logs = opened(written)
    for each in (logs, logs.at_hand(), logs.without(["10.0.0.9"])):
        assert each.suspect == 4
        assert logs.rows(each.flows.select("server")) == [{"server": "192.0.2.2"}]
        assert _count(each, each.tried) == _flows(each) == 1


@pytest.mark.parametrize("engine", ["duckdb", "spark"])
@pytest.mark.parametrize("files", [["old"], ["old", "new"], ["new", "old"]])
def test_a_log_from_before_there_were_qualities_is_sound(tmp_path, request, engine, files):
    if engine == "spark":
        request.getfixturevalue("spark")
    written = synthetic.Logs()
    written.flow(0, "10.0.0.1", "192.0.2.1")
    written.flow(1, "10.0.0.1", "192.0.2.1", quality="suspect")
    for n, age in enumerate(files):
        path = written.write_file(tmp_path / f"{n}.parquet")
        if age == "old":
            pq.write_table(pq.read_table(path).drop_columns("quality"), path)
    with Logs.open(tmp_path, engine=engine) as logs:
        assert _count(logs, logs.flows) == sum({"old": 2, "new": 1}[age] for age in files)
        assert logs.suspect == files.count("new")


def test_a_table_that_is_no_log_is_an_error(tmp_path, opened):
    pq.write_table(pa.table({"first": [1]}), tmp_path / "a.parquet")
    with pytest.raises(UserError, match=r"a\.parquet: is no flow log: it has no column last"):
        Logs.open(tmp_path)
    pq.write_table(pa.table({"minute": [1]}), tmp_path / "a.healthy.parquet")
    (tmp_path / "a.parquet").unlink()
    with pytest.raises(UserError, match="is no table of counters: it has no column host"):
        Logs.open(tmp_path)


def test_services():
    assert split_service("tcp/443") == ("tcp", 443)
    assert split_service("icmp") == ("icmp", None)
