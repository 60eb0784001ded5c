"""The terminal: keys without Enter, a screen of its own, and all as it was at the end.

Whatever ends the program (a key, an exception, SIGTERM, the terminal that hangs up) leaves the
terminal as it was found; so does SIGTSTP, until SIGCONT.
"""

from __future__ import annotations

import contextlib
import io
import os
import select
import signal
import sys
import termios
import tty
from typing import TYPE_CHECKING, NoReturn, Self

from rich.console import Console
from rich.control import Control
from rich.segment import ControlType

from chamaleonet.top.keys import Keys

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

    from rich.text import Text

_ESCAPE_SECONDS = 0.1  # within this the rest of a key's sequence comes, over a slow line too
_LEAVE_SECONDS = 0.5  # that a terminal which takes nothing is waited for at the end
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Ended(BaseException):
    """A signal asks to end. It is no Exception: nothing on its way may take it for a failure."""


def is_capable() -> bool:
    """Tell whether standard input and output are a terminal that can move its cursor."""
    capable = os.environ.get("TERM", "dumb") not in ("", "dumb", "unknown")
    return capable and sys.stdin.isatty() and sys.stdout.isatty()


class Terminal:
    """Standard input and output as a screen. Use it as a context manager, in the main thread."""

    def __init__(self) -> None:
        self._input, self._output = sys.stdin.fileno(), sys.stdout.fileno()
        self._keys = Keys()
        self._before = termios.tcgetattr(self._input)
        self._handlers: dict[int, object] = {}
        self._wake = os.pipe()  # a signal makes its end readable
        for end in self._wake:
            os.set_blocking(end, False)
        self._taken = False  # the screen is ours
        self._stops = False

    def __enter__(self) -> Self:
        signals = (signal.SIGWINCH, signal.SIGTSTP, signal.SIGCONT, *_ENDING)
        self._handlers = {number: signal.getsignal(number) for number in signals}
        self._waker = signal.set_wakeup_fd(self._wake[1], warn_on_full_buffer=False)
        try:
            for each in signals:
                signal.signal(each, self._end if each in _ENDING else self._note)
            self._take()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for ending in _ENDING:  # one is enough: what follows is short
            signal.signal(ending, signal.SIG_IGN)
        self._give_back()
        signal.set_wakeup_fd(self._waker)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        for end in self._wake:
            os.close(end)

    def _end(self, _number: int, _frame: FrameType | None) -> NoReturn:
        raise Ended

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGTSTP:
            self._stops = True
        elif number == signal.SIGCONT:  # after a SIGSTOP, the shell may have changed it
            self._take()

    def _take(self) -> None:
        # TCSANOW: nothing waits for a terminal that takes nothing.
        tty.setcbreak(self._input, termios.TCSANOW)
        if not self._taken:
            self._taken = True
            self._write(_controls(Control.alt_screen(True), Control.show_cursor(False)))

    def _give_back(self) -> None:
        self._taken = False
        with contextlib.suppress(termios.error):  # it hung up
            termios.tcsetattr(self._input, termios.TCSANOW, self._before)
        # A terminal that was stopped (^S) would let us wait for ever.
        if select.select([], [self._output], [], _LEAVE_SECONDS)[1]:
            with contextlib.suppress(OSError):
                self._write(_controls(Control.show_cursor(True), Control.alt_screen(False)))

    def _write(self, text: str) -> None:
        data = text.encode()
        while data:
            data = data[os.write(self._output, data) :]

    @property
    def size(self) -> tuple[int, int]:
        """Columns and lines."""
        try:
            columns, lines = os.get_terminal_size(self._output)
        except OSError:
            return 80, 24
        return columns or 80, lines or 24  # a serial line does not know

    def draw(self, lines: Sequence[Text]) -> None:
        """Show lines, all that the screen has; waits until the terminal has taken them."""
        self._write(frame(lines, self.size[0]))

    def keys(self, seconds: float) -> list[str] | None:
        """Return the keys pressed, none after a time, a signal or a resize; None: no more input."""
        waits = self._keys.waits
        watched = [self._input, self._wake[0]]
        ready, _, _ = select.select(watched, [], [], _ESCAPE_SECONDS if waits else seconds)
        if self._wake[0] in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(self._wake[0], 4096)
        if self._stops:
            self._stop()
        if self._input in ready:
            try:
                data = os.read(self._input, 4096)
            except OSError:  # the terminal hung up
                data = b""
            return self._keys.feed(data) if data else None
        return self._keys.flush() if waits and not ready else []

    def _stop(self) -> None:
        """Stop, as ^Z asks for, with the terminal given back until SIGCONT."""
        self._stops = False
        self._give_back()
        handler = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)  # here it stands still, if there is a shell to go on
        signal.signal(signal.SIGTSTP, handler)
        self._take()


def frame(lines: Sequence[Text], width: int) -> str:
    """Return what shows lines from the top of the screen: text, styles and control sequences."""
    console = _console(width)
    with console.capture() as capture:
        console.control(Control.home())
        for i, line in enumerate(lines):
            console.print(line, end="", soft_wrap=True, highlight=False)
            # After the line: clearing a line that is full would take its last character.
            if line.cell_len < width:
                console.control(Control((ControlType.ERASE_IN_LINE, 0)))
            if i < len(lines) - 1:
                console.control(Control((ControlType.CURSOR_MOVE_TO, 0, i + 1)))
    return capture.get()


def _controls(*controls: Control) -> str:
    console = _console(80)
    with console.capture() as capture:
        console.control(*controls)
    return capture.get()


def _console(width: int) -> Console:
    # No colours: attributes say it all. What a VT100 knows every terminal does.
    return Console(
        file=io.StringIO(), force_terminal=True, color_system="standard", no_color=True,
        width=width, legacy_windows=False, markup=False, emoji=False, _environ={"TERM": "vt100"},
    )  # fmt: skip
