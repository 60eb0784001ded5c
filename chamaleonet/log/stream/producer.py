"""The verdict stream's producer: verdicts, first packets and ended flows to whoever connects.

One consumer may acknowledge what it gets; what it has not acknowledged waits for it, in memory and
on disk. Others follow. Nothing here ever blocks the caller of ``send``: threads, one
per connection, do the talking. It is plain sockets and threads, so under eventlet's monkey patching
they are green ones; nothing is waited for while the lock is held.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from chamaleonet import __version__
from chamaleonet.flows.transitions import ERRONEOUS, State
from chamaleonet.log.stream.backlog import Backlog
from chamaleonet.log.stream.channel import BusyError, Channel, cause_of, handshake
from chamaleonet.log.stream.consumers import Acknowledger, Consumer, Follower
from chamaleonet.log.stream.frames import pack_frame
from chamaleonet.log.stream.messages import (
    FROM_CONSUMER,
    MOST_COUNTS,
    MessageError,
    VersionError,
    controller_hello,
)
from chamaleonet.log.stream.packing import pack_count
from chamaleonet.log.stream.position import Position
from chamaleonet.log.stream.selection import LOGGED, Selection

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from chamaleonet.log.stream.endpoint import Endpoint
    from chamaleonet.log.stream.spool import Spool

_HANDSHAKE_SECONDS = 5.0  # for TLS and the consumer's hello together
_DEATH_SECONDS = 1.0  # until it is noticed that the consumer before is dead
_PAUSE_SECONDS = 0.1
_MOST_FOLLOWERS = 15
_MOST_CONNECTIONS = 32  # so that followers leave room to the consumer that acknowledges


class VerdictStream:
    """Listens, and sends every consumer the messages of chamaleonet.log.stream.messages.

    Args:
        endpoint: where to listen.
        snapshot: returns the flows that are erroneous now (FLOW, shape (n,)); called in another
            thread while ``send`` has to wait, so that no record comes in between.
        erroneous: verdicts whose entering and leaving is sent.
        ended: verdicts of ended flows that are sent.
        capacity: records in memory that are not acknowledged, at most; and as many for each
            follower.
        spool: where more records wait; without one they are dropped. Closed with the stream.
        after: without a spool, a number that the run's is to be greater than.

    Attributes:
        run: the number of this run: greater than that of any run before, by the spool or the clock.
        refused: connections that failed, by cause: ``stream_connection`` (TLS included),
            ``stream_malformed``, ``stream_oversized``, ``stream_truncated``, ``stream_version``,
            ``stream_busy``.

    Raises:
        UserError: the address cannot be listened on, or a certificate cannot be read.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        snapshot: Callable[[], NDArray[Any]],
        *,
        erroneous: tuple[State, ...] = ERRONEOUS,
        ended: tuple[State, ...] = LOGGED,
        capacity: int = 100_000,
        spool: Spool | None = None,
        after: int = 0,
    ) -> None:
        self.run = max(time.time_ns(), after + 1) if spool is None else spool.run
        self.refused: Counter[str] = Counter()
        self._endpoint = endpoint
        self._snapshot = snapshot
        self._selection = Selection(erroneous, ended)
        self._capacity = capacity
        self._hello = pack_frame(controller_hello(f"chamaleonet {__version__}", self.run))
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)  # of who is connected
        self._seq = 0
        self._backlog = Backlog(capacity, spool)
        self._acknowledger: Acknowledger | None = None
        self._followers: list[Follower] = []
        self._follower_drops = 0
        self._connections = 0
        self._closing = False
        self._context = endpoint.server_context()
        self._listener = endpoint.listen()
        self._listener.setblocking(False)
        self._awake, self._alarm = socket.socketpair()
        self._thread = threading.Thread(target=self._accept, name="verdict stream", daemon=True)
        self._thread.start()

    @property
    def queued(self) -> int:
        """Records in memory that are not acknowledged."""
        return self._backlog.queued

    @property
    def spooled(self) -> int:
        """Records that wait on disk alone."""
        return self._backlog.spooled

    @property
    def spool_bytes(self) -> int:
        """Bytes that the spool takes."""
        return self._backlog.spool_bytes

    @property
    def sent(self) -> int:
        """Records sent to consumers that acknowledge; one that is sent again counts again."""
        return self._backlog.sent

    @property
    def acknowledged(self) -> int:
        """Records that a consumer has acknowledged."""
        return self._backlog.acknowledged

    @property
    def dropped(self) -> Counter[str]:
        """Lost records by cause: those of Backlog, and ``stream_follower_slow``."""
        with self._lock:
            return self._backlog.dropped + Counter(stream_follower_slow=self._follower_drops)

    @property
    def consumers(self) -> int:
        """How many consumers are connected."""
        return len(self._everybody())

    def _everybody(self) -> list[Consumer]:
        first = [] if self._acknowledger is None else [self._acknowledger]
        return [*first, *self._followers]

    def send(self, events: NDArray[Any], packets: NDArray[Any], data: NDArray[np.uint8]) -> None:
        """Queue what the flow engine tells; never waits for anybody.

        Args:
            events: FLOW_EVENT, shape (n,).
            packets: CAPTURED, shape (m,); those with Role.FIRST are sent with their verdict, the
                others reach the logger by its port.
            data: uint8: the packets' bytes.
        """
        self._send(self._selection.messages(events, packets, data))

    def send_counts(self, counts: NDArray[Any]) -> None:
        """Queue counters of healthy flows: COUNT, shape (n,); never waits for anybody."""
        rows = [pack_count(count) for count in counts]
        self._send(
            [
                {"kind": "counts", "counts": rows[first : first + MOST_COUNTS]}
                for first in range(0, len(rows), MOST_COUNTS)
            ]
        )

    def _send(self, messages: list[dict[str, Any]]) -> None:
        if not messages:
            return
        with self._lock:
            for message in messages:
                self._seq += 1
                position = Position(self.run, self._seq)
                message["run"], message["seq"] = position
                frame = pack_frame(message)
                self._backlog.append(position, frame)
                for follower in self._followers:
                    self._follower_drops += follower.append(frame)
            for consumer in self._everybody():
                consumer.wake()

    def _accept(self) -> None:
        while not self._closing:
            select.select([self._listener, self._awake], [], [])
            try:
                connection, _ = self._listener.accept()
            except BlockingIOError:  # the one who knocked is gone, or nobody did
                continue
            except OSError:  # no more file descriptors: try again, but do not spin
                self.refused["stream_connection"] += 1
                time.sleep(_PAUSE_SECONDS)
                continue
            with self._lock:
                full = self._connections >= _MOST_CONNECTIONS
                self._connections += not full
            if full:
                self.refused["stream_busy"] += 1
                connection.close()
            else:
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        """Talk with one consumer until it is gone; runs in a thread of its own."""
        consumer = None
        with contextlib.ExitStack() as stack:
            stack.callback(self._leave)
            stack.callback(connection.close)
            try:
                until = time.monotonic() + _HANDSHAKE_SECONDS
                connection = handshake(connection, self._context, until, server_side=True)
                channel = Channel(connection, FROM_CONSUMER)
                stack.callback(channel.close)
                consumer = self._register(channel, self._greeting(channel, until))
                stack.callback(self._unregister, consumer)
                consumer.run()
            except (MessageError, BusyError) as error:
                self.refused[cause_of(error)] += 1
                if isinstance(error, VersionError):  # let it see why
                    with contextlib.suppress(OSError):
                        connection.send(self._hello)
            except (EOFError, OSError) as error:
                if consumer is None:  # one that greeted and then vanished is no fault
                    self.refused[cause_of(error)] += 1

    def _leave(self) -> None:
        with self._lock:
            self._connections -= 1

    @staticmethod
    def _greeting(channel: Channel, until: float) -> dict[str, Any]:
        while True:
            messages = list(channel.turn(until))
            if messages:
                if [message["kind"] for message in messages] != ["hello"]:
                    raise MessageError("a hello, and nothing else before ours, is to come first")
                return messages[0]
            if time.monotonic() >= until:
                raise TimeoutError("no hello")

    def _register(self, channel: Channel, greeting: dict[str, Any]) -> Consumer:
        """Give a consumer its place, and let it have all that is told from now on."""
        with self._changed:
            if not greeting["acknowledges"]:
                if self._closing or len(self._followers) >= _MOST_FOLLOWERS:
                    raise BusyError
                follower = Follower(
                    channel, self._lock, self._hello, self._snapshot(), self._capacity
                )
                self._followers.append(follower)
                return follower
            # The consumer before may have been killed a moment ago.
            self._changed.wait_for(
                lambda: self._acknowledger is None or self._closing, _DEATH_SECONDS
            )
            if self._closing or self._acknowledger is not None:
                raise BusyError
            if greeting["position"] is not None:
                self._cover(Position(greeting["position"]["run"], greeting["position"]["seq"]))
            self._acknowledger = Acknowledger(
                channel, self._lock, self._hello, self._snapshot, self._backlog, self.run
            )
            return self._acknowledger

    def _cover(self, position: Position) -> None:
        """Forget what a consumer says, as it connects, that it has kept."""
        if position.run > self.run:  # our clock went back: it cannot be compared
            return
        if position.run == self.run and position > self._backlog.last_sent:
            raise MessageError("a position that was not sent")
        self._backlog.acknowledge(position)

    def _unregister(self, consumer: Consumer) -> None:
        with self._changed:
            if consumer is self._acknowledger:
                self._acknowledger = None
                if not consumer.stopped:
                    self._backlog.rewind()
            elif isinstance(consumer, Follower):
                self._followers.remove(consumer)
            self._changed.notify_all()

    def close(self, timeout: float = 3.0) -> None:
        """Stop listening and end.

        Connected consumers have ``timeout`` seconds to take, and to acknowledge, what waits. The
        spool keeps the rest for the next run; what it has no room for is ``stream_undelivered``.
        """
        with self._changed:
            if self._closing:
                return
            self._closing = True
            for consumer in self._everybody():
                consumer.closing = True
                consumer.wake()
            self._changed.notify_all()
        self._alarm.send(b"!")
        self._thread.join()
        self._endpoint.unlink()
        for end in (self._listener, self._awake, self._alarm):
            end.close()
        with self._changed:
            self._changed.wait_for(lambda: not self._everybody(), timeout)
            for consumer in self._everybody():
                consumer.stopped = True
                consumer.wake()
            self._backlog.close()
