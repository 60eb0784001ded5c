"""One connection of the verdict stream, at either end: messages both ways, nothing that blocks.

One thread drives a channel, others may wake it. Every turn waits in ``select`` once, so under
eventlet's monkey patching, where the thread is a green one, no peer can keep the others waiting.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import time
from typing import TYPE_CHECKING, Any

from chamaleonet.log.stream.frames import FrameReader, OversizedError, TruncatedError
from chamaleonet.log.stream.messages import MessageError, VersionError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chamaleonet.log.stream.messages import Messages

_STALL_SECONDS = 10.0  # a peer that takes nothing for so long is gone
_RECEIVE_BYTES = 16384  # a whole TLS record: what OpenSSL has decrypted, ``select`` does not see
# A peer whose machine vanished is noticed after this many seconds even if nothing is to be sent.
_KEEPALIVE = {socket.TCP_KEEPIDLE: 10, socket.TCP_KEEPINTVL: 5, socket.TCP_KEEPCNT: 2}
_NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class BusyError(Exception):
    """There is no place for another consumer."""


def cause_of(error: Exception) -> str:
    """Return under which cause a failed connection is counted."""
    for kind, cause in (
        (OversizedError, "stream_oversized"),
        (TruncatedError, "stream_truncated"),
        (VersionError, "stream_version"),
        (MessageError, "stream_malformed"),
        (BusyError, "stream_busy"),
    ):
        if isinstance(error, kind):
            return cause
    return "stream_connection"


def handshake(
    connection: socket.socket, context: ssl.SSLContext | None, until: float, **named: Any
) -> socket.socket:
    """Return the connection, with TLS if there is a context, ready for a channel.

    Args:
        connection: just connected.
        context: what to encrypt with.
        until: by when, of time.monotonic(), TLS has to be spoken.
        **named: for SSLContext.wrap_socket.

    Raises:
        OSError: TLS failed, or took too long.
    """
    connection.setblocking(False)
    if context is None:
        return connection
    for option, value in _KEEPALIVE.items():
        connection.setsockopt(socket.IPPROTO_TCP, option, value)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    secure = context.wrap_socket(connection, do_handshake_on_connect=False, **named)
    try:
        while not _shaken(secure, until):
            pass
    except BaseException:
        secure.close()
        raise
    return secure


def _shaken(secure: ssl.SSLSocket, until: float) -> bool:
    readers, writers = [], []
    try:
        secure.do_handshake()
    except ssl.SSLWantReadError:
        readers.append(secure)
    except ssl.SSLWantWriteError:
        writers.append(secure)
    else:
        return True
    if not any(select.select(readers, writers, [], max(until - time.monotonic(), 0))):
        raise TimeoutError("TLS is not spoken in time")
    return False


class Channel:
    """Sends bytes, receives messages.

    Args:
        connection: as ``handshake`` returned it.
        known: the messages that the peer may send.
    """

    def __init__(self, connection: socket.socket, known: Messages) -> None:
        self._connection = connection
        self._frames = FrameReader(known)
        self._unsent = memoryview(b"")
        self._stalled = 0.0  # when it stalls if nothing is taken until then
        self._awake, self._alarm = socket.socketpair()
        for end in (self._awake, self._alarm):
            end.setblocking(False)

    @property
    def idle(self) -> bool:
        """Whether all has been sent."""
        return not self._unsent

    def wake(self) -> None:
        """Make ``turn`` return. For any thread."""
        with contextlib.suppress(BlockingIOError):  # full of alarms already
            self._alarm.send(b"!")

    def put(self, data: bytes) -> None:
        """Send these bytes, turn by turn; only when idle."""
        assert self.idle
        self._unsent = memoryview(data)
        self._stalled = time.monotonic() + _STALL_SECONDS

    def flush(self) -> None:
        """Send what can be sent without waiting.

        Raises:
            OSError: the connection is broken.
        """
        with contextlib.suppress(*_NOT_NOW):
            self._unsent = self._unsent[self._connection.send(self._unsent) :]
            self._stalled = time.monotonic() + _STALL_SECONDS

    def turn(self, until: float | None = None) -> Iterator[dict[str, Any]]:
        """Wait until something can be done, then send a piece and yield messages that came.

        Args:
            until: wait no longer than that, of time.monotonic().

        Raises:
            MessageError: what came is no message; nothing after it can be trusted.
            EOFError: the peer has closed the connection.
            OSError: the connection is broken, or the peer stalls.
        """
        now = time.monotonic()
        if self._unsent:
            if now >= self._stalled:
                raise TimeoutError("the peer takes nothing")
            until = self._stalled if until is None else min(until, self._stalled)
        readable, writable, _ = select.select(
            [self._connection, self._awake],
            [] if self.idle else [self._connection],
            [],
            None if until is None else max(until - now, 0),
        )
        if self._awake in readable:
            self._awake.recv(4096)
        if self._connection in readable:
            yield from self._receive()
        if writable:
            self.flush()

    def _receive(self) -> Iterator[dict[str, Any]]:
        try:
            data = self._connection.recv(_RECEIVE_BYTES)
        except _NOT_NOW:
            return
        if not data:
            self._frames.end()
            raise EOFError
        yield from self._frames.feed(data)

    def close(self) -> None:
        """Close the connection."""
        for end in (self._connection, self._awake, self._alarm):
            end.close()
