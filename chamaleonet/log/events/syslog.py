"""Sends verdicts to a syslog daemon, and never makes the caller wait for it."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from chamaleonet.flows.transitions import ERRONEOUS, State
from chamaleonet.log.events.rfc5424 import Messages
from chamaleonet.log.events.rows import rows
from chamaleonet.log.events.transport import Address, Connection, RefusedError

if TYPE_CHECKING:
    from numpy.typing import NDArray

log = logging.getLogger(__name__)

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0  # seconds from one try to connect to the next


class Syslog:
    """Sends verdict events; a sinks.EventSink.

    Messages wait in a bounded queue, and a thread sends them. While there is no daemon it tries
    again, after 0.5 s at first and every 30 s in the end.

    Args:
        address: as transport.Address takes it.
        facility: one of units.FACILITIES.
        verdicts: which verdicts are told.
        hostname: the messages' HOSTNAME, by default this machine's.
        capacity: messages that wait at most.

    Attributes:
        sent: messages handed to the system; what a network loses on its way nobody can count.
        dropped: messages that were not sent, by cause: ``syslog_queue_full``, and
            ``syslog_failed``: refused by the other end (UDP), or not sent when this was closed.

    Raises:
        UserError: the address or the facility is none.
    """

    def __init__(
        self,
        address: str,
        *,
        facility: str = "daemon",
        verdicts: tuple[State, ...] = ERRONEOUS,
        hostname: str | None = None,
        capacity: int = 10_000,
    ) -> None:
        self.sent = 0
        self.dropped = Counter(syslog_failed=0, syslog_queue_full=0)
        self._address = Address(address)
        self._messages = Messages(facility, hostname)
        self._told = np.zeros(len(State), np.bool_)
        self._told[list(verdicts)] = True
        self._taken = 0
        self._capacity = capacity
        self._queue: queue.SimpleQueue[NDArray[Any] | None] = queue.SimpleQueue()
        self._connection: Connection | None = None
        self._healthy = True
        self._closing = threading.Event()
        self._deadline = 0.0
        self._thread = threading.Thread(target=self._run, name="syslog", daemon=True)
        self._thread.start()

    def verdicts(self, flows: NDArray[Any]) -> None:
        """Queue the verdicts of flows (FLOW, shape (n,)) that are to be told; never waits."""
        told = flows[self._told[flows["state"]]]  # a copy
        for i in range(len(told)):
            if self._queue.qsize() >= self._capacity:
                self.dropped["syslog_queue_full"] += len(told) - i
                return
            self._taken += 1
            self._queue.put(told[i : i + 1])

    def ended(self, flows: NDArray[Any]) -> None:
        """Do nothing: what became of these flows was told."""

    def _run(self) -> None:
        while (flow := self._queue.get()) is not None:
            [row] = rows(flow)
            if not self._deliver(self._messages.verdict(row)):
                break
        self._disconnect()

    def _deliver(self, message: bytes) -> bool:
        """Send a message, whatever time it takes; False if there was none left."""
        pause = _FIRST_PAUSE
        while not self._late():
            try:
                if self._connection is None:
                    self._connection = self._address.connect()
                self._connection.send(message, self._late)
            except OSError as error:
                self._complain(error)
                self._disconnect()
                if self._closing.wait(pause):
                    return False
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                self.sent += 1
                self._healthy = True
                return True
        return False

    def _complain(self, error: OSError) -> None:
        if isinstance(error, RefusedError):
            self.sent -= 1
            self.dropped["syslog_failed"] += 1
        if self._healthy:  # once for each time that it is away
            log.warning("%s: cannot send to syslog: %s", self._address, error.strerror or error)
        self._healthy = False

    def _late(self) -> bool:
        return self._closing.is_set() and time.monotonic() >= self._deadline

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def close(self, timeout: float = 2.0) -> None:
        """Send what waits, if the daemon takes it within ``timeout`` seconds."""
        self._deadline = time.monotonic() + timeout
        self._closing.set()
        self._queue.put(None)
        self._thread.join(timeout + 1)  # a thread that tries to connect just now may take longer
        self.dropped["syslog_failed"] = self._taken - self.sent
