"""`chamaleonet top` itself: follows the stream, and shows it on a terminal or in lines."""

from __future__ import annotations

import contextlib
import queue
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from chamaleonet.log.stream.reader import VerdictReader
from chamaleonet.log.stream.tail import check_permission, status_of
from chamaleonet.top import plain
from chamaleonet.top.model import Model
from chamaleonet.top.state import State, press
from chamaleonet.top.terminal import Ended, Terminal, is_capable
from chamaleonet.top.view import render

if TYPE_CHECKING:
    from collections.abc import Callable

    from chamaleonet.log.stream.endpoint import Endpoint

_REDRAW_SECONDS = 1.0
_SECONDS = 0.2  # how soon the end, or a change of the connection, is noticed
_BATCH = 1000  # messages that are taken at once


@dataclass(frozen=True)
class Options:
    """What lines are asked for where there is no screen.

    Attributes:
        what: one of plain.LISTS.
        rows: of a table at most.
        sort: by which of plain.SORTS.
        contains: only what contains this text.
        interval: seconds from one table to the next.
        count: tables; None: until it is ended.
    """

    what: str = "hosts"
    rows: int = 10
    sort: str = "now"
    contains: str = ""
    interval: float = 10.0
    count: int | None = None


class Followed:
    """A model that a thread of its own keeps up to date, so that no terminal slows the stream.

    Use it as a context manager.

    Args:
        endpoint: where the controller tells.
        keep: flows and rows that are remembered.
        clock: returns ns since 1970.
        retry: seconds until the next try to connect.

    Attributes:
        lock: held while the model is read.
        model: what is known.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        keep: int,
        clock: Callable[[], int] = time.time_ns,
        retry: float = 1.0,
    ) -> None:
        self.lock = threading.Lock()
        self.model = Model(keep)
        self._clock = clock
        self._ended = threading.Event()
        self._reader = VerdictReader(endpoint, acknowledges=False, name="top", retry=retry)
        self._thread = ThreadPoolExecutor(1, "model")

    def __enter__(self) -> Self:
        self._work = self._thread.submit(self._follow)
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.shutdown()
        self._reader.close()

    @property
    def status(self) -> str:
        """What is to be said about the connection."""
        return status_of(self._reader)

    def check(self) -> None:
        """Raise the exception that ended the thread, if one did: a mistake of ours."""
        if self._work.done():
            self._work.result()

    def _follow(self) -> None:
        messages = self._reader.messages
        while not self._ended.is_set():
            try:
                batch = [messages.get(timeout=_SECONDS)]
            except queue.Empty:
                continue
            with contextlib.suppress(queue.Empty):
                while len(batch) < _BATCH:
                    batch.append(messages.get_nowait())
            with self.lock:
                self.model.feed(batch, self._clock())


def top(endpoint: Endpoint, *, keep: int, options: Options | None = None) -> int:
    """Show who has erroneous flows: on the terminal, or in lines where there is none.

    Args:
        endpoint: where the controller tells.
        keep: flows and rows that are remembered.
        options: lines are wanted, even on a terminal; None: only where there is no screen.

    Returns:
        The exit status: 0; 1 where a number of tables was asked for and no controller was there.

    Raises:
        UserError: the socket is not ours to read, or a certificate cannot be read.
        BrokenPipeError: nobody reads standard output any more.
    """
    check_permission(endpoint)
    with Followed(endpoint, keep) as followed:
        if options is None and is_capable():
            show(followed, endpoint.address)
            return 0
        return print_tables(followed, options or Options(), endpoint.address)


def show(followed: Followed, source: str) -> None:
    """Show it on the terminal until it is ended by a key or a signal."""
    state, paused = State(), None
    with contextlib.suppress(Ended), Terminal() as terminal:
        while not state.ended:
            followed.check()
            now = time.time_ns()
            model = followed.model if paused is None else paused[0]
            shown_now = now if paused is None else paused[1]
            with followed.lock:
                lines = render(
                    model, state, shown_now, terminal.size, source=source, status=followed.status
                )
            terminal.draw(lines)
            keys = terminal.keys(_REDRAW_SECONDS)
            if keys is None:
                return
            for key in keys:
                with followed.lock:
                    state = press(state, key, model, shown_now)
                    if not state.paused:
                        paused = None
                    elif paused is None:
                        paused = (followed.model.copy(), now)


def print_tables(followed: Followed, options: Options, source: str) -> int:
    """Print tables on standard output; return the exit status."""
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    printed, said = 0, ""
    due = time.monotonic()
    while options.count is None or printed < options.count:
        # The first comes as soon as it is known what is erroneous; none is late for that.
        due += options.interval
        while time.monotonic() < due and not (printed == 0 and followed.model.current):
            if followed.status != said:
                said = followed.status
                print(f"{source}: {said}", file=sys.stderr)
            if ended.wait(min(_SECONDS, max(due - time.monotonic(), 0))):
                return 0
            followed.check()
        with followed.lock:
            lines = list(
                plain.table(
                    followed.model, time.time_ns(), what=options.what, rows=options.rows,
                    sort=options.sort, contains=options.contains,
                )
            )  # fmt: skip
            current = followed.model.current
        if not current and printed == 0 and options.count is not None:
            return 1  # nobody told anything: a table of nothing would be a lie
        print("\n".join(lines), flush=True)
        if printed == 0:
            due = time.monotonic()
        printed += 1
    return 0
