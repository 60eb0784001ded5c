"""In a real terminal multiplexer, as over ssh: keys are sent, the screen is captured."""

import contextlib
import os
import shutil
import subprocess
import sys
import time
import uuid

import pytest

from chamaleonet.log.stream.endpoint import Endpoint
from tests.log.build import flow
from tests.top.pseudo import flows, stream, tell

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux")


class Tmux:
    """A tmux server of its own with one window of 80 x 24 that runs a shell."""

    def __init__(self):
        self._socket = f"chamaleonet-{uuid.uuid4().hex[:12]}"
        self._run(
            "new-session", "-d", "-x", "80", "-y", "24", "env PS1='$ ' bash --norc --noprofile"
        )
        self.until(lambda: self.screen[0] == "$")

    def _run(self, *command):
        environment = {name: value for name, value in os.environ.items() if name != "TMUX"}
        done = subprocess.run(
            ["tmux", "-L", self._socket, "-f", "/dev/null", *command],
            capture_output=True, text=True, check=True, env=environment | {"TERM": "xterm"},
        )  # fmt: skip
        return done.stdout

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(subprocess.CalledProcessError):
            self._run("kill-server")

    def type(self, text):
        self._run("send-keys", "-l", text)

    def keys(self, *names):
        self._run("send-keys", *names)

    def resize(self, columns, lines):
        self._run("resize-window", "-x", str(columns), "-y", str(lines))

    @property
    def screen(self):
        return [line.rstrip() for line in self._run("capture-pane", "-p").split("\n")[:-1]]

    @property
    def is_alternate(self):
        return self._run("display-message", "-p", "#{alternate_on}").strip() == "1"

    @property
    def shows_cursor(self):
        return self._run("display-message", "-p", "#{cursor_flag}").strip() == "1"

    def until(self, condition):
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline, "\n".join(self.screen)
            time.sleep(0.05)

    def rows(self):
        """Return the list's first two columns, or what is before the first wide gap."""
        return [line[2:].split()[:2] for line in self.screen[4:-1] if line]

    def shows(self, *rows):
        self.until(lambda: self.rows() == [list(row) for row in rows])


@pytest.fixture
def tmux():
    with Tmux() as tmux:
        yield tmux


@pytest.fixture
def address(tmp_path):
    return Endpoint(f"unix:{tmp_path}/v")


def start(tmux, address):
    tmux.type(f"{sys.executable} -m chamaleonet top --stream {address.address}")
    tmux.keys("Enter")
    tmux.until(lambda: "connected" in tmux.screen[0])


def test_sort_filter_pause_drill_and_quit(tmux, address):
    # 10.0.0.1 and .2 have one flow each, .3 two: one by UDP.
    known = [*flows(3), flow("udp", "10.0.0.3", "192.0.2.53", 5353, 53)]
    with stream(address, *known) as producer:
        start(tmux, address)
        tmux.shows(("10.0.0.3", "2"), ("10.0.0.1", "1"), ("10.0.0.2", "1"))
        assert tmux.is_alternate
        assert not tmux.shows_cursor
        screen = tmux.screen
        assert screen[2].startswith("[1 hosts] 2 servers")
        assert screen[3].split() == ["name", "now", "v", "minute", "total", "recovered", "last"]
        assert screen[-1].startswith("q quit  h help")

        # The order: by name, then the other way round.
        for _ in range(5):
            tmux.keys("s")
        tmux.shows(("10.0.0.1", "1"), ("10.0.0.2", "1"), ("10.0.0.3", "2"))
        tmux.keys("r")
        tmux.shows(("10.0.0.3", "2"), ("10.0.0.2", "1"), ("10.0.0.1", "1"))

        # The filter.
        tmux.keys("/")
        tmux.type("0.2")
        tmux.keys("Enter")
        tmux.shows(("10.0.0.2", "1"))
        tmux.keys("Escape")
        tmux.shows(("10.0.0.3", "2"), ("10.0.0.2", "1"), ("10.0.0.1", "1"))

        # Paused, nothing moves; then what came meanwhile is there.
        tmux.keys("p")
        tmux.until(lambda: "PAUSED" in tmux.screen[0])
        tell(producer, flows(1, 8))
        tmux.keys("Down", "Up")
        time.sleep(1.5)  # longer than until the next screen
        assert tmux.rows() == [["10.0.0.3", "2"], ["10.0.0.2", "1"], ["10.0.0.1", "1"]]
        tmux.keys("p")
        tmux.until(lambda: ["10.0.0.8", "1"] in tmux.rows())

        # Into the servers, one server, one flow.
        tmux.keys("2")
        tmux.shows(("192.0.2.9", "4"), ("192.0.2.53", "1"))
        tmux.keys("Down", "Enter")
        tmux.shows(("10.0.0.3:5353", ">"))
        tmux.keys("Enter")
        tmux.until(lambda: tmux.screen[2] == "[2 servers] > 192.0.2.53 > one flow")
        screen = "\n".join(tmux.screen)
        assert "server        192.0.2.53:53" in screen
        assert "verdict       unanswered: no answer to 1 attempt" in screen
        tmux.keys("Escape")
        tmux.shows(("10.0.0.3:5353", ">"))

        # The screen may have another size at any time.
        tmux.keys("1")
        tmux.resize(60, 12)
        tmux.until(lambda: tmux.screen[11].startswith("q quit") and len(tmux.screen) == 12)
        assert tmux.screen[3].endswith("last")

        # The end: the shell's screen is as it was.
        tmux.keys("q")
        tmux.until(lambda: not tmux.is_alternate)
        assert tmux.shows_cursor
        tmux.until(lambda: tmux.screen[-1] == "$" or "$" in tmux.screen)
        tmux.type("stty -a | tr ';' '\\n' | grep -wo -e '-\\?icanon' -e '-\\?echo'")
        tmux.keys("Enter")
        tmux.until(lambda: tmux.screen.count("icanon") == 1 and tmux.screen.count("echo") == 1)


def test_it_is_stopped_and_continued_by_the_shell(tmux, address):
    with stream(address, *flows(2)):
        start(tmux, address)
        tmux.shows(("10.0.0.1", "1"), ("10.0.0.2", "1"))
        tmux.keys("C-z")
        tmux.until(lambda: not tmux.is_alternate and any("Stopped" in row for row in tmux.screen))
        assert tmux.shows_cursor
        tmux.type("fg")
        tmux.keys("Enter")
        tmux.until(lambda: tmux.is_alternate)
        tmux.shows(("10.0.0.1", "1"), ("10.0.0.2", "1"))
        tmux.keys("q")
        tmux.until(lambda: not tmux.is_alternate)


def test_it_says_that_the_controller_is_away_and_follows_the_next_one(tmux, address):
    with stream(address, *flows(2)):
        start(tmux, address)
        tmux.shows(("10.0.0.1", "1"), ("10.0.0.2", "1"))
    tmux.until(lambda: "waiting for the controller" in tmux.screen[0])
    assert tmux.rows() == [["10.0.0.1", "1"], ["10.0.0.2", "1"]]
    with stream(address, *flows(1, 3)):
        tmux.until(lambda: ["10.0.0.3", "1"] in tmux.rows())
        tmux.until(lambda: ["10.0.0.1", "0"] in tmux.rows())
