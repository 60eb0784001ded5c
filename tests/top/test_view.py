"""The screen as scripts: what is pressed, and what is seen then."""

import pytest
from rich.cells import cell_len

from chamaleonet.flows.records import Quality
from chamaleonet.flows.transitions import State as Verdict
from chamaleonet.top.model import Model
from chamaleonet.top.state import TABS, State, press
from chamaleonet.top.view import HELP, render
from tests.log.build import SECOND, flow
from tests.top.build import CURRENT, HELLO, NOW, ended, recovered, tcp, told, verdict

SIZE = (80, 24)
KEYS = {"v": "down", "^": "up", "<": "left", ">": "right", "!": "enter", "\x1b": "escape"}


class Screen:
    """A screen that shows a model.

    Args:
        model: what is shown.
        size: columns and lines.
    """

    def __init__(self, model, size=SIZE):
        self.model, self.state, self.size, self.now = model, State(), size, NOW

    def press(self, *keys):
        for key in keys:
            self.state = press(self.state, key, self.model, self.now)
        return self

    def texts(self):
        return render(
            self.model, self.state, self.now, self.size, source="unix:x", status="connected"
        )

    @property
    def lines(self):
        return [line.plain.rstrip() for line in self.texts()]

    @property
    def names(self):
        """The first column of the list, in order."""
        rows = [line for line in self.lines[4:-1] if line]
        return [line[2:].split(" ")[0] for line in rows]

    @property
    def chosen(self):
        """The lines that are marked, without the mark."""
        return [line[2:].split(" ")[0] for line in self.lines[4:-1] if line.startswith(">")]


def network():
    """Three clients with 1, 2 and 3 flows, of which one was answered late and one ended."""
    return told(
        HELLO,
        CURRENT,
        *[verdict(tcp(1, client="10.0.0.1"))],
        *[verdict(tcp(n, client="10.0.0.2", port=80)) for n in (2, 3)],
        *[verdict(tcp(n, client="10.0.0.3", server="192.0.2.8")) for n in (4, 5, 6)],
        verdict(recovered(4, client="10.0.0.3", server="192.0.2.8")),
        ended(tcp(5, client="10.0.0.3", server="192.0.2.8")),
    )


def test_a_screen():
    assert Screen(network(), (80, 9)).lines == [
        "chamaleonet top  14:13:23  connected  unix:x",
        "now 4   minute 6   total 6   recovered 1",
        "[1 hosts] 2 servers  3 ports  4 verdicts  5 flows  6 findings",
        "  name                                 now v   minute   total   recovered   last",
        "> 10.0.0.2                                 2        2       2           0     0s",
        "  10.0.0.1                                 1        1       1           0     0s",
        "  10.0.0.3                                 1        3       3           1     0s",
        "",
        "q quit  h help  s sort  r reverse  / filter  p pause  Enter look in  Esc back",
    ]


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


def test_a_filter_that_nothing_passes_says_so():
    screen = Screen(network()).press("/", "x", "enter", "down", "enter")
    assert screen.lines[4] == "  nothing that contains it"


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


def test_an_icmp_error_and_its_sender():
    record = tcp(1, state=Verdict.ICMP_ERROR, icmp_type=3, icmp_code=1, vlan=7)
    record["sender_lo"] = 0xC0000201
    text = "\n".join(Screen(told(verdict(record))).press("enter", "enter").lines)
    assert "verdict       icmp_error: host unreachable (ICMP 3/1) from 192.0.2.1" in text
    assert "ICMP sender   192.0.2.1" in text
    assert "protocol      tcp, VLAN 7" in text


def test_a_verdict_that_is_not_sure_is_marked():
    screen = Screen(told(verdict(tcp(1, quality=Quality.SUSPECT)))).press("5")
    assert "unanswered?" in screen.lines[4]


def test_looking_into_a_finding_shows_what_it_rests_on():
    polls = [tcp(n, port=8080, first=NOW + n * SECOND) for n in range(1, 11)]
    screen = Screen(told(*map(verdict, polls), verdict(tcp(99)))).press("6")
    assert screen.lines[4].split() == [
        ">", "stale_server", "192.0.2.9", "tcp/8080", "10.0.0.1,", "10", "attempts,", "~", "10",
    ]  # fmt: skip
    assert len(screen.press("enter").names) == 10
    assert screen.lines[2] == "[6 findings] > stale_server 192.0.2.9 tcp/8080"


def test_a_flow_that_is_forgotten_meanwhile_says_so():
    screen = Screen(told(verdict(tcp(1)), keep=1)).press("5", "enter")
    screen.model.feed([verdict(tcp(2))], NOW)
    assert screen.lines[4] == "this flow is forgotten"
    assert "forgotten 1" in screen.lines[1]


def test_pause_help_and_the_end():
    screen = Screen(network())
    assert "PAUSED" in screen.press("p").lines[0]
    assert "PAUSED" not in screen.press(" ").lines[0]
    assert HELP[0] in screen.press("h").lines
    assert HELP[0] not in screen.press("x").lines
    assert screen.press("q").state.ended
    assert Screen(network()).press("/", "quit").state.ended  # ^C, while typing too


def test_dropped_records_are_told():
    model = network()
    model.missed = 5
    assert Screen(model).lines[1].endswith("recovered 1   missed 5")


def test_the_list_scrolls_to_what_is_chosen():
    flows = [tcp(n, client=f"10.0.1.{n}") for n in range(100)]
    screen = Screen(told(*map(verdict, flows)), (80, 12))
    assert screen.press("end").chosen == ["10.0.1.99"]
    assert len(screen.names) == 7
    seen = {screen.press("up").chosen[0] for _ in range(99)}
    assert len(seen) == 99


LONG = flow("udp", "2001:db8:1234:5678:9abc:def0:1234:5678", "2001:db8::1", 60000, 53)


@pytest.mark.parametrize("size", [(80, 24), (40, 10), (20, 8), (7, 3), (1, 1), (200, 60)])
@pytest.mark.parametrize("keys", ["1", "2", "5", "6", "h", "1!", "1!!", "/x"])
def test_no_line_is_wider_than_the_screen_nor_are_there_more(size, keys):
    screen = Screen(told(verdict(LONG), *map(verdict, [tcp(n) for n in range(40)])), size)
    screen.press(*(KEYS.get(key, key) for key in keys))
    lines = screen.texts()
    assert len(lines) == size[1]
    assert all(cell_len(line.plain) <= size[0] for line in lines)


def test_nothing_is_told_by_colour_and_all_is_ascii():
    screen = Screen(network())
    for key in ("1", "5", "6", "h"):
        for line in screen.press(key).texts():
            assert line.plain.isascii()
            styles = {str(style) for style in (line.style, *(span.style for span in line.spans))}
            assert styles <= {"", "bold", "reverse", "underline"}


def test_an_empty_model_can_be_looked_at():
    screen = Screen(Model())
    for key in ("1", "5", "6", "down", "enter", "s", "r"):
        screen.press(key)
    assert screen.lines[4] == "  nothing yet"
