"""Ctrl-C and its like, at moments when all that was begun can be ended."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """While it is open, such a signal raises KeyboardInterrupt in ``pause``, and nowhere else.

    So nothing is left half built or half removed, and no process is started that nobody knows of.
    """

    def __init__(self) -> None:
        self._came = self._pausing = False

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._handle) for number in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        if self._came:
            return  # the program ends: a second signal is to change nothing any more
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def pause(self, seconds: float) -> None:
        """Sleep.

        Raises:
            KeyboardInterrupt: a signal comes, or has come before.
        """
        self._pausing = True
        try:
            if self._came:
                raise KeyboardInterrupt
            time.sleep(seconds)
        finally:
            self._pausing = False

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        self._came = True
        if self._pausing:
            self._pausing = False  # the first one is enough
            raise KeyboardInterrupt
