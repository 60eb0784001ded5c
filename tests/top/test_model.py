"""What the stream tells is added up, and memory stays bounded."""

from chamaleonet.flows.records import Quality
from chamaleonet.flows.transitions import State
from chamaleonet.top.model import Minute, Model
from tests.log.build import SECOND, flow, words
from tests.top.build import (
    CURRENT,
    HELLO,
    NOW,
    active,
    counted,
    ended,
    recovered,
    tcp,
    told,
    verdict,
)


def test_a_verdict_is_counted_under_all_that_its_flow_has():
    model = told(HELLO, CURRENT, verdict(tcp(1)), verdict(tcp(2, client="10.0.0.2")))
    assert counted(model) == {"10.0.0.1": (1, 1, 1, 0), "10.0.0.2": (1, 1, 1, 0)}
    assert counted(model, "servers") == {"192.0.2.9": (2, 2, 2, 0)}
    assert counted(model, "ports") == {"tcp/443": (2, 2, 2, 0)}
    assert counted(model, "verdicts") == {"unanswered": (2, 2, 2, 0)}
    assert (model.all.live, model.all.total) == (2, 2)


def test_what_was_erroneous_before_is_no_news():
    model = told(HELLO, active(tcp(1)), CURRENT)
    assert counted(model) == {"10.0.0.1": (1, 0, 1, 0)}
    assert model.current


def test_a_protocol_without_ports_is_its_name():
    model = told(verdict(flow("icmp", "10.0.0.1", "192.0.2.9")))
    assert list(model.tables["ports"]) == ["icmp"]


def test_the_last_minute_passes():
    model = told(verdict(tcp(1)))
    model.feed([verdict(tcp(2))], NOW + 40 * SECOND)
    assert counted(model, now=NOW + 40 * SECOND)["10.0.0.1"][1] == 2
    assert counted(model, now=NOW + 70 * SECOND)["10.0.0.1"][1] == 1
    assert counted(model, now=NOW + 500 * SECOND)["10.0.0.1"][1] == 0


def test_a_clock_that_goes_back_loses_nothing():
    minute = Minute()
    minute.add(NOW)
    minute.add(NOW - 600 * SECOND)
    assert minute.count(NOW) == 2


def test_an_answer_takes_the_error_back():
    model = told(verdict(tcp(1)), verdict(tcp(2)), verdict(recovered(1)))
    assert counted(model) == {"10.0.0.1": (1, 2, 2, 1)}
    assert counted(model, "verdicts") == {"unanswered": (1, 2, 2, 1)}
    first, second = (known for _, known in sorted(model.flows.items()))
    assert (first.live, second.live) == (False, True)
    assert [name for _, name in first.history] == ["unanswered", "recovered"]


def test_another_verdict_is_the_same_flow():
    error = tcp(1, state=State.ICMP_ERROR, icmp_type=3, icmp_code=1, judged=NOW + SECOND)
    error["sender_hi"], error["sender_lo"] = words("192.0.2.1")
    model = told(verdict(tcp(1)), verdict(error))
    assert counted(model) == {"10.0.0.1": (1, 1, 1, 0)}
    assert counted(model, "verdicts") == {"unanswered": (0, 1, 1, 0), "icmp_error": (1, 1, 1, 0)}
    [known] = model.flows.values()
    assert known.row.icmp_sender == "192.0.2.1"
    assert known.history == ((NOW, "unanswered"), (NOW + SECOND, "icmp_error"))


def test_a_verdict_that_is_told_twice_counts_once():
    model = told(verdict(tcp(1)), verdict(tcp(1)))
    assert counted(model) == {"10.0.0.1": (1, 1, 1, 0)}


def test_a_flow_that_ends_is_erroneous_no_longer():
    model = told(verdict(tcp(1)), ended(tcp(1, attempts=7)))
    assert counted(model) == {"10.0.0.1": (0, 1, 1, 0)}
    [known] = model.flows.values()
    assert (known.state, known.row.attempts) == ("ended", 7)


def test_the_end_of_an_unknown_flow_is_nothing():
    model = told(ended(tcp(1)), verdict(recovered(2)))
    assert model.flows == {}
    assert counted(model) == {}


def test_a_flow_that_a_new_connection_does_not_tell_of_is_gone():
    model = told(HELLO, active(tcp(1)), active(tcp(2)), CURRENT)
    model.feed([HELLO, active(tcp(2))], NOW)
    assert counted(model) == {"10.0.0.1": (2, 0, 2, 0)}
    assert not model.current
    model.feed([CURRENT], NOW)
    assert counted(model) == {"10.0.0.1": (1, 0, 2, 0)}
    assert [known.state for known in model.flows.values()] == ["gone", ""]


def test_a_flow_that_comes_back_is_not_counted_again():
    model = told(HELLO, active(tcp(1)), CURRENT, HELLO, CURRENT, HELLO, active(tcp(1)), CURRENT)
    assert counted(model) == {"10.0.0.1": (1, 0, 1, 0)}


def test_what_the_controller_dropped_is_counted():
    model = told(HELLO, CURRENT, verdict(tcp(1), 5), verdict(tcp(2), 6), verdict(tcp(3), 9))
    assert model.missed == 2
    model.feed([HELLO, CURRENT, verdict(tcp(4), 20)], NOW)
    assert model.missed == 2


def test_memory_is_bounded_and_what_is_forgotten_is_counted():
    flows = [tcp(n, client=f"10.0.{n // 250}.{n % 250}") for n in range(1, 501)]
    model = told(*map(verdict, flows), keep=100)
    assert len(model.flows) == 100
    assert len(model.tables["hosts"]) == 100
    assert model.forgotten == 400 + 400
    # The sums are about all; who is erroneous now, about those remembered.
    assert counted(model, "servers") == {"192.0.2.9": (100, 500, 500, 0)}
    assert (model.all.live, model.all.total) == (100, 500)


def test_those_silent_longest_go_first():
    model = told(verdict(tcp(1)), verdict(tcp(2)), keep=2)
    model.feed([verdict(tcp(1, attempts=2)), verdict(tcp(3))], NOW)
    assert [known.row.client_port for known in model.flows.values()] == [1, 3]


def test_a_row_that_was_forgotten_begins_anew():
    hosts = [tcp(n, client=f"10.0.0.{n}") for n in (1, 2)]
    model = told(verdict(hosts[0]), verdict(hosts[1]), keep=1)
    model.feed([ended(hosts[0]), verdict(hosts[0])], NOW)
    assert counted(model) == {"10.0.0.1": (1, 1, 1, 0)}


def test_a_copy_stays_as_it_is():
    model = told(verdict(tcp(1)))
    copy = model.copy()
    model.feed([verdict(tcp(2)), ended(tcp(1))], NOW)
    assert counted(copy) == {"10.0.0.1": (1, 1, 1, 0)}
    assert copy.all.total == 1
    assert [known.live for known in copy.flows.values()] == [True]


def test_quality_is_told():
    suspect = tcp(1, quality=Quality.SUSPECT)
    assert [known.row.quality for known in told(verdict(suspect)).flows.values()] == ["suspect"]


def test_nothing_told_is_nothing_counted():
    model = Model()
    model.feed([], NOW)
    assert model.all.total == 0
