import numpy as np
import pytest

from benchmarks.experiments.catalogue.service_granularity import (
    ACK,
    REPEATS,
    SYN,
    Packet,
    Traffic,
    draw,
    model,
)


def answered(flow, begin):
    return [Packet(begin, flow, 0, False, SYN), Packet(begin + 0.02, flow, 0, True, SYN | ACK)]


def failing(flow, begin):
    return [Packet(begin + wait, flow, 0, False, SYN) for wait in (0, *REPEATS)]


def traffic(*flows):
    """A service that answers the first client and leaves the second one alone."""
    return Traffic(sorted(packet for flow in flows for packet in flow), {1}, 2)


@pytest.mark.parametrize(("granularity", "missed"), [("flow", 0), ("service", 1)])
def test_a_bypass_of_the_service_hides_another_clients_failure(granularity, missed):
    found = model(traffic(answered(0, 0), failing(1, 5)), granularity, 60)
    assert (found.missed, found.false, found.rules) == (missed, 0, 2)


def test_a_failure_after_the_bypass_was_idle_is_found():
    assert model(traffic(answered(0, 0), failing(1, 61)), "service", 60).missed == 0


def test_what_is_hidden_does_not_keep_the_bypass_alive():
    # SYNs at 3, 4, 6 and 10 s; nothing was answered after 0.02 s.
    flows = traffic(answered(0, 0), failing(1, 3))
    assert model(flows, "service", 5).missed == 0
    assert model(flows, "service", 11).missed == 1


def test_a_reply_that_passes_by_a_fresh_bypass_is_not_seen():
    second = [Packet(0.01, 1, 0, False, SYN), Packet(0.03, 1, 0, True, SYN | ACK)]
    flows = Traffic(sorted([*answered(0, 0), *second]), set(), 2)
    assert model(flows, "service", 60).false == 0.5
    assert model(flows, "flow", 60).false == 0


def test_services_spare_rules_and_hide_the_more_the_busier_they_are():
    found = {}
    for rate in (0.2, 10):
        flows = draw(200, 5, rate, 0.5, np.random.default_rng(1))
        by_flow, by_service = (model(flows, each, 180) for each in ("flow", "service"))
        assert by_flow.missed == 0
        assert by_service.rules <= min(by_flow.rules, 2 * 5)
        found[rate] = by_service.missed
    assert 0 < found[0.2] < found[10] < 1
