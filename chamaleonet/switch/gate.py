"""Who may connect: every OpenFlow connection passes here before the framework has it.

A connection stands at the gate until its handshake is done: for a limited time, beside a limited
number of others. What does not behave is closed, counted by cause and told in the log, and does
not touch the others. To the framework a connection looks like the socket that it takes it for.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import struct
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from chamaleonet.config import datapath_text
from chamaleonet.switch import framework
from chamaleonet.switch.guard import Guard, Refusal, Stage
from chamaleonet.tls import names_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from chamaleonet.metrics import ControllerMetrics

log = logging.getLogger(__name__)

_CHUNK = 1 << 16  # bytes read at once
_TURN = 256  # messages until other connections have theirs
_SEND_SECONDS = 10.0  # in which a switch must take what it is sent at once
_ANSWER_SECONDS = 2.0  # in which it must show that it is there, where another claims to be it;
# at most half of a handshake's time, for meanwhile the other's handshake goes on
_MOST_HALF_DONE = 64  # connections whose handshake is not done
_LOG_SECONDS = 10.0  # from one line about a cause to the next
_ECHO_REQUEST = struct.pack("!BBHI", 4, 2, 8, 0)


class Connection:
    """One connection; the framework takes it for its socket.

    Args:
        raw: the accepted socket.
        address: the peer's.
        gate: what it passes through.

    Attributes:
        guard: what it may say.
        datapath: the framework's object for it.
        refused: whether it was closed by us.
        over: whether nothing more comes by it.
        names: those in the peer's certificate.
    """

    def __init__(self, raw: Any, address: Any, gate: Gate) -> None:
        self.guard = Guard()
        self.datapath: Any = None
        self.refused = self.over = False
        self.names: frozenset[str] = frozenset()
        self.address = address
        self._raw = raw
        self._gate = gate
        self._messages: deque[bytes] = deque()
        self._heard = 0
        self._turn = 0

    def recv(self, _size: int) -> bytes:
        """Return the next message, whole: the framework then has no rest to take up later.

        Nothing means that the connection is over.
        """
        while not self._messages:
            if self.over:
                return b""
            try:
                data = self._raw.recv(_CHUNK)
            except ssl.SSLError as error:  # the framework would take it for a timeout, for ever
                self.refuse("tls", str(error))
                return b""
            self._heard += 1
            if not data:
                if self.guard.within_message:
                    self.refuse("truncated", "the connection ended within a message")
                self.over = True
            self._take(data)
        self._turn += 1
        if self._turn % _TURN == 0:
            framework.hub.sleep(0)
        return self._messages.popleft()

    def encrypt(self, context: ssl.SSLContext) -> None:
        """Shake hands by TLS.

        Raises:
            OSError: the peer does not, or has no certificate that is good enough.
        """
        try:
            self._raw = context.wrap_socket(
                self._raw, server_side=True, do_handshake_on_connect=False
            )
            self._raw.do_handshake()
            self.names = names_of(self._raw)
        except (OSError, ValueError) as error:  # ValueError: it was shut down meanwhile
            self.refuse("tls", str(error))
            raise OSError(str(error)) from error

    def _take(self, data: bytes) -> None:
        was = self.guard.stage
        self._messages.extend(self.guard.receive(data))
        if was < Stage.PORTS <= self.guard.stage:
            self._gate.claim(self)
        if was < Stage.DONE <= self.guard.stage:
            self._gate.admitted(self)
        if self.guard.refusal is not None:
            self.refuse(*self.guard.refusal)

    def sendall(self, data: bytes) -> None:
        """Send; a peer that does not take it in time is closed."""
        rest = memoryview(data)
        until = time.monotonic() + _SEND_SECONDS
        try:
            while rest:
                rest = rest[self._raw.send(rest) :]
                if rest and time.monotonic() > until:
                    raise TimeoutError
        except TimeoutError:
            self.refuse("unread", f"{len(rest)} bytes not taken in {_SEND_SECONDS:.0f} s")
            raise

    def refuse(self, cause: str, detail: str, answer: bytes = b"") -> None:
        """Close it, once, for a cause of metrics.OPENFLOW_ERRORS."""
        if self.refused or self.over:
            return
        self.refused = self.over = True
        self._messages.clear()
        if answer:
            with contextlib.suppress(OSError):
                self._raw.send(answer)
        self._gate.count(self, Refusal(cause, detail))
        self.shutdown(socket.SHUT_RDWR)

    def is_there(self, seconds: float) -> bool:
        """Tell whether the peer answers in so many seconds."""
        heard = self._heard
        framework.send(self.datapath, _ECHO_REQUEST)
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self.over:
            if self._heard != heard:
                return True
            framework.hub.sleep(0.02)
        return False

    # What else the framework asks of a socket.

    def setsockopt(self, *arguments: Any) -> None:
        """Set an option of the socket."""
        self._raw.setsockopt(*arguments)

    def settimeout(self, seconds: float | None) -> None:
        """Set how long the socket may wait."""
        self._raw.settimeout(seconds)

    def shutdown(self, _how: int) -> None:
        """End both directions: a switch that is not written to is not listened to either."""
        with contextlib.suppress(OSError):
            self._raw.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the socket."""
        self.over = True
        self._raw.close()


class Gate:
    """All connections.

    Args:
        metrics: where to count.
        exclusive: whether nobody else's switches may connect.
    """

    def __init__(
        self,
        metrics: ControllerMetrics,
        *,
        exclusive: bool,
    ) -> None:
        self._exclusive = exclusive
        self.admit({}, handshake_seconds=10.0)
        self._half_done: dict[Connection, Callable[[], None]] = {}  # what stops its clock
        self._holders: dict[int, Connection] = {}
        self._connections = metrics.openflow_connections
        self._errors = metrics.openflow_errors
        self._early_packets = metrics.dropped.labels("packet_in_early")
        self._told: dict[str, tuple[float, int]] = {}  # cause -> (when, how many since)

    def admit(
        self,
        datapaths: Mapping[int, str | None],
        *,
        handshake_seconds: float,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Say whom to let in from now on.

        Args:
            datapaths: the ids of the configured switches, and the name that the certificate of
                each must bear, if any.
            handshake_seconds: how long a handshake may take.
            tls: what connections are encrypted with, if they are.
        """
        self._tls = tls
        self._datapaths = dict(datapaths)
        self._handshake_seconds = handshake_seconds
        self._answer_seconds = min(_ANSWER_SECONDS, handshake_seconds / 2)

    def enter(self, raw: Any, address: Any) -> None:
        """Take an accepted socket; return when its connection is over."""
        self._connections.inc()
        connection = Connection(raw, address, self)
        if len(self._half_done) >= _MOST_HALF_DONE:
            # An honest switch is done in milliseconds: the longest there is not one, most likely.
            oldest = next(iter(self._half_done))
            oldest.refuse("handshake_flood", f"{_MOST_HALF_DONE} came after it")
            self.admitted(oldest)
        self._half_done[connection] = framework.call_later(
            self._handshake_seconds,
            lambda: connection.refuse("handshake_timeout", "its handshake is not done"),
        )
        try:
            if self._tls is not None:
                connection.encrypt(self._tls)
            framework.converse(connection, address)
        except OSError:
            pass  # it is gone
        except Exception as error:  # noqa: BLE001  (whatever the framework trips over is its peer's)
            connection.refuse("malformed", f"{type(error).__name__}: {error}")
        finally:
            self._leave(connection)

    def _leave(self, connection: Connection) -> None:
        connection.close()
        self.admitted(connection)
        self._release(connection)

    def admitted(self, connection: Connection) -> None:
        """Take note that a connection is half-done no longer."""
        stop = self._half_done.pop(connection, None)
        if stop is not None:
            stop()
            self._early_packets.inc(connection.guard.early_packets)

    def claim(self, connection: Connection) -> None:
        """Decide whether a connection may be that of the switch which it says it is.

        A switch has one connection. Where it is to have another, the one before must show that it
        is alive: if so it stays, for the other one may be anybody; if not the switch has come back
        before we noticed that it was gone.
        """
        datapath_id = connection.guard.datapath_id
        assert datapath_id is not None
        if datapath_id not in self._datapaths:
            if self._exclusive:
                name = datapath_text(datapath_id)
                connection.refuse("unknown_datapath", f"datapath {name} is not configured")
            return
        wanted = self._datapaths[datapath_id]
        if wanted is not None and wanted not in connection.names:
            names = ", ".join(sorted(connection.names)) or "no name"
            connection.refuse("certificate", f"its certificate bears {names}, not {wanted}")
            return
        while (holder := self._holders.get(datapath_id)) is not None:
            if holder.is_there(self._answer_seconds):
                name = datapath_text(datapath_id)
                connection.refuse("duplicate_datapath", f"datapath {name} is connected already")
                return
            holder.refuse("silent", "its switch has connected anew")
            self._release(holder)
        if not connection.refused:
            self._holders[datapath_id] = connection

    def _release(self, connection: Connection) -> None:
        datapath_id = connection.guard.datapath_id
        if datapath_id is not None and self._holders.get(datapath_id) is connection:
            del self._holders[datapath_id]

    def malformed(self, datapath: Any, error: Exception) -> None:
        """Take note that the framework could not parse a message."""
        datapath.socket.refuse("malformed", f"{type(error).__name__}: {error}")

    def count(self, connection: Connection, refusal: Refusal) -> None:
        """Count a connection that was closed, and log it, but not each one of a flood."""
        self._errors.labels(refusal.cause).inc()
        now = time.monotonic()
        when, since = self._told.get(refusal.cause, (-_LOG_SECONDS, 0))
        if now - when < _LOG_SECONDS:
            self._told[refusal.cause] = when, since + 1
            return
        self._told[refusal.cause] = now, 0
        more = f" ({since} more of this cause in between)" if since else ""
        peer = connection.address[0] if connection.address else "a Unix socket"
        log.warning(
            "connection from %s closed: %s: %s%s", peer, refusal.cause, refusal.detail, more
        )
