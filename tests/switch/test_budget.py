from chamaleonet.switch.budget import Budget
from tests.traffic import SECOND


def test_the_marks_are_parts_of_the_limit():
    budget = Budget(1000)
    assert (budget.limit, budget.high, budget.low, budget.worth) == (1000, 750, 500, 10)
    assert Budget(1).worth == 1


def test_the_first_refusal_bounds_and_the_others_of_the_moment_only_more():
    budget = Budget(1000)
    for rules in (700, 699, 698):
        budget.table_full(rules, 0)
    assert budget.limit == 698
    budget.advance(29 * SECOND)
    assert budget.limit == 698
    budget.advance(30 * SECOND)
    assert budget.limit == 698 + 174


def test_a_repeated_refusal_is_waited_for_twice_as_long_up_to_ten_minutes():
    budget, now = Budget(1000), 0
    for seconds in (30, 60, 120, 240, 480, 600, 600):
        budget.table_full(100, now)
        budget.advance(now + (seconds - 1) * SECOND)
        assert budget.limit == 100
        now += seconds * SECOND
        budget.advance(now)
        assert budget.limit == 125


def test_without_another_refusal_the_bound_is_gone_in_the_end():
    budget = Budget(1000)
    budget.table_full(10, 0)
    for minute in range(1, 60):
        budget.advance(minute * 60 * SECOND)
    assert budget.limit == 1000
    budget.table_full(500, 10**13)
    budget.advance(10**13 + 30 * SECOND)  # and with it the memory of long waits
    assert budget.limit == 625


def test_a_full_table_is_believed_more_than_its_description():
    budget = Budget(None)
    budget.table_full(7, 0)
    budget.has_room_for(500)
    assert budget.limit == 7


def test_a_table_full_of_others_leaves_no_room():
    budget = Budget(None)
    budget.has_room_for(0)
    assert budget.limit == 0
    budget.has_room_for(500)
    assert budget.limit == 500


def test_pressure_is_gone_ten_seconds_after_it_was_felt():
    budget = Budget(10)
    budget.press(100 * SECOND)
    assert not budget.is_relaxed(109 * SECOND)
    assert budget.is_relaxed(110 * SECOND)
