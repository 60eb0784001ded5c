import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from chamaleonet.log.columns import protocol_name
from chamaleonet.log.events.rows import rfc3339, rows
from tests.log.build import START, flow
from tests.log.test_flowlog import expected, flows, iso


@given(st.lists(flows(), max_size=6))
def test_rows_say_what_the_flow_log_says(records):
    together = np.concatenate([flow("tcp", "1.1.1.1", "2.2.2.2")[:0], *records])
    found = []
    for row in rows(together):
        values = row._asdict()
        values["protocol"] = protocol_name(row.protocol)
        for name in ("first", "last", "judged"):
            values[name] = rfc3339(values[name])
        if row.reply_delay is not None:
            values["reply_delay"] = row.reply_delay / 1e9
        found.append(values)
    wanted = [expected(record) for record in records]
    for values, row in zip(found, wanted, strict=True):
        assert row["judged"] in (values["judged"], None)
        assert {name: values[name] for name in row if name != "judged"} == {
            name: value for name, value in row.items() if name != "judged"
        }


def test_flows_that_lie_apart_are_rows_too():
    many = np.concatenate([flow("tcp", "10.0.0.1", "10.0.0.2", n, 80) for n in range(1, 9)])
    assert [row.client_port for row in rows(many[::2])] == [1, 3, 5, 7]


def test_the_key_is_the_flows_own():
    def key(*ends, **fields):
        return rows(flow("udplite", *ends, **fields))[0].key

    there = key("10.0.0.1", "10.0.0.2", 5, 6)
    assert there == key("10.0.0.1", "10.0.0.2", 5, 6, state=2, attempts=9)
    assert there != key("10.0.0.1", "10.0.0.2", 5, 7)
    assert there != key("10.0.0.1", "10.0.0.2", 5, 6, first=START + 1)


@given(st.integers(0, 2**63 - 1))
def test_times_are_cut_not_rounded(time):
    assert rfc3339(time) == iso(time)
    assert rfc3339(time, 6) == iso(time)[:-4] + "Z"
    assert rfc3339(time, 3) == iso(time)[:-7] + "Z"
