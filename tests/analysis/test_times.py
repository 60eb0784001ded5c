"""Times as integers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import ibis
import pytest

from chamaleonet.analysis.times import DAY, HOUR, MINUTE, SECOND, floor, iso, nanoseconds


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1_795_392_000 * SECOND, "2026-11-23T00:00:00Z"),
        (1_795_392_000 * SECOND + 1, "2026-11-23T00:00:00.000000001Z"),
        (1_795_392_000 * SECOND - 1, "2026-11-22T23:59:59.999999999Z"),
    ],
)
def test_iso(time, text):
    assert iso(time) == text


def test_nanoseconds():
    time = datetime(2026, 11, 23, 1, 0, 0, 123456, timezone(timedelta(hours=1)))
    assert nanoseconds(time) == 1_795_392_000_123_456_000
    assert nanoseconds(datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)) == -SECOND


@pytest.mark.parametrize("step", [MINUTE, 15 * MINUTE, HOUR, DAY])
def test_an_interval_begins_where_it_begins(step):
    """At the last nanosecond of an interval a floating-point number would be in the next."""
    begin = 1_795_392_000 * SECOND
    table = ibis.memtable({"time": [begin, begin + step - 1, begin + step]})
    floors = ibis.duckdb.connect().to_pyarrow(table.select(f=floor(table.time, step)))
    assert floors["f"].to_pylist() == [begin, begin, begin + step]
