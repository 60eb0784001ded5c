"""The verdict stream's producer: verdicts, first packets and ended flows to whoever connects.

Records wait in a bounded queue while nobody is connected. Nothing here ever blocks the caller of
``send``: threads, one per connection, do the talking. It is plain sockets and threads, so under
eventlet's monkey patching they are green ones.
"""

from __future__ import annotations

import contextlib
import secrets
import select
import socket
import threading
import time
from collections import Counter, deque
from typing import TYPE_CHECKING, Any

import numpy as np

from chamaleonet import __version__
from chamaleonet.flows.records import Change, Role
from chamaleonet.flows.transitions import ERRONEOUS, HEALTHY, State
from chamaleonet.log.frames import FrameReader, OversizedError, pack_frame
from chamaleonet.log.messages import (
    PROTOCOL,
    VERSION,
    MessageError,
    hello,
    pack_flow,
    pack_packet,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from chamaleonet.log.endpoint import Endpoint

_HANDSHAKE_SECONDS = 5.0  # for TLS and the consumer's hello together
_SEND_SECONDS = 10.0  # a consumer that takes nothing for so long is gone
_PAUSE_SECONDS = 0.1
_MOST_CONSUMERS = 16
_CHUNK_BYTES = 65536
_LOGGED = tuple(state for state in State if state is not State.NONE and state not in HEALTHY)


class VersionError(MessageError):
    """The other end speaks another version of the stream, or something else."""


def check_hello(message: dict[str, Any]) -> None:
    """Check that the other end's first message greets in our protocol and version.

    Raises:
        MessageError: it does not.
    """
    if message["kind"] != "hello":
        raise MessageError("the first message is no hello")
    if (message["protocol"], message["version"]) != (PROTOCOL, VERSION):
        raise VersionError(f"{message['protocol']!r:.40} version {message['version']}")


def cause_of(error: Exception) -> str:
    """Return under which cause a failed connection is counted."""
    if isinstance(error, OversizedError):
        return "stream_oversized"
    if isinstance(error, VersionError):
        return "stream_version"
    return "stream_malformed" if isinstance(error, MessageError) else "stream_connection"


class _Consumer:
    """A connection and the frames that wait for it."""

    def __init__(self, connection: socket.socket, lock: threading.Lock) -> None:
        self.frames: deque[bytes] = deque()  # guarded by the stream's lock
        self.closing = False
        self._connection = connection
        self._lock = lock
        self._awake, self._alarm = socket.socketpair()
        self._alarm.setblocking(False)

    def wake(self) -> None:
        """Make ``run`` look at ``frames`` and ``closing``."""
        with contextlib.suppress(BlockingIOError):  # full of alarms already
            self._alarm.send(b"!")

    def run(self) -> None:
        """Send frames until the consumer is gone, or ``closing`` is set and all are sent."""
        self._connection.settimeout(_SEND_SECONDS)
        while self.frames or not self.closing:
            if self.frames:
                self._send_chunk()
                continue
            readable, _, _ = select.select([self._connection, self._awake], [], [])
            if self._connection in readable:
                # A consumer has nothing to say after its hello.
                if self._connection.recv(1):
                    raise MessageError("the consumer speaks out of turn")
                return
            self._awake.recv(4096)

    def _send_chunk(self) -> None:
        chunk: list[bytes] = []
        size = 0
        with self._lock:
            while self.frames and size < _CHUNK_BYTES:
                chunk.append(self.frames.popleft())
                size += len(chunk[-1])
        data = memoryview(b"".join(chunk))
        try:
            while data:
                data = data[self._connection.send(data) :]
        except OSError:
            # What was not sent to its last byte goes back, to be sent to the next consumer.
            left = len(data)
            with self._lock:
                while left > 0:
                    self.frames.appendleft(chunk.pop())
                    left -= len(self.frames[0])
            raise

    def close(self) -> None:
        for end in (self._connection, self._awake, self._alarm):
            end.close()


class VerdictStream:
    """Listens, and sends every consumer the messages of chamaleonet.log.messages.

    Args:
        endpoint: where to listen.
        snapshot: returns the flows that are erroneous now (FLOW, shape (n,)); called, in another
            thread, when a consumer connects.
        erroneous: verdicts whose entering and leaving is sent.
        ended: verdicts of ended flows that are sent.
        capacity: frames that wait for a consumer at most; the oldest are dropped for newer ones.

    Attributes:
        dropped: records that no consumer will get, by cause: ``stream_queue_full``, and
            ``stream_undelivered`` when the stream was closed.
        refused: connections that failed, by cause: ``stream_connection`` (TLS included),
            ``stream_malformed``, ``stream_oversized``, ``stream_version``, ``stream_busy``.

    Raises:
        UserError: the address cannot be listened on, or a certificate cannot be read.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        snapshot: Callable[[], NDArray[Any]],
        *,
        erroneous: tuple[State, ...] = ERRONEOUS,
        ended: tuple[State, ...] = _LOGGED,
        capacity: int = 100_000,
    ) -> None:
        self.dropped: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self._endpoint = endpoint
        self._snapshot = snapshot
        self._erroneous, self._ended = erroneous, ended
        self._capacity = capacity
        self._hello = pack_frame(hello(f"chamaleonet {__version__}", secrets.token_hex(8)))
        self._lock = threading.Lock()
        self._backlog: deque[bytes] = deque()  # while nobody is connected
        self._consumers: list[_Consumer] = []
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
        """Frames that wait to be sent, to the slowest consumer."""
        with self._lock:
            return max((len(each.frames) for each in self._consumers), default=len(self._backlog))

    @property
    def consumers(self) -> int:
        """How many consumers are connected."""
        return len(self._consumers)

    def send(self, events: NDArray[Any], packets: NDArray[Any], data: NDArray[np.uint8]) -> None:
        """Queue what the flow engine tells; never waits.

        Args:
            events: FLOW_EVENT, shape (n,).
            packets: CAPTURED, shape (m,); those with Role.FIRST are sent with their verdict, the
                others reach the logger by its port.
            data: uint8: the packets' bytes.
        """
        firsts = {
            (packet["row"], packet["flow"]["judged"]): packet
            for packet in packets[packets["role"] == Role.FIRST]
        }
        state = events["flow"]["state"]
        judged = (events["change"] == Change.JUDGED) & (
            np.isin(state, self._erroneous) | np.isin(events["was"], self._erroneous)
        )
        ended = (events["change"] == Change.ENDED) & np.isin(state, self._ended)
        frames = []
        for event in events[judged | ended]:
            if event["change"] == Change.ENDED:
                frames.append(pack_frame({"kind": "flow", "flow": pack_flow(event["flow"])}))
                continue
            first = firsts.pop((event["row"], event["flow"]["judged"]), None)
            frames.append(_verdict(event["flow"], first, data))
        frames += [_verdict(first["flow"], first, data) for first in firsts.values()]
        self._queue(frames)

    def _queue(self, frames: Iterable[bytes]) -> None:
        with self._lock:
            for queue in [each.frames for each in self._consumers] or [self._backlog]:
                for frame in frames:
                    if len(queue) >= self._capacity:
                        queue.popleft()
                        self.dropped["stream_queue_full"] += 1
                    queue.append(frame)
            for consumer in self._consumers:
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
                full = self._connections >= _MOST_CONSUMERS
                self._connections += not full
            if full:
                self.refused["stream_busy"] += 1
                connection.close()
            else:
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        """Talk with one consumer until it is gone; runs in a thread of its own."""
        consumer = None
        try:
            connection = self._greet(connection)
            consumer = self._register(connection)
            consumer.run()
        except (OSError, MessageError) as error:
            # One that greeted and then vanished is no fault.
            if consumer is None or isinstance(error, MessageError):
                self.refused[cause_of(error)] += 1
        finally:
            with self._lock:
                self._connections -= 1
            if consumer is not None:
                self._unregister(consumer)
            connection.close()

    def _greet(self, connection: socket.socket) -> socket.socket:
        """Exchange hellos and return the connection, encrypted if it is to be."""
        until = time.monotonic() + _HANDSHAKE_SECONDS
        connection.settimeout(_HANDSHAKE_SECONDS)
        if self._endpoint.path is None:
            # A consumer whose machine vanished is noticed even when there is nothing to send.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if self._context is not None:
            connection = self._context.wrap_socket(connection, server_side=True)
        connection.sendall(self._hello)
        reader = FrameReader()
        while True:
            connection.settimeout(max(until - time.monotonic(), 0.001))
            data = connection.recv(4096)
            if not data:
                raise ConnectionResetError("no hello")
            for message in reader.feed(data):
                check_hello(message)
                return connection

    def _register(self, connection: socket.socket) -> _Consumer:
        """Queue what waits and then what is erroneous now, with nothing in between."""
        consumer = _Consumer(connection, self._lock)
        with self._lock:
            if not self._consumers:
                consumer.frames, self._backlog = self._backlog, deque()
            for flow in self._snapshot():
                consumer.frames.append(pack_frame({"kind": "active", "flow": pack_flow(flow)}))
            self._consumers.append(consumer)
            consumer.closing = self._closing
        return consumer

    def _unregister(self, consumer: _Consumer) -> None:
        with self._lock:
            self._consumers.remove(consumer)
            if not self._consumers:
                self._backlog = consumer.frames
            consumer.close()

    def close(self, timeout: float = 2.0) -> None:
        """Stop listening, and give connected consumers ``timeout`` seconds to take what waits."""
        with self._lock:
            if self._closing:
                return
            self._closing = True
            for consumer in self._consumers:
                consumer.closing = True
                consumer.wake()
        self._alarm.send(b"!")
        self._thread.join()
        self._endpoint.unlink()
        self._listener.close()
        until = time.monotonic() + timeout
        while self._consumers and time.monotonic() < until:
            time.sleep(0.01)
        self.dropped["stream_undelivered"] += self.queued
        self._awake.close()
        self._alarm.close()


def _verdict(flow: np.void, first: np.void | None, data: NDArray[np.uint8]) -> bytes:
    packets = [] if first is None else [pack_packet(first, data)]
    return pack_frame({"kind": "verdict", "flow": pack_flow(flow), "packets": packets})
