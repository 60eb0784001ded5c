"""What a master keeps on disk, told to the node that is to follow it; and that it lives.

Each node listens, and connects to the other one. The master sends what it writes to its
checkpoints (chamaleonet.checkpoint), byte for byte, before it tells anybody else: so a standby's
copy is the master's, and taking over is starting again. Both say twice a second which role
they have.

A frame is a header (what it is, a number, a length; little-endian) and so many bytes.
"""

from __future__ import annotations

import contextlib
import logging
import select
import socket
import struct
import threading
import time
from collections import deque
from enum import IntEnum
from typing import TYPE_CHECKING

from chamaleonet.election.priority import Peer
from chamaleonet.log.stream.channel import Channel, handshake
from chamaleonet.log.stream.messages import FROM_CONSUMER, MessageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from chamaleonet.log.stream.endpoint import Endpoint

log = logging.getLogger(__name__)

_HEADER = struct.Struct("<BQI")
_BEAT_SECONDS = 0.5
_SILENT_SECONDS = 3.0  # a connection over which so long nothing came is closed
_HANDSHAKE_SECONDS = 5.0
_RETRY_SECONDS = 0.5
_MOST_CLIENTS = 4
_MOST_QUEUED = 64 << 20  # bytes; a standby that is further behind begins anew
_MOST_BODY = 1 << 30
_CHUNK = 1 << 16


class Frame(IntEnum):
    """What a frame is."""

    ROLE = 0  # the number is the priority << 1 | whether we are master
    BEGIN = 1  # the number is a datapath id, the bytes replace its checkpoint
    APPEND = 2  # the bytes are added to it


def pack(kind: Frame, number: int, data: bytes = b"") -> bytes:
    """Return a frame."""
    return _HEADER.pack(kind, number, len(data)) + data


class _Client:
    """One connected node."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.broken = False
        self._lock = threading.Lock()
        self._queue: deque[bytes] = deque()
        self._queued = 0

    def put(self, frame: bytes) -> None:
        """Send a frame at once as far as the system takes it; the rest later."""
        with self._lock:
            self._queue.append(frame)
            self._queued += len(frame)
            if self._queued > _MOST_QUEUED:
                self.broken = True
            self._pump()
        if self.broken or not self.channel.idle:
            with contextlib.suppress(OSError):  # it has ended just now
                self.channel.wake()

    def _pump(self) -> None:
        if self._queue and self.channel.idle and not self.broken:
            self.channel.put(b"".join(self._queue))
            self._queue.clear()
            self._queued = 0
            try:
                self.channel.flush()
            except OSError:
                self.broken = True

    def turn(self, until: float) -> None:
        """Wait for room, for a frame or for the time, and send what waits.

        Raises:
            EOFError, OSError: the node is gone.
        """
        for _ in self.channel.turn(until):
            pass  # it says nothing
        if self.broken:
            raise BrokenPipeError
        with self._lock:
            self._pump()


class Feed:
    """Listens, and tells the other node what it is to know.

    Args:
        endpoint: where to listen.
        role: returns (priority, whether we are master).
        current: returns what is to come first, as frames.

    Raises:
        UserError: the address cannot be listened on, or a certificate cannot be read.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        role: Callable[[], tuple[int, bool]],
        current: Callable[[], list[bytes]],
    ) -> None:
        self._endpoint, self._role, self._current = endpoint, role, current
        self._clients: list[_Client] = []
        self._closing = False
        self._context = endpoint.server_context()
        self._listener = endpoint.listen()
        self._listener.setblocking(False)
        self._awake, self._alarm = socket.socketpair()
        self._thread = threading.Thread(target=self._accept, name="feed", daemon=True)
        self._thread.start()

    def put(self, kind: Frame, number: int, data: bytes) -> None:
        """Tell whoever is connected; never waits."""
        if self._clients:
            frame = pack(kind, number, data)
            for client in list(self._clients):
                client.put(frame)

    def _accept(self) -> None:
        while not self._closing:
            select.select([self._listener, self._awake], [], [])
            try:
                connection, _ = self._listener.accept()
            except OSError:
                if not self._closing:
                    time.sleep(0.05)
                continue
            if len(self._clients) >= _MOST_CLIENTS:
                connection.close()
            else:
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.ExitStack() as stack, contextlib.suppress(EOFError, OSError, MessageError):
            stack.callback(connection.close)
            until = time.monotonic() + _HANDSHAKE_SECONDS
            connection = handshake(connection, self._context, until, server_side=True)
            channel = Channel(connection, FROM_CONSUMER)
            stack.callback(channel.close)
            client = _Client(channel)
            self._clients.append(client)
            stack.callback(self._clients.remove, client)
            for frame in (self._beat(), *self._current()):
                client.put(frame)
            beat = time.monotonic() + _BEAT_SECONDS
            while not self._closing:
                client.turn(beat)
                if time.monotonic() >= beat:
                    client.put(self._beat())
                    beat = time.monotonic() + _BEAT_SECONDS

    def _beat(self) -> bytes:
        priority, is_master = self._role()
        return pack(Frame.ROLE, priority << 1 | is_master)

    def close(self) -> None:
        """Stop listening, and end."""
        self._closing = True
        self._alarm.send(b"!")
        self._thread.join()
        for client in list(self._clients):
            client.channel.wake()
        self._endpoint.unlink()
        for end in (self._listener, self._awake, self._alarm):
            end.close()


class FeedReader:
    """Connects to the other node, again and again, and hears what it tells.

    Args:
        endpoint: where it listens.
        take: called with (Frame.BEGIN or APPEND, datapath id, bytes), in a thread.

    Attributes:
        peer: what it said last.

    Raises:
        UserError: a certificate cannot be read.
    """

    def __init__(self, endpoint: Endpoint, take: Callable[[Frame, int, bytes], None]) -> None:
        self.peer = Peer(float("-inf"), is_master=False, priority=0)
        self._endpoint, self._take = endpoint, take
        self._context = endpoint.client_context()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feed reader", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(OSError, EOFError, ValueError):
                connection = self._endpoint.connect(_HANDSHAKE_SECONDS)
                try:
                    self._hear(connection)
                finally:
                    connection.close()
            self._stop.wait(_RETRY_SECONDS)

    def _hear(self, connection: socket.socket) -> None:
        host = self._endpoint.host_and_port[0] if self._endpoint.path is None else None
        until = time.monotonic() + _HANDSHAKE_SECONDS
        with handshake(connection, self._context, until, server_hostname=host) as secure:
            secure.settimeout(_SILENT_SECONDS)
            while not self._stop.is_set():
                kind, number, length = _HEADER.unpack(_receive(secure, _HEADER.size))
                if length > _MOST_BODY:
                    raise ValueError("a frame that is too long")
                body = _receive(secure, length)
                if self._stop.is_set():
                    return
                if Frame(kind) is Frame.ROLE:
                    self.peer = Peer(time.monotonic(), bool(number & 1), number >> 1)
                else:
                    self.peer = self.peer._replace(heard=time.monotonic())
                    self._take(Frame(kind), number, body)

    def close(self) -> None:
        """Hear no more; nothing is taken afterwards."""
        self._stop.set()


def _receive(connection: socket.socket, length: int) -> bytes:
    parts = []
    while length:
        part = connection.recv(min(length, _CHUNK))
        if not part:
            raise EOFError
        parts.append(part)
        length -= len(part)
    return b"".join(parts)
