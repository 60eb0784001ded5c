"""Flows of a controller that is gone: each is logged once, by whoever knows more."""

import numpy as np

from chamaleonet.flows.records import names_of
from chamaleonet.log.departed import Departed
from tests.log.build import flow

FIRST, SECOND = 7, 8  # runs of the controller


def number(n, **fields):
    return flow("tcp", "10.0.0.1", "192.0.2.9", n, 80, **fields)


def three():
    return np.concatenate([number(1), number(2), number(3)])


def ports(flows):
    return sorted((flows["ports"] >> 16).tolist())


def test_those_that_get_no_final_record_are_logged_when_all_is_told():
    departed = Departed()
    departed.add(three())
    assert not departed.ended(number(2)), "it was left in the spool, and is logged by that"
    assert not departed.ended(number(2, first=5)), "an earlier flow of the same key"
    assert ports(departed.settle(SECOND)) == [1, 3]
    assert ports(departed.settle(SECOND)) == []


def test_one_that_was_given_up_is_not_logged_again():
    departed = Departed()
    departed.add(three())
    assert ports(departed.give_up(FIRST)) == [1, 2, 3]
    assert departed.ended(number(2))
    assert not departed.ended(number(2)), "that would be another flow"
    assert not departed.ended(number(4))


def test_the_next_run_of_the_logger_knows_what_was_given_up():
    before = Departed()
    before.add(three())
    before.give_up(FIRST)
    after = Departed(saved=before.save())
    assert ports(after.settle(FIRST)) == []
    assert after.ended(number(1)), "the same controller lives, and tells the end"
    after.add(number(3))
    assert ports(after.settle(SECOND)) == [], "logged by the run before"


def test_what_an_earlier_controller_left_is_told_before_the_next_ones_own():
    before = Departed()
    before.add(number(1))
    before.give_up(FIRST)
    after = Departed(saved=before.save())
    after.settle(SECOND)
    assert after.save() == b""
    assert not after.ended(number(1))


def test_a_flow_that_the_next_controller_goes_on_with_is_left_to_it():
    departed = Departed()
    departed.add(three())
    departed.active(number(2))
    assert ports(departed.settle(SECOND)) == [1, 3]
    assert not departed.ended(number(2))


def test_one_that_was_given_up_and_goes_on_after_all_is_not_logged_again():
    before = Departed()
    before.add(three())
    before.give_up(FIRST)
    after = Departed(saved=before.save())
    after.active(number(2))
    after.active(number(4))
    assert ports(after.settle(SECOND)) == []
    assert ports(after.settle(SECOND)) == [], "the same run connects again"
    assert after.ended(number(2))
    assert not after.ended(number(3)), "nobody goes on with it: that is another flow"
    assert not after.ended(number(4))


def test_a_run_that_no_controller_spoke_to_keeps_what_it_was_told():
    before = Departed()
    before.add(number(1))
    before.give_up(FIRST)
    between = Departed(saved=before.save())
    between.give_up(0)
    assert Departed(saved=between.save()).ended(number(1))


def test_nothing_is_saved_of_nothing_and_a_torn_file_is_read_as_far_as_it_goes():
    assert Departed().save() == b""
    departed = Departed()
    departed.add(three())
    departed.give_up(FIRST)
    saved = departed.save()
    for length in range(len(saved)):
        Departed(saved=saved[:length])
    assert sum(Departed(saved=saved[:-1]).ended(number(n)) for n in (1, 2, 3)) == 2


def test_names_can_be_those_of_anonymised_flows():
    def anonymous(flows):
        flows = flows.copy()
        flows["low_lo"] ^= np.uint64(0x55)
        return names_of(flows)

    departed = Departed(anonymous)
    departed.add(number(1))
    departed.give_up(FIRST)
    assert names_of(number(1))[0] not in departed.save()
    assert Departed(anonymous, departed.save()).ended(number(1))
