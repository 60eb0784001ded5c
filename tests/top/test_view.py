"""The screen: what is on it, and that it fits."""

import pytest
from rich.cells import cell_len

from chamaleonet.flows.records import Quality
from chamaleonet.flows.transitions import State as Verdict
from chamaleonet.top.model import Model
from tests.log.build import flow
from tests.top.build import NOW, tcp, told, verdict
from tests.top.screen import Screen, network


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


def test_a_filter_that_nothing_passes_says_so():
    screen = Screen(network()).press("/", "x", "enter", "down", "enter")
    assert screen.lines[4] == "  nothing that contains it"


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


def test_a_flow_that_is_forgotten_meanwhile_says_so():
    screen = Screen(told(verdict(tcp(1)), keep=1)).press("5", "enter")
    screen.model.feed([verdict(tcp(2))], NOW)
    assert screen.lines[4] == "this flow is forgotten"
    assert "forgotten 1" in screen.lines[1]


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
    screen.press(*("enter" if key == "!" else key for key in keys))
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
