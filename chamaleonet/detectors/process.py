"""A detector's process, as the controller sees it."""

from __future__ import annotations

import contextlib
import math
import os
import pickle
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from chamaleonet.detectors.channel import Channel
from chamaleonet.detectors.frames import Counts, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chamaleonet.detectors.frames import Frame
    from chamaleonet.flows.engine import Settings
    from chamaleonet.flows.sights import Sights


_SNDBUFFORCE, _BUFFER_BYTES = 32, 4 << 20  # asm-generic/socket.h


class DetectorProcess:
    """Runs a detector.

    Args:
        ring: the packet socket that it reads.
        settings: of its engine.
        options: of its engine: what else is to be told to Engine.
        lag: as Detector's.
        sights: where what it notes is joined.
        monotonic: the time, s.

    Attributes:
        channel: leads there; commands are put into it.
        counts: what it told last.
        started: when it was started, of the caller's clock (s).
        began: when it first told something; infinite while it has not.
        heard: when it last told something; 0 if never.
        degraded: its verdicts are held to be degraded at least.
        ended: ``end`` was called.
    """

    MODULE = "chamaleonet.detectors.detector"

    def __init__(
        self, ring: socket.socket, settings: Settings, options: dict[str, Any], lag: int,
        sights: Sights, monotonic: float,
    ) -> None:  # fmt: skip
        ours, theirs = socket.socketpair()
        with contextlib.suppress(PermissionError):  # needs CAP_NET_ADMIN; spares switching
            theirs.setsockopt(socket.SOL_SOCKET, _SNDBUFFORCE, _BUFFER_BYTES)
        with theirs:
            descriptors = ring.fileno(), theirs.fileno()
            self._process = subprocess.Popen(
                [sys.executable, "-m", self.MODULE, *map(str, descriptors)],
                pass_fds=descriptors,
                stdin=subprocess.PIPE,
                start_new_session=True,  # a terminal's Ctrl-C is for the controller
                # NumPy's linear algebra, which nothing here uses, would start threads.
                env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
            )
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError), self._process.stdin as start:  # dead already
            start.write(pickle.dumps((settings, options, lag)))
        self._sights = sights
        self.channel = Channel(ours)
        self.counts = Counts()
        self.started = monotonic
        self.began = math.inf
        self.heard = 0.0
        self.degraded = self.ended = False

    @property
    def number(self) -> int:
        """The process id."""
        return self._process.pid

    def frames(self, monotonic: float) -> Iterator[Frame]:
        """Yield what it has told since the last time, and take note of its counts."""
        for frame in self.channel.frames():
            self.heard, self.began = monotonic, min(self.began, monotonic)
            if frame.kind == Kind.COUNTS:
                self.counts = Counts(*frame.numbers())
            elif frame.kind == Kind.SIGHTS:
                self._sights.join(*frame.sights())
            else:
                yield frame

    def end(self) -> int:
        """End it, if it has not ended by itself, and return its exit status."""
        self.ended = True
        self.channel.close()
        self._process.kill()
        return self._process.wait()
