"""Tables for pipes."""

import argparse

from chamaleonet.commands import top as command
from chamaleonet.top.model import KEEP
from chamaleonet.top.plain import LISTS, SORTS, table
from tests.log.build import SECOND
from tests.top.build import NOW, active, recovered, tcp, told, verdict

COLUMNS = ["#", "time", "list", "name", "now", "minute", "total", "recovered", "last"]


def rows(model, what="hosts", **named):
    named.setdefault("rows", 10)
    headings, *lines = table(model, NOW, what=what, **named)
    return headings.split(), [line.split() for line in lines]


def model():
    return told(
        active(tcp(9, client="10.0.0.3")),
        *[verdict(tcp(n)) for n in (1, 2)],
        verdict(tcp(3, client="10.0.0.2")),
        verdict(recovered(1)),
    )


def test_the_columns_are_those_that_are_documented():
    headings, lines = rows(model())
    assert headings == COLUMNS
    time = "2026-09-21T14:13:23.000Z"
    assert lines == [
        [time, "hosts", "10.0.0.1", "1", "2", "2", "1", time],
        [time, "hosts", "10.0.0.2", "1", "1", "1", "0", time],
        [time, "hosts", "10.0.0.3", "1", "0", "1", "0", time],
    ]


def test_sorted_filtered_and_cut():
    names = [line[2] for line in rows(model(), sort="name", rows=2)[1]]
    assert names == ["10.0.0.1", "10.0.0.2"]
    assert rows(model(), sort="total")[1][0][2] == "10.0.0.1"
    assert [line[2] for line in rows(model(), contains="0.2")[1]] == ["10.0.0.2"]
    assert [line[2] for line in rows(model(), "ports")[1]] == ["tcp/443"]


def test_a_finding_is_a_line_without_blanks_in_its_columns():
    polls = [tcp(n, port=8080, first=NOW + n * SECOND) for n in range(1, 11)]
    headings, lines = rows(told(*map(verdict, polls)), "findings")
    assert headings == ["#", "time", "list", "finding", "flows", "at", "detail"]
    assert lines == [
        ["2026-09-21T14:13:23.000Z", "findings", "stale_server", "10", "192.0.2.9/tcp/8080",
         "10.0.0.1,_10_attempts,_every_1_s"],
    ]  # fmt: skip
    assert rows(told(*map(verdict, polls)), "findings", contains="ntp")[1] == []


def test_the_command_offers_what_there_is():
    assert command._LISTS == LISTS
    assert tuple(SORTS) == command._SORTS
    parser = argparse.ArgumentParser()
    command.add(parser.add_subparsers())
    assert parser.parse_args(["top"]).keep == KEEP


def test_nothing_is_a_line_of_headings():
    assert rows(told()) == (COLUMNS, [])
