import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from chamaleonet.flows.decode import Decoder
from chamaleonet.flows.transitions import State
from chamaleonet.kernels import kernel
from chamaleonet.log.erroneous import STILL, ErroneousFlows, row_of
from tests.log.build import flow
from tests.traffic import SYN, Record, batch, ethernet, tcp


@kernel
def _rows(table, headers, rows):
    for i in range(len(headers)):
        rows[i] = row_of(table, headers, i)


def rows_of(flows, headers):
    rows = np.empty(len(headers), np.int64)
    _rows(flows.table, headers, rows)
    return rows


C, S = "10.0.0.1", "192.0.2.9"
DECODER = Decoder(())


def number(n, **fields):
    return flow("tcp", C, S, n, 80, **fields)


def headers_of(*numbers):
    return DECODER.decode(
        batch([Record(ethernet(tcp(C, S, SYN, sport=n, dport=80))) for n in numbers])
    )


def erroneous_flows(*capacity):
    return ErroneousFlows(DECODER.keys, *capacity)


def known(table, n):
    """Return the flow that a packet of number n finds, and its span."""
    [row] = rows_of(table, headers_of(n))
    assert row >= 0
    return table.table.flows[row], table.table.spans[row].item()


def test_packets_are_found_by_their_flows_key():
    table = erroneous_flows()
    for n in range(1, 3001):
        assert table.put(number(n, attempts=n), True)
    rows = rows_of(table, headers_of(5000, *range(1, 3001)))
    assert rows[0] == -1
    assert table.table.flows[rows[1:]]["attempts"].tolist() == list(range(1, 3001))
    assert len(table) == 3000


def test_a_flow_that_never_failed_is_not_kept():
    table = erroneous_flows()
    assert table.put(number(1, state=State.RECOVERED), False)
    assert len(table) == 0


def test_when_a_flow_was_erroneous_is_kept():
    table = erroneous_flows()
    table.put(number(1, judged=100), True)
    table.put(number(1, judged=150, state=State.ICMP_ERROR), True)
    assert known(table, 1)[1] == (100, STILL)
    table.put(number(1, judged=200, state=State.RECOVERED), False)
    assert known(table, 1)[1] == (100, 200)
    assert known(table, 1)[0]["state"] == State.RECOVERED
    table.put(number(1, first=300, judged=303), True)  # another flow with the same ports
    assert known(table, 1)[1] == (303, STILL)


def test_a_later_flow_with_the_same_key_is_not_forgotten():
    table = erroneous_flows()
    table.put(number(1, first=10), True)
    table.put(number(1, first=20), True)
    table.remove(number(1, first=10))
    assert len(table) == 1
    table.remove(number(1, first=20))
    assert len(table) == 0
    table.remove(number(1, first=20))


def test_a_full_table_refuses_and_a_forgotten_flow_makes_place():
    table = erroneous_flows(2)
    assert table.put(number(1), True)
    assert table.put(number(2), True)
    assert not table.put(number(3), True)
    assert table.put(number(2, attempts=9), True)
    table.remove(number(1))
    assert table.put(number(3, attempts=3), True)
    assert known(table, 3)[0]["attempts"] == 3
    assert known(table, 2)[0]["attempts"] == 9


def test_clearing_hands_out_what_was_known():
    table = erroneous_flows()
    for n in (1, 2, 3):
        table.put(number(n), True)
    table.remove(number(2))
    assert sorted(table.clear()["ports"] >> 16) == [1, 3]
    assert len(table) == 0
    assert len(table.clear()) == 0


_steps = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "heal", "remove", "clear"]),
        st.integers(1, 12),  # which flow
        st.integers(1, 2),  # which life of it
    ),
    max_size=60,
)


@given(_steps)
def test_it_is_a_bounded_dictionary(steps):
    table, model, capacity = erroneous_flows(8), {}, 8
    for time, (step, n, life) in enumerate(steps):
        record = number(n, first=life, judged=100 + time)
        if step == "put":
            has_room = n in model or len(model) < capacity
            assert table.put(record, True) == has_room
            if has_room:
                model[n] = life
        elif step == "heal":
            assert table.put(record, False)
            if n in model:
                model[n] = life
        elif step == "remove":
            table.remove(record)
            if model.get(n) == life:
                del model[n]
        elif step == "clear" and time % 5 == 0:
            cleared = table.clear()
            assert {
                ports >> 16: first for ports, first in cleared[["ports", "first"]].tolist()
            } == (model)
            model.clear()
        assert len(table) == len(model)
        rows = rows_of(table, headers_of(*range(1, 13)))
        found = {
            n: int(table.table.flows[row]["first"])
            for n, row in enumerate(rows.tolist(), 1)
            if row >= 0
        }
        assert found == model
    assert not table.table.flows[-1].tobytes().strip(b"\0"), "it stays all zero"


def test_another_decoder_hashes_otherwise():
    """Whoever knows the keys of one process knows nothing of another's slots."""
    headers = headers_of(*range(1, 100))["hash"]
    others = Decoder(()).decode(
        batch([Record(ethernet(tcp(C, S, SYN, sport=n, dport=80))) for n in range(1, 100)])
    )["hash"]
    assert np.mean(headers == others) < 0.5
