import itertools
import struct

import pytest

from chamaleonet.switch import encode
from chamaleonet.switch.encode import ADD, DELETE_STRICT
from chamaleonet.switch.pipeline import Change
from chamaleonet.switch.rulebook import Phase, Rulebook, RuleState
from chamaleonet.switch.rules import IPV4, Cookie, Kind, Output, Rule
from tests.fake_switch import FlowTable
from tests.switch.build import answer

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


def connected(book, table=None):
    xids = itertools.count(1)
    answer(book, book.connect(lambda: next(xids)), table or FlowTable())
    return book


def ready(book, table=None):
    while book.phase is not Phase.READY:
        sent = book.flush()
        if sent:
            if table is not None:
                for kind, _, body in messages(sent):
                    if kind == 14:
                        table.take(body)
            book.on_barrier(barrier(sent))
    return book


def in_switch(*rules, generation=0):
    table = FlowTable()
    for rule in rules:
        table.add(encode.add(rule, generation, 1))
    return table


def cookies(table):
    return sorted(entry[0] for entry in table.entries.values())


def wanting(*numbers):
    book = Rulebook(STATIC)
    book.apply(Change(redirect(number)) for number in numbers)
    return book


def test_nothing_is_sent_before_the_switch_has_told_what_it_has():
    book = Rulebook(STATIC)
    assert book.flush() == b""
    question = book.connect(itertools.count(7).__next__)
    assert book.flush() == b""
    book.on_dump(999, FlowTable().parts(question[8:], 999)[0])  # somebody else's question
    assert book.phase is Phase.ASKING


def test_an_empty_switch_gets_all_that_is_wanted():
    sent = connected(wanting(1)).flush()
    assert [command for _, command, _ in flow_mods(sent)] == [ADD] * 3


def test_what_is_as_wanted_stays_untouched():
    table = in_switch(*STATIC, redirect(1), redirect(2), generation=4)
    book = wanting(1, 2)
    assert flow_mods(connected(book, table).flush()) == []
    assert {state for _, state in book} == {RuleState.CONFIRMED}
    assert book.reconciled == (4, 0, 0)


@pytest.mark.parametrize(
    "changed",
    [
        {"idle_timeout": 60}, {"notify": False}, {"goto": 2}, {"actions": (Output(4),)},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_there_in_another_form_is_replaced_in_place(changed):
    table = in_switch(*STATIC, redirect(1)._replace(**changed))
    book = wanting(1)
    ((_, command, _),) = flow_mods(connected(book, table).flush())
    assert command == ADD
    assert book.reconciled == (2, 1, 0)


def test_what_is_not_wanted_goes_the_rules_of_flows_first_and_static_ones_last():
    old = Rule(0, 9, goto=1)
    table = in_switch(old, redirect(1))
    book = connected(Rulebook(STATIC), table)
    first, then, last = book.flush(), book.flush(), None
    assert [command for _, command, _ in flow_mods(first)] == [DELETE_STRICT]
    assert [command for _, command, _ in flow_mods(then)] == [ADD] * 2
    assert book.flush() == b""  # the static rule waits until the new ones are in place
    for sent in first, then:
        book.on_barrier(barrier(sent))
    last = book.flush()
    assert [command for _, command, _ in flow_mods(last)] == [DELETE_STRICT]
    for sent in first, then, last:
        for kind, _, body in messages(sent):
            if kind == 14:
                table.take(body)
    assert table.entries == in_switch(*STATIC, generation=book.generation).entries
    assert book.phase is Phase.CLEANING
    book.on_barrier(barrier(last))
    assert book.flush() == b""
    assert book.phase is Phase.READY
    assert book.reconciled == (0, 2, 2)


def test_rules_of_others_are_neither_asked_for_nor_touched():
    table = in_switch(redirect(1))
    others = [(0xC4A2 << 48, 0, 1, b""), (7, 60, 0, b"")]
    for number, other in enumerate(others):
        table.entries[1, 50 + number, encode.encode_match(())] = other
    ready(connected(Rulebook(STATIC), table), table)
    assert [entry for entry in table.entries.values() if entry in others] == others
    assert len(table.entries) == len(others) + len(STATIC)


def test_a_rule_that_stays_keeps_its_cookie_and_is_known_by_it():
    table = in_switch(redirect(5), generation=4)
    [was] = cookies(table)
    mine = redirect(5).with_cookie(Cookie(Kind.REDIRECT, 77))
    book = Rulebook(STATIC)
    book.apply([Change(mine)])
    ready(connected(book, table), table)
    assert was in cookies(table)
    assert book.cookie_of(was) == mine.cookie
    book.apply([Change(mine, add=False)])
    ready(book)
    table.add(encode.delete(mine, was, 1))
    assert flow_mods(connected(wanting(5), in_switch(redirect(5), generation=4)).flush())


def test_it_is_deleted_by_the_cookie_that_it_has():
    table = in_switch(redirect(5), generation=4)
    mine = redirect(5).with_cookie(Cookie(Kind.REDIRECT, 77))
    book = Rulebook(STATIC)
    book.apply([Change(mine)])
    ready(connected(book, table), table)
    book.apply([Change(mine, add=False)])
    for kind, _, body in messages(book.flush()):
        if kind == 14:
            table.take(body)
    assert len(table.entries) == len(STATIC)


def test_a_new_process_has_a_generation_that_is_not_in_use():
    table = in_switch(*STATIC, redirect(1))
    table.add(encode.add(redirect(2), 1, 1))
    assert connected(Rulebook(STATIC), table).generation == 2


def test_a_cookie_that_would_mean_two_rules_is_replaced():
    """With all generations in use, ours is one that other rules bear too."""
    table = FlowTable()
    for generation in range(16):
        table.add(encode.add(redirect(generation), generation, 1))
    book = Rulebook(STATIC)
    foreign = redirect(0).with_cookie(Cookie(Kind.REDIRECT, 99))
    book.apply([Change(foreign), Change(redirect(1))])
    ready(connected(book, table), table)
    assert book.generation == 0
    assert cookies(table)[len(STATIC) :] == sorted([foreign.cookie.at(0), redirect(1).cookie.at(1)])


def test_a_process_that_connects_again_keeps_its_generation_and_its_rules():
    table = FlowTable()
    book = ready(connected(wanting(1, 2), table), table)
    before = dict(table.entries)
    book.disconnect()
    book.apply([Change(redirect(2), add=False), Change(redirect(3))])
    ready(connected(book, table), table)
    assert book.reconciled == (3, 1, 1)
    kept = {place: entry for place, entry in before.items() if place in table.entries}
    assert kept.items() <= table.entries.items()
    assert len(table.entries) == 4


def test_a_switch_that_lost_its_rules_gets_them_again():
    table = FlowTable()
    book = ready(connected(wanting(1, 2), table), table)
    before = dict(table.entries)
    table.entries.clear()
    ready(connected(book, table), table)
    assert table.entries == before


@pytest.mark.parametrize("damage", ["short", "entry", "match", "error"])
def test_an_answer_that_cannot_be_read_makes_it_start_afresh(damage):
    table = in_switch(redirect(1), generation=3)
    book = Rulebook(STATIC)
    question = book.connect(itertools.count(7).__next__)
    reply = bytearray(table.parts(question[8:], 7)[0])
    if damage == "short":
        del reply[40:]
    elif damage == "entry":
        reply[16:18] = b"\xff\xff"
    elif damage == "match":
        reply[66:68] = b"\xff\xf0"
    if damage == "error":
        assert book.on_error(7) is None
    else:
        book.on_dump(7, bytes(reply))
    ready(book, table)
    assert table.entries == in_switch(*STATIC).entries


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
