"""Lines are told when something has changed, but not each time."""

import io
import time

import pytest
from rich.console import Console

from chamaleonet.lab.live import follow


class Programs:
    """A controller that finds a refused flow at each second look, until there are enough."""

    def __init__(self, most=100):
        self.looks, self.most = 0, most

    def controller(self):
        self.looks += 1
        found = min(self.looks // 2, self.most)
        return {"flows_total": [({"verdict": "refused", "protocol": "tcp"}, found)]}


@pytest.fixture
def clock(monkeypatch):
    """Time that passes only in pauses."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def pause(seconds):
        now[0] += seconds

    return pause


def told(programs, clock, seconds):
    out = io.StringIO()
    looks = []
    follow(Console(file=out, width=100), programs, seconds, lambda: looks.append(1), clock)
    assert len(looks) == 2 * seconds
    return out.getvalue().splitlines()


def test_a_line_is_told_every_few_seconds(clock):
    lines = told(Programs(), clock, 16.0)
    assert [line.split("refused ")[1].split(",")[0] for line in lines] == ["0", "5", "10", "15"]
    assert lines[0].startswith(" 16 s left: answered 0, ")


def test_where_nothing_has_changed_nothing_is_told(clock):
    assert len(told(Programs(most=3), clock, 16.0)) == 2


def test_a_terminal_has_a_table(clock):
    out = io.StringIO()
    console = Console(file=out, width=100, force_terminal=True)
    follow(console, Programs(), 1.0, lambda: None, clock)
    assert "flows that entered a verdict" in out.getvalue()
    assert "redirect rules" in out.getvalue()
