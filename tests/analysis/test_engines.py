"""One answer, whichever engine is asked."""

from __future__ import annotations

import json
import sys

import ibis
import pyarrow as pa
import pytest

from chamaleonet.analysis.engines import ENGINES
from chamaleonet.analysis.source import Logs
from chamaleonet.analysis.table import Options
from chamaleonet.analysis.tables import TABLES, compute
from chamaleonet.errors import UserError
from tests.analysis import synthetic


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Return a log in which every table finds something."""
    logs = synthetic.Logs()
    synthetic.background(logs, hours=4, hosts=8, failures=0.1)
    synthetic.stale_server(logs, times=60, jitter=0.5)
    synthetic.stale_server(logs, "fd00::7", "2001:db8::9", period=30)
    synthetic.scan(logs, begin=7000)
    synthetic.scan(
        logs, "2001:db8:bad::1", synthetic.addresses(60, "fd00:1::/64"), begin=9000, order=reversed
    )
    synthetic.outage(logs, begin=12_000)
    logs.flow(100, "10.1.0.1", "192.168.7.7", protocol="icmp")
    logs.flow(101, "10.1.0.1", "192.0.2.1", 53, protocol="udp", verdict="icmp_error")
    logs.flow(102, "10.1.0.2", "192.0.2.1", 80, verdict="recovered", delay=7.5)
    logs.flow(102, "10.1.0.2", "192.0.2.53", 53, protocol="udp", verdict="recovered",
              server_packets=9)  # fmt: skip
    logs.flow(103, "10.1.0.2", "192.0.2.1", 80, verdict="refused", attempts=3)
    logs.flow(104, "198.51.100.1", "192.0.2.1", 80)
    logs.flow(105, "198.51.100.2", "10.1.0.4", 4000, verdict="unsolicited")
    logs.flow(106, "10.1.0.2", "192.0.2.1", 80, verdict="answered")
    logs.healthy(110, None, direction="transit")
    logs.healthy(120, "10.1.0.3", verdict="midstream")
    return logs.write(tmp_path_factory.mktemp("logs"))


@pytest.fixture(scope="module")
def engines(path, spark):
    with Logs.open(path) as embedded, Logs.open(path, engine="spark") as distributed:
        yield embedded, distributed


@pytest.mark.parametrize("name", TABLES)
def test_both_engines_give_the_same_table(engines, name):
    embedded, distributed = engines
    table = compute(name, embedded, Options())
    assert table.name == name
    assert table.unit
    assert table.vantage
    assert json.loads(json.dumps(table.value, allow_nan=False)) == table.value
    assert any(table.value.values() if isinstance(table.value, dict) else table.value)
    assert compute(name, distributed, Options()) == table


def test_both_engines_leave_out_the_same_clients(engines):
    one, other = (logs.without(["203.0.113.9", "10.1.0.3"]) for logs in engines)
    table = compute("verdicts", one, Options())
    assert table != compute("verdicts", engines[0], Options())
    assert compute("verdicts", other, Options()) == table


def test_kept_results_are_removed(engines):
    for logs in engines:
        with logs.scratch():
            kept = logs.keep(logs.flows.group_by("verdict").aggregate(flows=logs.flows.count()))
            assert sum(row["flows"] for row in logs.rows(kept)) > 0
            assert logs._engine.kept == 1
        assert logs._engine.kept == 0


def test_both_engines_read_a_table_of_this_process_to_the_nanosecond(engines):
    times = pa.table({"time": [None, 1_795_392_000_123_456_789]})
    for logs in engines:
        loaded = logs._engine.load(times)
        assert logs.rows(loaded.order_by("time"), times=("time",)) == [
            {"time": "2026-11-23T00:00:00.123456789Z"}, {"time": None},
        ]  # fmt: skip
        in_memory = ibis.memtable(times)
        assert logs.row(in_memory.aggregate(rows=in_memory.count())) == {"rows": 2}


def test_what_cannot_be_computed_is_the_users_to_mend(engines):
    for logs in engines:
        with pytest.raises(UserError, match="cannot be read"):
            logs.arrow(logs.flows.select(number=logs.flows.client.cast("int64")))


def test_a_file_that_is_no_log_is_named(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(UserError, match=r"a\.parquet: is no Parquet file"):
        Logs.open(tmp_path)


def test_spark_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyspark.sql", None)
    with pytest.raises(UserError, match=r"chamaleonet\[spark\]"):
        ENGINES["spark"]()
