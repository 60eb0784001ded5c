"""The columns of the counters of healthy flows."""

from __future__ import annotations

from math import isinf

from chamaleonet.log import columns, healthy


def test_every_delay_has_its_bucket():
    assert list(healthy.DELAYS) == sorted(set(healthy.DELAYS))
    assert isinf(healthy.DELAYS[-1])


def test_timeouts_that_are_compared_are_bounds():
    assert {1, 2, 3, 5, 10, 60} <= set(healthy.DELAYS)


def test_columns_are_those_of_the_flow_log_where_they_have_its_name():
    logged = {column.name: column for column in columns.COLUMNS}
    shared = [column for column in healthy.COLUMNS if column.name in logged]
    assert {column.name for column in shared} >= {"direction", "protocol", "server_port"}
    for column in shared:
        if column.name.endswith(("packets", "bytes")):
            assert column.unit == logged[column.name].unit  # sums need more room
        else:
            assert column.kind is logged[column.name].kind


def test_documented_as_a_table():
    text = columns.markdown(healthy.COLUMNS)
    assert text.splitlines()[2].startswith("| `minute` | `timestamp[ns, tz=UTC]` | UTC |")
    assert "0.0001, 0.0002," in text
    assert "(answered, midstream, pending)" in text
