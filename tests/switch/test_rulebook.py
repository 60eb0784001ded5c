import itertools
import struct

from chamaleonet.switch.encode import ADD, DELETE, DELETE_STRICT
from chamaleonet.switch.pipeline import Change
from chamaleonet.switch.rulebook import Phase, Rulebook, RuleState
from chamaleonet.switch.rules import COOKIE_PREFIX, IPV4, Cookie, Kind, Rule

STATIC = [Rule(0, 0, goto=1), Rule(1, 0)]


def redirect(number):
    match = (("eth_type", IPV4), ("ipv4_src", number))
    return Rule(1, 100, match, cookie=Cookie(Kind.REDIRECT, number), notify=True)


def messages(data):
    """Split bytes into messages: (type, xid, body)."""
    at = 0
    while at < len(data):
        _, kind, length, xid = struct.unpack_from("!BBHI", data, at)
        yield kind, xid, data[at + 8 : at + length]
        at += length


def flow_mods(data):
    """Return (xid, command, cookie) of the flow-mods."""
    return [
        (xid, body[17], struct.unpack_from("!Q", body)[0])
        for kind, xid, body in messages(data)
        if kind == 14
    ]


def barrier(data):
    *_, (kind, xid, _) = messages(data)
    assert kind == 20
    return xid


def connected(book, in_use=()):
    xids = itertools.count(1)
    questions = list(messages(book.connect(lambda: next(xids))))
    assert len(questions) == 16
    for _, xid, body in questions:
        generation = struct.unpack_from("!Q", body, 24)[0] >> 44 & 15
        book.on_count(xid, 5 if generation in in_use else 0)
    return book


def ready(book):
    while book.phase is not Phase.READY:
        sent = book.flush()
        if sent:
            book.on_barrier(barrier(sent))
    return book


def test_a_connection_installs_what_is_wanted_and_then_deletes_the_rest():
    book = connected(Rulebook(STATIC), in_use={0, 1})
    sent = book.flush()
    assert [(command, cookie) for _, command, cookie in flow_mods(sent)] == [
        (ADD, COOKIE_PREFIX | 2 << 44)
    ] * 2
    assert book.flush() == b""  # nothing is deleted before all is in place
    book.on_barrier(barrier(sent))
    deletions = flow_mods(cleaning := book.flush())
    assert {command for _, command, _ in deletions} == {DELETE}
    assert {cookie >> 44 & 15 for _, _, cookie in deletions} == set(range(16)) - {2}
    assert book.phase is Phase.CLEANING
    book.on_barrier(barrier(cleaning))
    assert book.flush() == b""
    assert book.phase is Phase.READY


def test_nothing_is_sent_before_the_switch_has_told_what_is_in_use():
    book = Rulebook(STATIC)
    assert book.flush() == b""
    book.connect(itertools.count().__next__)
    assert book.flush() == b""
    book.on_count(999, 3)  # somebody else's question
    assert book.phase is Phase.ASKING


def test_changes_are_one_batch_and_a_barrier_confirms_it():
    book = ready(connected(Rulebook(STATIC)))
    changes = [Change(redirect(1), due=7), Change(redirect(2))]
    book.apply(changes)
    sent = book.flush()
    assert [kind for kind, _, _ in messages(sent)] == [14, 14, 20]
    assert dict(book)[redirect(1)] is RuleState.SENT
    assert book.on_barrier(barrier(sent)) == changes
    assert dict(book)[redirect(1)] is RuleState.CONFIRMED
    assert book.on_barrier(barrier(sent)) == []


def test_an_error_is_tied_to_its_rule():
    book = ready(connected(Rulebook(STATIC)))
    refused, accepted = Change(redirect(1)), Change(redirect(2))
    book.apply([refused, accepted])
    sent = book.flush()
    (xid, _, _), _ = flow_mods(sent)
    assert book.on_error(xid) == refused
    assert book.on_error(xid) is None
    assert book.on_error(12345) is None
    assert book.on_barrier(barrier(sent)) == [accepted]
    assert redirect(1) not in dict(book)


def test_a_static_rule_that_was_refused_is_tried_again_on_the_next_connection():
    book = connected(Rulebook(STATIC))
    (xid, _, _), _ = flow_mods(book.flush())
    assert book.on_error(xid).rule == STATIC[0]
    assert dict(book)[STATIC[0]] is RuleState.FAILED
    book.disconnect()
    assert len(flow_mods(connected(book).flush())) == 2


def test_the_last_word_on_a_rule_is_sent():
    book = ready(connected(Rulebook(STATIC)))
    book.apply([Change(redirect(1)), Change(redirect(1), add=False)])
    ((_, command, _),) = flow_mods(book.flush())
    assert command == DELETE_STRICT
    assert redirect(1) not in dict(book)


def test_what_is_wanted_while_disconnected_is_installed_on_connection():
    book = Rulebook(STATIC)
    book.apply([Change(redirect(1)), Change(redirect(2)), Change(redirect(2), add=False)])
    assert len(flow_mods(connected(book).flush())) == 3


def test_a_lost_connection_makes_all_rules_wait_again():
    book = ready(connected(Rulebook(STATIC)))
    book.disconnect()
    assert {state for _, state in book} == {RuleState.WAITING}
    assert book.on_barrier(1) == []
    assert book.on_error(1) is None
    ready(connected(book))
    assert {state for _, state in book} == {RuleState.CONFIRMED}


def test_few_batches_are_under_way_and_the_next_grows_meanwhile():
    book = ready(connected(Rulebook(STATIC)))
    sent = []
    for number in range(10):
        book.apply([Change(redirect(number))])
        sent.append(book.flush())
    assert [bool(data) for data in sent] == [True] * 4 + [False] * 6
    book.on_barrier(barrier(sent[0]))
    assert len(flow_mods(book.flush())) == 6


def test_a_batch_is_bounded():
    book = ready(connected(Rulebook(STATIC)))
    book.apply([Change(redirect(number)) for number in range(2500)])
    assert [len(flow_mods(book.flush())) for _ in range(4)] == [1000, 1000, 500, 0]


def test_an_expired_rule_is_wanted_no_more_but_its_successor_is():
    book = ready(connected(Rulebook(STATIC)))
    old = redirect(1)
    new = old.with_cookie(Cookie(Kind.REDIRECT, 2))
    book.apply([Change(old), Change(new)])
    book.expired(old)
    assert new in dict(book)
    book.expired(new)
    assert new not in dict(book)


def test_all_generations_in_use_is_no_deadlock():
    assert ready(connected(Rulebook(STATIC), in_use=set(range(16)))).generation == 0
