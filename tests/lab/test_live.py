"""Lines are told when something has changed."""

import io
import time

import pytest
from rich.console import Console

from chamaleonet.lab.live import follow


class Programs:
    """A controller that finds a refused flow at each second look."""

    def __init__(self):
        self.looks = 0

    def controller(self):
        self.looks += 1
        return {"flows_total": [({"verdict": "refused", "protocol": "tcp"}, self.looks // 2)]}


@pytest.fixture
def clock(monkeypatch):
    """Time that passes only in pauses."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def pause(seconds):
        now[0] += seconds

    return pause


def test_a_line_is_told_when_something_has_changed(clock):
    out = io.StringIO()
    looks = []
    follow(Console(file=out, width=100), Programs(), 3.0, lambda: looks.append(1), clock)
    assert len(looks) == 6
    lines = out.getvalue().splitlines()
    assert [line.split("refused ")[1].split(",")[0] for line in lines] == ["0", "1", "2", "3"]
    assert lines[0].startswith("  3 s left: answered 0, ")


def test_a_terminal_has_a_table(clock):
    out = io.StringIO()
    console = Console(file=out, width=100, force_terminal=True)
    follow(console, Programs(), 1.0, lambda: None, clock)
    assert "flows that entered a verdict" in out.getvalue()
    assert "redirect rules" in out.getvalue()
