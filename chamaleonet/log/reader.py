"""The verdict stream's consumer: connects, and connects again whenever the stream ends."""

from __future__ import annotations

import queue
import secrets
import socket
import ssl
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from chamaleonet import __version__
from chamaleonet.flows.records import CAPTURED, FLOW
from chamaleonet.log.frames import FrameReader, pack_frame
from chamaleonet.log.messages import MessageError, hello, unpack_flow, unpack_packets
from chamaleonet.log.stream import cause_of, check_hello

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from chamaleonet.log.endpoint import Endpoint

_SECONDS = 0.5  # how soon ``close`` is noticed
_HANDSHAKE_SECONDS = 5.0


@dataclass(slots=True)
class Message:
    """One message of the stream.

    Attributes:
        kind: ``hello``, ``active``, ``verdict`` or ``flow``.
        instance: of a hello: which run of the producer speaks.
        flow: FLOW, shape (1,); (0,) of a hello.
        packets: CAPTURED, shape (m,): first packets, of a verdict.
        data: uint8: the packets' bytes.
    """

    kind: str
    instance: str = ""
    flow: NDArray[Any] = field(default_factory=lambda: np.empty(0, FLOW))
    packets: NDArray[Any] = field(default_factory=lambda: np.empty(0, CAPTURED))
    data: NDArray[np.uint8] = field(default_factory=lambda: np.empty(0, np.uint8))


def _unpack(message: dict[str, Any]) -> Message:
    kind = message["kind"]
    if kind == "hello":
        return Message(kind, instance=message["instance"])
    flow = unpack_flow(message["flow"])
    if kind != "verdict":
        return Message(kind, flow=flow)
    packets, data = unpack_packets(message["packets"], flow)
    return Message(kind, flow=flow, packets=packets, data=data)


class VerdictReader:
    """Receives the stream in a thread of its own.

    Args:
        endpoint: where the producer listens.
        on_message: called, in that thread, after a message was queued.
        retry: seconds until the next try to connect.
        capacity: messages that wait at most; then the producer has to wait.

    Attributes:
        messages: what came, in order; after each connection begins with a ``hello``.
        refused: connections that were ended by us, by cause: ``stream_malformed``,
            ``stream_oversized``, ``stream_version``, ``stream_truncated``, or
            ``stream_connection`` where TLS failed.
        connected: whether there is a connection.

    Raises:
        UserError: a certificate cannot be read.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        on_message: Callable[[], None] = lambda: None,
        *,
        retry: float = 1.0,
        capacity: int = 10_000,
    ) -> None:
        self.messages: queue.Queue[Message] = queue.Queue(capacity)
        self.refused: Counter[str] = Counter()
        self.connected = False
        self._endpoint = endpoint
        self._on_message = on_message
        self._retry = retry
        self._context = endpoint.client_context()
        self._hello = pack_frame(hello(f"chamaleonet {__version__}", secrets.token_hex(8)))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="verdict reader", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                connection = self._endpoint.connect(_HANDSHAKE_SECONDS)
            except OSError:  # nobody listens yet, or any more
                self._stop.wait(self._retry)
                continue
            try:
                connection = self._greet(connection)
                self._receive(connection)
            except ssl.SSLError:
                self.refused["stream_connection"] += 1
            except MessageError as error:
                self.refused[cause_of(error)] += 1
            except OSError:  # the producer is gone
                pass
            finally:
                self.connected = False
                connection.close()
            self._stop.wait(self._retry)

    def _greet(self, connection: socket.socket) -> socket.socket:
        if self._context is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            host, _ = self._endpoint.host_and_port
            connection = self._context.wrap_socket(connection, server_hostname=host)
        connection.sendall(self._hello)
        connection.settimeout(_SECONDS)
        return connection

    def _receive(self, connection: socket.socket) -> None:
        frames = FrameReader()
        while not self._stop.is_set():
            try:
                data = connection.recv(65536)
            except TimeoutError:
                continue
            if not data:
                if frames.inside:
                    self.refused["stream_truncated"] += 1
                return
            for message in frames.feed(data):
                if not self.connected:
                    check_hello(message)
                    self.connected = True
                self._put(_unpack(message))

    def _put(self, message: Message) -> None:
        while not self._stop.is_set():
            try:
                self.messages.put(message, timeout=_SECONDS)
            except queue.Full:
                continue
            self._on_message()
            return

    def close(self) -> None:
        """End the connection; messages that were not taken are lost to this process."""
        self._stop.set()
        self._thread.join()
