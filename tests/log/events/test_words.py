import pytest

from chamaleonet.flows.records import Quality
from chamaleonet.flows.transitions import VERDICTS, State
from chamaleonet.log.events.rows import rows
from chamaleonet.log.events.words import end, reason, sentence
from tests.log.build import flow, words


def row(state, version=4, sender=None, **fields):
    ends = ("10.0.0.1", "192.0.2.9") if version == 4 else ("fd00::1", "2001:db8::9")
    record = flow("tcp", *ends, 4000, 80, state=state, **fields)
    if sender:
        record["sender_hi"], record["sender_lo"] = words(sender)
    return rows(record)[0]


@pytest.mark.parametrize("state", VERDICTS)
def test_every_verdict_has_its_reason(state):
    assert reason(row(state))


def test_attempts_are_counted():
    assert reason(row(State.UNANSWERED, attempts=1)) == "no answer to 1 attempt"
    assert reason(row(State.UNANSWERED, attempts=4)) == "no answer to 4 attempts"


def test_a_verdict_that_is_not_sound_says_so():
    suspect = row(State.UNANSWERED, attempts=4, quality=Quality.SUSPECT)
    assert reason(suspect) == "no answer to 4 attempts (suspect)"
    assert reason(row(State.REFUSED, quality=Quality.DEGRADED)) == "reset by the server (degraded)"


def test_a_late_answer_tells_how_late():
    assert reason(row(State.RECOVERED, reply_delay=4_212_345_678)) == "answered after 4.212 s"


@pytest.mark.parametrize(
    ("version", "kind", "code", "expected"),
    [
        (4, 3, 3, "port unreachable (ICMP 3/3) from 10.1.1.1"),
        (4, 3, 99, "destination unreachable (ICMP 3/99) from 10.1.1.1"),
        (4, 12, 0, "parameter problem (ICMP 12/0) from 10.1.1.1"),
        (4, 99, 0, "error (ICMP 99/0) from 10.1.1.1"),
        (6, 3, 0, "hop limit exceeded in transit (ICMP 3/0) from fd00::7"),
    ],
)
def test_icmp_errors_have_names(version, kind, code, expected):
    sender = "10.1.1.1" if version == 4 else "fd00::7"
    judged = row(State.ICMP_ERROR, version, sender, icmp_type=kind, icmp_code=code)
    assert reason(judged) == expected


def test_an_ipv6_address_with_a_port_is_bracketed():
    assert end("fd00::1", 80) == "[fd00::1]:80"
    assert end("fd00::1", None) == "fd00::1"
    assert end("10.0.0.1", 80) == "10.0.0.1:80"


def test_a_sentence_tells_it_all():
    assert sentence(row(State.REFUSED, 6)) == (
        "refused outbound tcp [fd00::1]:4000 -> [2001:db8::9]:80: reset by the server"
    )
