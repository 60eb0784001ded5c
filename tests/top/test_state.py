"""Scripts of keys: what is pressed, and what is seen then."""

import pytest

from chamaleonet.top.state import TABS
from chamaleonet.top.view import HELP
from tests.log.build import SECOND
from tests.top.build import NOW, tcp, told, verdict
from tests.top.screen import Screen, network


@pytest.mark.parametrize(
    ("key", "names"),
    [
        ("1", ["10.0.0.2", "10.0.0.1", "10.0.0.3"]),
        ("2", ["192.0.2.9", "192.0.2.8"]),
        ("3", ["tcp/443", "tcp/80"]),
        ("4", ["unanswered"]),
        ("5", ["10.0.0.1:1", "10.0.0.2:2", "10.0.0.2:3"] + ["10.0.0.3:" + n for n in "456"]),
        ("6", ["nothing"]),
    ],
)
def test_each_list_has_a_number(key, names):
    assert Screen(network()).press(key).names == names


def test_lists_follow_each_other_in_a_ring():
    screen = Screen(network())
    seen = [screen.press("tab").state.tab for _ in TABS]
    assert seen == [1, 2, 3, 4, 5, 0]
    assert screen.press("left", "back-tab").state.tab == 4


def test_sorting_goes_through_the_columns():
    screen = Screen(network())
    assert screen.press("s", "s").names == ["10.0.0.3", "10.0.0.2", "10.0.0.1"]  # total
    assert "total v" in screen.lines[3]
    assert screen.press("r").names == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    assert "total ^" in screen.lines[3]
    assert screen.press("s").names == ["10.0.0.3", "10.0.0.1", "10.0.0.2"]  # recovered
    assert screen.press("s", "s").names == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]  # name
    assert "name ^" in screen.lines[3]


def test_each_list_keeps_its_own_order():
    screen = Screen(network()).press("s", "tab", "tab", "1")
    assert "minute v" in screen.lines[3]
    assert "now v" in screen.press("2").lines[3]


def test_a_filter_is_typed():
    screen = Screen(network()).press("/", *"0.3")
    assert screen.names == ["10.0.0.3"]
    assert screen.lines[-1] == "/0.3_   Enter: keep it, Esc: undo"
    assert screen.press("backspace", "q", "clear", *"10.0.0.1").names == ["10.0.0.1"]
    assert screen.press("enter").lines[-1].startswith("/10.0.0.1   q quit")
    assert screen.press("/", "x", "escape").names == ["10.0.0.1"]
    assert screen.press("escape").names == ["10.0.0.2", "10.0.0.1", "10.0.0.3"]


def test_what_is_chosen_stays_chosen_when_the_order_changes():
    screen = Screen(network())
    assert screen.chosen == ["10.0.0.2"]
    assert screen.press("down").chosen == ["10.0.0.1"]
    assert screen.press("s", "s").chosen == ["10.0.0.1"]
    screen.model.feed([verdict(tcp(n, client="10.0.0.1")) for n in range(10, 20)], NOW)
    assert screen.names[0] == "10.0.0.1"
    assert screen.chosen == ["10.0.0.1"]


def test_choosing_stops_at_the_ends():
    screen = Screen(network())
    assert screen.press("up", "page-up").chosen == ["10.0.0.2"]
    assert screen.press("page-down", "j").chosen == ["10.0.0.3"]
    assert screen.press("home").chosen == ["10.0.0.2"]
    assert screen.press("end", "k").chosen == ["10.0.0.1"]


def test_looking_into_a_host_shows_its_flows_and_then_one():
    screen = Screen(network()).press("end", "enter")
    assert screen.lines[2] == "[1 hosts] > 10.0.0.3"
    assert screen.names == ["10.0.0.3:4", "10.0.0.3:5", "10.0.0.3:6"]
    words = [line.split()[-4:-2] for line in screen.lines[4:7]]
    assert words == [["tcp", "recovered"], ["unanswered", "ended"], ["unanswered", "now"]]
    text = "\n".join(screen.press("enter").lines)
    for part in (
        "client        10.0.0.3:4",
        "server        192.0.2.8:443",
        "verdict       recovered: answered after 4.000 s",
        "quality       sound",
        "state         no longer erroneous",
        "attempts      1",
        "first packet  2026-09-21T14:13:20.000Z, 3s ago",
        "Community ID  1:",
        "became        2026-09-21T14:13:23.000Z unanswered",
        "became        2026-09-21T14:13:23.000Z recovered",
    ):
        assert part in text
    assert screen.press("s", "r", "/", "down", "enter").lines[2].endswith("10.0.0.3 > one flow")
    assert screen.press("escape").names[0] == "10.0.0.3:4"
    assert screen.press("backspace").chosen == ["10.0.0.3"]


def test_looking_into_a_finding_shows_what_it_rests_on():
    polls = [tcp(n, port=8080, first=NOW + n * SECOND) for n in range(1, 11)]
    screen = Screen(told(*map(verdict, polls), verdict(tcp(99)))).press("6")
    assert screen.lines[4].split() == [
        ">", "stale_server", "192.0.2.9", "tcp/8080", "10.0.0.1,", "10", "attempts,", "~", "10",
    ]  # fmt: skip
    assert len(screen.press("enter").names) == 10
    assert screen.lines[2] == "[6 findings] > stale_server 192.0.2.9 tcp/8080"


def test_pause_help_and_the_end():
    screen = Screen(network())
    assert "PAUSED" in screen.press("p").lines[0]
    assert "PAUSED" not in screen.press(" ").lines[0]
    assert HELP[0] in screen.press("h").lines
    assert HELP[0] not in screen.press("x").lines
    assert screen.press("q").state.ended
    assert Screen(network()).press("/", "quit").state.ended  # ^C, while typing too
