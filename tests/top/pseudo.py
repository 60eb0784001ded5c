"""`chamaleonet top` in a process of its own, on a pseudo-terminal, and a stream for it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time

import numpy as np

from chamaleonet.flows.transitions import State
from chamaleonet.log.stream.producer import VerdictStream
from tests.log.build import NO_DATA, NO_PACKETS, SECOND, event
from tests.top.build import tcp

SECONDS = 60.0


def flows(count, first=1, **fields):
    """Return flows of ten clients that became erroneous now."""
    now = time.time_ns()
    return [
        tcp(
            1000 + n, f"10.0.0.{n % 10}", first=now - 3 * SECOND, last=now, judged=now, **fields
        )
        for n in range(first, first + count)
    ]  # fmt: skip


@contextlib.contextmanager
def stream(endpoint, *erroneous):
    producer = VerdictStream(endpoint, lambda: np.concatenate(erroneous), erroneous=tuple(State))
    try:
        yield producer
    finally:
        producer.close(timeout=0)


def tell(producer, records):
    producer.send(np.concatenate([event(each) for each in records]), NO_PACKETS, NO_DATA)


class Session:
    """A command on a pseudo-terminal.

    Attributes:
        output: what it has written.
    """

    def __init__(self, *command, term="xterm", size=(80, 24)):
        self.master, self.slave = pty.openpty()
        self.resize(*size)
        self.before = termios.tcgetattr(self.slave)
        self.output = b""
        # With a terminal that controls it, ^C and ^Z become signals.
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *command], env=os.environ | {"TERM": term},
            stdin=self.slave, stdout=self.slave, stderr=subprocess.PIPE,
        )  # fmt: skip

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGCONT)
        self.process.kill()
        self.process.communicate()
        for end in (self.master, self.slave):
            with contextlib.suppress(OSError):
                os.close(end)

    def resize(self, columns, lines):
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def press(self, data):
        os.write(self.master, data)

    def read(self):
        """Take what was written meanwhile; return all."""
        while select.select([self.master], [], [], 0.02)[0]:
            try:
                self.output += os.read(self.master, 65536)
            except OSError:
                break
        return self.output

    def until(self, condition):
        deadline = time.monotonic() + SECONDS
        while not condition():
            assert time.monotonic() < deadline, self.output[-3000:]
            self.read()

    def shows(self, text):
        """Wait until something is written, since the last call."""
        self.until(lambda: text.encode() in self.output)
        self.output = self.output.split(text.encode(), 1)[1]

    def ends(self):
        """Return the exit status, when it has ended."""
        self.until(lambda: self.process.poll() is not None)
        self.read()
        return self.process.returncode

    @property
    def is_raw(self):
        return not termios.tcgetattr(self.slave)[3] & termios.ICANON

    @property
    def is_restored(self):
        return termios.tcgetattr(self.slave) == self.before


def top(address, *options, **named):
    return Session(
        sys.executable, "-m", "chamaleonet", "top", "--stream", address.address, *options, **named
    )
