import numpy as np

from chamaleonet.flows.headers import HEADERS
from chamaleonet.flows.transitions import State
from chamaleonet.log.erroneous import STILL, ErroneousFlows
from tests.log.build import flow


def number(n, **fields):
    return flow("tcp", "10.0.0.1", "192.0.2.9", n, 80, **fields)


def headers_of(*flows):
    headers = np.zeros(len(flows), HEADERS)
    for name in ("low_hi", "low_lo", "high_hi", "high_lo", "ports", "kind"):
        headers[name] = np.concatenate(flows)[name]
    headers["hash"] = 7
    return headers


def known(table, record):
    [row] = table.rows_of(headers_of(record))
    return table.records[row]


def test_packets_are_found_by_their_flows_key():
    table = ErroneousFlows()
    for n in range(1, 3001):
        assert table.put(number(n, attempts=n), True)
    rows = table.rows_of(headers_of(number(5000), *(number(n) for n in range(1, 3001))))
    assert rows[0] == -1
    assert table.records[rows[1:]]["flow"]["attempts"].tolist() == list(range(1, 3001))
    assert len(table) == 3000


def test_a_flow_that_never_failed_is_not_kept():
    table = ErroneousFlows()
    assert table.put(number(1, state=State.RECOVERED), False)
    assert len(table) == 0


def test_when_a_flow_was_erroneous_is_kept():
    table = ErroneousFlows()
    table.put(number(1, judged=100), True)
    table.put(number(1, judged=150, state=State.ICMP_ERROR), True)
    assert known(table, number(1))[["since", "until"]].item() == (100, STILL)
    table.put(number(1, judged=200, state=State.RECOVERED), False)
    assert known(table, number(1))[["since", "until"]].item() == (100, 200)
    assert known(table, number(1))["flow"]["state"] == State.RECOVERED
    table.put(number(1, first=300, judged=303), True)  # another flow with the same ports
    assert known(table, number(1))[["since", "until"]].item() == (303, STILL)


def test_a_later_flow_with_the_same_key_is_not_forgotten():
    table = ErroneousFlows()
    table.put(number(1, first=10), True)
    table.put(number(1, first=20), True)
    table.remove(number(1, first=10))
    assert len(table) == 1
    table.remove(number(1, first=20))
    assert len(table) == 0
    table.remove(number(1, first=20))


def test_a_full_table_refuses_and_a_forgotten_flow_makes_place():
    table = ErroneousFlows(2)
    assert table.put(number(1), True)
    assert table.put(number(2), True)
    assert not table.put(number(3), True)
    assert table.put(number(2, attempts=9), True)
    table.remove(number(1))
    assert table.put(number(3, attempts=3), True)
    assert known(table, number(3))["flow"]["attempts"] == 3
    assert known(table, number(2))["flow"]["attempts"] == 9


def test_clearing_hands_out_what_was_known():
    table = ErroneousFlows()
    for n in (1, 2, 3):
        table.put(number(n), True)
    table.remove(number(2))
    assert sorted(table.clear()["ports"] >> 16) == [1, 3]
    assert len(table) == 0
    assert len(table.clear()) == 0
