"""For how long a master may take itself for one."""

import math

import pytest

from chamaleonet.election.lease import Candidacy, LeaseError


class Script:
    """A lease that answers what a test says, after a while."""

    def __init__(self):
        self.now = 100.0
        self.answer, self.takes = None, 0.0
        self.released = False

    def clock(self):
        return self.now

    def hold(self):
        self.now += self.takes
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def release(self):
        self.released = True


@pytest.fixture
def script():
    return Script()


def test_who_is_granted_the_lease_is_master_until_shortly_before_its_end(script):
    candidacy = Candidacy(script, 10.0, script.clock)
    assert candidacy.term is None
    script.answer = 7
    candidacy.ask()
    script.now += 7.9
    assert candidacy.term == 7
    script.now += 0.2
    assert candidacy.term is None


def test_time_counts_from_the_question_not_from_the_answer(script):
    candidacy = Candidacy(script, 10.0, script.clock)
    script.answer, script.takes = 7, 6.0
    candidacy.ask()
    script.now += 1.9
    assert candidacy.term == 7
    script.now += 0.2
    assert candidacy.term is None


def test_an_answer_that_took_too_long_makes_nobody_master(script):
    candidacy = Candidacy(script, 10.0, script.clock)
    script.answer, script.takes = 7, 9.0
    candidacy.ask()
    assert candidacy.term is None


def test_a_service_that_is_away_is_waited_for_as_long_as_the_lease_is_sure(script, caplog):
    candidacy = Candidacy(script, 10.0, script.clock)
    script.answer = 7
    candidacy.ask()
    script.answer = LeaseError("nobody answers")
    for _ in range(3):
        script.now += 2.5
        candidacy.ask()
    assert candidacy.term == 7
    script.now += 1
    assert candidacy.term is None
    assert caplog.text.count("nobody answers") == 1
    script.answer = 8
    candidacy.ask()
    assert candidacy.term == 8
    assert "can be found out again" in caplog.text


def test_who_hears_that_another_one_is_master_is_none_at_once(script):
    candidacy = Candidacy(script, 10.0, script.clock)
    script.answer = 7
    candidacy.ask()
    script.answer = None
    candidacy.ask()
    assert candidacy.term is None


def test_only_a_master_resigns(script):
    candidacy = Candidacy(script, math.inf, script.clock)
    candidacy.resign()
    assert not script.released
    script.answer = 7
    candidacy.ask()
    script.now += 1e6
    assert candidacy.term == 7
    candidacy.resign()
    assert script.released
    assert candidacy.term is None
