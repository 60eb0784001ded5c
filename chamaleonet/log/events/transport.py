"""The ways to a syslog daemon: UDP (RFC 5426), TCP (RFC 6587) and Unix sockets."""

from __future__ import annotations

import errno
import select
import socket
from typing import TYPE_CHECKING

from chamaleonet.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

_CONNECT_SECONDS = 5.0
_SLICE_SECONDS = 0.2  # how often a sender that waits for the daemon looks whether to go on
_DEAD_MILLISECONDS = 30_000  # a daemon behind TCP that takes nothing for so long is gone


class RefusedError(OSError):
    """Nobody listens at the UDP port: the datagram sent before this one was lost."""


class Connection:
    """An open socket to the daemon, and how messages are framed on it."""

    def __init__(self, opened: socket.socket, frame: Callable[[bytes], bytes]) -> None:
        opened.settimeout(_SLICE_SECONDS)
        self._socket, self._frame = opened, frame
        self._input = select.poll()
        self._input.register(opened, select.POLLIN)

    def send(self, message: bytes, late: Callable[[], bool]) -> None:
        """Send a message whole.

        Args:
            message: without framing.
            late: tells, while the daemon takes nothing, that it is time to give up.

        Raises:
            OSError: it was not sent, or (over a stream) not to its end.
            RefusedError: nor was the one before.
        """
        if self._socket.type == socket.SOCK_STREAM:
            self._notice_end()
        left = memoryview(self._frame(message))
        while left:
            try:
                left = left[self._socket.send(left) :]
            except TimeoutError:
                if late():
                    raise
            except ConnectionRefusedError as error:
                if self._socket.family == socket.AF_UNIX:
                    raise
                raise RefusedError(*error.args) from None

    def _notice_end(self) -> None:
        """Raise if the daemon has closed the stream: one more send would still seem to succeed."""
        if self._input.poll(0) and not self._socket.recv(4096):
            raise ConnectionResetError(errno.ECONNRESET, "closed by the daemon")

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def _datagram(message: bytes) -> bytes:
    return message


def _line(message: bytes) -> bytes:
    """Non-transparent framing (RFC 6587, 3.4.2), which daemons expect on Unix streams."""
    return message + b"\n"


def _counted(message: bytes) -> bytes:
    """Octet counting (RFC 6587, 3.4.1)."""
    return b"%d %b" % (len(message), message)


class Address:
    """Where the daemon listens.

    Args:
        text: ``unix:PATH``, ``udp:HOST:PORT`` or ``tcp:HOST:PORT``, an IPv6 address in brackets.

    Raises:
        UserError: it is none of these.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._tries = 0
        self._kind, _, rest = text.partition(":")
        self._path, self._host, self._port = rest, "", 0
        if self._kind not in ("unix", "udp", "tcp") or not rest:
            raise UserError(f"{text}: not unix:PATH, udp:HOST:PORT or tcp:HOST:PORT")
        if self._kind != "unix":
            host, _, port = rest.rpartition(":")
            self._host = host.removeprefix("[").removesuffix("]")
            if not (self._host and port.isascii() and port.isdecimal() and 0 < int(port) <= 65535):
                raise UserError(f"{text}: not {self._kind}:HOST:PORT")
            self._port = int(port)

    def __str__(self) -> str:
        return self._text

    def connect(self) -> Connection:
        """Return a connection; OSError where there is no daemon, or no such host."""
        if self._kind == "unix":
            try:
                return _connect(socket.AF_UNIX, socket.SOCK_DGRAM, self._path, _datagram)
            except OSError as error:
                if error.errno != errno.EPROTOTYPE:
                    raise
            return _connect(socket.AF_UNIX, socket.SOCK_STREAM, self._path, _line)
        if self._kind == "udp":
            # Only what is sent tells whether somebody listens: each time the next address is tried.
            found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_DGRAM)
            family, kind, _, _, target = found[self._tries % len(found)]
            self._tries += 1
            return _connect(family, kind, target, _datagram)
        opened = socket.create_connection((self._host, self._port), _CONNECT_SECONDS)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _DEAD_MILLISECONDS)
        return Connection(opened, _counted)


def _connect(family: int, kind: int, target: object, frame: Callable[[bytes], bytes]) -> Connection:
    opened = socket.socket(family, kind)
    try:
        opened.settimeout(_CONNECT_SECONDS)
        opened.connect(target)  # type: ignore[arg-type]
    except OSError:
        opened.close()
        raise
    return Connection(opened, frame)
