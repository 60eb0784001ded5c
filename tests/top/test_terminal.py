"""The terminal is given back, whatever happens."""

import signal
import sys
import termios

import pytest
from rich.text import Text

from chamaleonet.log.stream.endpoint import Endpoint
from chamaleonet.top.terminal import frame
from tests.log.stream.streams import until
from tests.top.pseudo import Session, flows, stream, tell, top

ENTERS, LEAVES = b"\x1b[?1049h", b"\x1b[?1049l"
SHOWS_CURSOR = b"\x1b[?25h"


@pytest.fixture
def address(tmp_path):
    return Endpoint(f"unix:{tmp_path}/verdicts")


def test_a_frame_is_drawn_from_the_top_and_clears_what_is_left_of_each_line():
    drawn = frame([Text("abc", "reverse"), Text(), Text("full!")], 5)
    assert drawn == "\x1b[H\x1b[7mabc\x1b[0m\x1b[0K\x1b[2;1H\x1b[0K\x1b[3;1Hfull!"


def test_what_looks_like_markup_is_text():
    assert "[bold]" in frame([Text("[bold]")], 20)


def check_given_back(session):
    assert session.is_restored
    assert session.output.rindex(LEAVES) > session.output.rfind(ENTERS)
    assert SHOWS_CURSOR in session.output


@pytest.mark.parametrize("term", ["xterm", "screen", "vt100"])
def test_a_key_ends_it(address, term):
    with stream(address, *flows(3)), top(address, term=term) as session:
        session.shows("10.0.0.3")
        assert session.is_raw
        session.press(b"q")
        assert session.ends() == 0
        check_given_back(session)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it(address, number):
    with top(address) as session:
        session.shows("waiting for the controller")
        session.process.send_signal(number)
        assert session.ends() == 0
        check_given_back(session)


def test_control_c_ends_it(address):
    with top(address) as session:
        session.shows("waiting")
        session.press(b"\x03")
        assert session.ends() == 0
        check_given_back(session)


def test_the_end_of_input_ends_it(address):
    with top(address) as session:
        session.shows("waiting")
        session.press(b"\x04")  # ^D
        assert session.ends() == 0
        check_given_back(session)


FAILS = """
import sys
from chamaleonet.top.terminal import Terminal
with Terminal():
    raise RuntimeError("a mistake of ours")
"""


def test_an_exception_gives_it_back_before_it_is_told():
    with Session(sys.executable, "-c", FAILS) as session:
        assert session.ends() == 1
        check_given_back(session)
        assert b"RuntimeError: a mistake of ours" in session.process.stderr.read()


def test_where_nothing_could_continue_it_it_does_not_stop(address):
    """Without a shell the system ignores ^Z; test_tmux.py has one."""
    with stream(address, *flows(3)), top(address) as session:
        session.shows("10.0.0.3")
        session.press(b"\x1a")
        session.until(lambda: LEAVES in session.output)
        session.output = session.output.split(LEAVES, 1)[1]
        session.until(lambda: ENTERS in session.output)
        session.shows("10.0.0.3")
        session.press(b"q")
        assert session.ends() == 0
        assert session.is_restored


def test_after_a_stop_that_could_not_be_seen_coming_keys_are_read_again(address):
    with stream(address, *flows(3)), top(address) as session:
        session.shows("10.0.0.3")
        session.process.send_signal(signal.SIGSTOP)
        termios.tcsetattr(session.slave, termios.TCSANOW, session.before)  # as shells do
        session.process.send_signal(signal.SIGCONT)
        session.until(lambda: session.is_raw)
        session.press(b"q")
        assert session.ends() == 0
        check_given_back(session)


def test_it_follows_the_size_of_the_screen(address):
    with stream(address, *flows(3)), top(address) as session:
        session.shows("\x1b[24;1H")
        session.resize(100, 40)
        session.process.send_signal(signal.SIGWINCH)
        session.shows("\x1b[40;1H")


@pytest.mark.parametrize("term", ["dumb", ""])
def test_a_terminal_that_cannot_do_it_gets_lines(address, term):
    with stream(address, *flows(3)), top(address, term=term) as session:
        session.shows("# time")
        session.shows("10.0.0.3")
        assert not session.is_raw
        assert b"\x1b" not in session.output
        session.process.send_signal(signal.SIGTERM)
        assert session.ends() == 0


def test_a_terminal_that_takes_nothing_does_not_slow_the_stream(address):
    """Nobody reads the terminal; all that is told is taken, more than could wait on its way."""
    with stream(address, *flows(1)) as producer, top(address) as session:
        session.shows("10.0.0.1")
        [follower] = producer._followers
        for first in range(2, 15_000, 500):
            tell(producer, flows(500, first))
            session.process.send_signal(signal.SIGWINCH)  # another screen that is not read
            until(lambda: not follower._frames)
        session.until(lambda: b"total 15001" in session.read())
        assert producer.dropped["stream_follower_slow"] == 0
        session.press(b"q")
        assert session.ends() == 0


def test_a_terminal_that_was_stopped_does_not_hold_up_the_end(address):
    with stream(address, *flows(3)), top(address) as session:
        session.shows("10.0.0.3")
        termios.tcflow(session.slave, termios.TCOOFF)  # as ^S does
        session.process.send_signal(signal.SIGTERM)
        assert session.ends() == 0
        assert session.is_restored
