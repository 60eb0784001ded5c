"""A screen that shows a model, and takes keys."""

from __future__ import annotations

from chamaleonet.top.state import State, press
from chamaleonet.top.view import render
from tests.top.build import CURRENT, HELLO, NOW, ended, recovered, tcp, told, verdict

SIZE = (80, 24)


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
