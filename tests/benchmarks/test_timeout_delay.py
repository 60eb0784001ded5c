import numpy as np
import pytest

from benchmarks.experiments.catalogue.timeout_delay import PINGED, about, judge


@pytest.fixture
def rng():
    return np.random.default_rng(1)


def test_exactly_those_that_are_answered_too_late_are_called_unanswered(rng):
    delays = about(1).delays(500, rng)
    for timeout in (0.5, 1.0, 2.0):
        late = int((delays > timeout).sum())
        judged = judge(delays, timeout)
        assert (judged.unanswered, judged.recovered) == (late, late)


def test_what_is_captured_in_vain_are_first_packets_and_repeats(rng):
    # TCP: of the SYNs at 0, 1, 3 and 7 s one is the first, one comes after the deadline.
    delays = np.full(10, 2.0)
    assert judge(delays, 0.5).captured == 10 + 5
    assert judge(delays, 1.5).captured == 10
    assert judge(delays, 2.5).captured == 0


def test_a_longer_timeout_calls_fewer_unanswered(rng):
    delays = PINGED.delays(5000, rng)
    found = [judge(delays, timeout).unanswered for timeout in (0.5, 1, 3, 10)]
    assert found == sorted(found, reverse=True)
    assert found[0] > found[-1] > 0


def test_pinged_hosts_are_as_slow_as_was_published(rng):
    delays = PINGED.delays(50_000, rng)
    assert delays.min() == pytest.approx(0.01)
    assert delays.max() == pytest.approx(145)
    assert np.median(delays) == pytest.approx(0.19, abs=0.03)
