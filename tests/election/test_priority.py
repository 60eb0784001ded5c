"""Two nodes that watch each other, played on one clock."""

import math

from chamaleonet.election.lease import ASKS
from chamaleonet.election.priority import Peer, PriorityLease

SECONDS = 4.0


class Pair:
    """Nodes a (priority 2) and b (1), each of which may be dead or cut off."""

    def __init__(self, **options):
        self.now = 0.0
        self.heard = {"a": -math.inf, "b": -math.inf}
        self.terms = 0
        self.lease, self.master = {}, {"a": False, "b": False}
        self.options = options
        self.alive = {"a", "b"}
        self.linked = True
        for name in "ab":
            self.start(name)

    def start(self, name):
        other = {"a": "b", "b": "a"}[name]
        self.alive.add(name)
        self.heard[name] = -math.inf
        self.master[name] = False
        self.lease[name] = PriorityLease(
            {"a": 2, "b": 1}[name], SECONDS,
            lambda: Peer(self.heard[name], self.master[other], {"a": 2, "b": 1}[other]),
            self._new_term, clock=lambda: self.now, **self.options,
        )  # fmt: skip

    def _new_term(self):
        self.terms += 1
        return self.terms

    def kill(self, name):
        self.alive.discard(name)
        self.master[name] = False

    def pass_time(self, seconds, asleep=""):
        """Let time pass; return who is master at its end, as (name, term)."""
        steps = round(seconds * ASKS / SECONDS)
        holds = {}
        for _ in range(steps):
            self.now += SECONDS / ASKS
            if self.linked and self.alive >= {"a", "b"}:
                for name in set("ab") - set(asleep):
                    self.heard[name] = self.now
            holds = {name: self.lease[name].hold() for name in sorted(self.alive - set(asleep))}
            self.master.update({name: term is not None for name, term in holds.items()})
        return [(name, term) for name, term in holds.items() if term is not None]


def test_of_two_that_start_together_the_higher_priority_is_master():
    assert Pair().pass_time(8) == [("a", 1)]


def test_one_that_is_alone_is_master_after_a_while():
    pair = Pair()
    pair.kill("a")
    assert pair.pass_time(3) == []
    assert pair.pass_time(2) == [("b", 1)]


def test_the_standby_takes_over_from_a_dead_master_and_keeps_it():
    pair = Pair()
    pair.pass_time(8)
    pair.kill("a")
    assert pair.pass_time(3) == []
    assert pair.pass_time(2) == [("b", 2)]
    pair.start("a")
    assert pair.pass_time(1000) == [("b", 2)], "who comes back does not preempt"


def test_who_comes_back_preempts_after_its_time_where_that_is_wished():
    pair = Pair(preempt=60.0)
    pair.pass_time(8)
    pair.kill("a")
    pair.pass_time(8)
    pair.start("a")
    assert pair.pass_time(58) == [("b", 2)]
    assert pair.pass_time(4) == [("a", 3), ("b", 2)], "the switch tells b, which then stands back"


def test_a_node_that_slept_does_not_take_its_own_silence_for_the_others():
    pair = Pair()
    pair.pass_time(8)
    pair.pass_time(100, asleep="b")
    assert pair.pass_time(1) == [("a", 1)]


def test_both_are_master_when_they_cannot_see_each_other():
    pair = Pair()
    pair.pass_time(8)
    pair.linked = False
    assert pair.pass_time(8) == [("a", 1), ("b", 2)]


def test_a_term_ends_when_it_is_given_up():
    pair = Pair()
    pair.pass_time(8)
    pair.lease["a"].release()
    pair.kill("a")
    assert pair.pass_time(8) == [("b", 2)]
