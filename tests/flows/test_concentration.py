"""How much of the erroneous traffic one host is the cause of."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chamaleonet.flows.concentration import HALF_LIFE, Concentration, HeavyHost
from chamaleonet.flows.records import Change, Direction
from chamaleonet.flows.transitions import State
from tests.log.build import SECOND, event, flow

OUT, IN, INSIDE = Direction.OUTBOUND, Direction.INBOUND, Direction.INTERNAL
A, B, S = "10.0.0.1", "10.0.0.2", "192.0.2.9"


def shares(*events):
    concentration = Concentration()
    concentration.add(np.concatenate(events), 0)
    return concentration.shares()


def failed(client=A, server=S, direction=OUT, state=State.UNANSWERED, **told):
    return event(flow("tcp", client, server, 40000, 80, state=state, direction=direction), **told)


def test_a_direction_without_errors_has_no_top_host():
    assert Concentration().shares() == {OUT: 0.0, IN: 0.0, INSIDE: 0.0}


def test_the_host_is_the_client_and_of_inbound_flows_the_server():
    outbound = [failed(A), failed(A), failed(A, "10.0.0.0"), failed(B)]
    inbound = [failed(client, B, IN) for client in (S, "198.51.100.1", "9.9.9.9")]
    inside = [failed(A, B, INSIDE), failed(B, A, INSIDE)]
    transit = [failed(S, "198.51.100.1", Direction.TRANSIT)]
    told = shares(*outbound, *inbound, *inside, *transit)
    assert told == {OUT: 0.75, IN: 1.0, INSIDE: 0.5}


def test_a_flow_counts_once_and_only_if_it_is_erroneous():
    told = shares(
        failed(A),
        failed(B, state=State.ICMP_ERROR),
        failed(A, state=State.ICMP_ERROR, was=State.UNANSWERED),
        failed(A, change=Change.ENDED),
        failed(A, state=State.REFUSED),
        failed(A, state=State.RECOVERED, was=State.UNANSWERED),
    )
    assert told[OUT] == 0.5


def test_the_past_fades():
    concentration = Concentration()
    concentration.add(np.concatenate([failed(A)] * 2), 0)
    concentration.add(failed(B), HALF_LIFE)
    assert concentration.shares()[OUT] == 0.5
    concentration.add(failed(B), HALF_LIFE - SECOND)  # a clock that was set back
    assert concentration.shares()[OUT] == pytest.approx(2 / 3)


@given(st.lists(st.lists(st.integers(0, 40), min_size=1, max_size=60), max_size=12))
def test_the_share_is_as_exact_as_it_says_whatever_comes(batches):
    hosts, counts = HeavyHost(capacity=7, half_life=SECOND), Counter()
    for batch in batches:
        keys = np.array(batch, np.uint64)
        hosts.add(keys % np.uint64(3), keys, 0)
        counts.update(batch)
        true = max(counts.values()) / counts.total()
        assert true - 1 / 8 - 1e-9 <= hosts.share <= true + 1e-9
        assert len(hosts._weights) <= 7
