"""The verdict stream's consumer: connects, and connects again whenever the stream ends."""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from ssl import SSLError
from typing import TYPE_CHECKING, Any

import numpy as np

from chamaleonet import __version__
from chamaleonet.flows.records import CAPTURED, FLOW
from chamaleonet.log.stream.channel import Channel, cause_of, handshake
from chamaleonet.log.stream.frames import pack_frame
from chamaleonet.log.stream.messages import (
    FROM_CONTROLLER,
    MessageError,
    ack,
    consumer_hello,
)
from chamaleonet.log.stream.packing import unpack_counts, unpack_flow, unpack_packets
from chamaleonet.log.stream.position import Position
from chamaleonet.log.tally import COUNT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from socket import socket

    from numpy.typing import NDArray

    from chamaleonet.log.stream.endpoint import Endpoint

_HANDSHAKE_SECONDS = 5.0
_FAREWELL_SECONDS = 1.0  # for the last acknowledgement
_SECONDS = 0.5  # how soon ``close`` is noticed while there is no room for messages


@dataclass(slots=True)
class Message:
    """One message of the stream.

    Attributes:
        kind: ``hello``, ``active``, ``current``, ``verdict`` or ``flow``.
        run: of a hello: which run of the controller speaks.
        position: of a record, that is of ``verdict`` and ``flow``.
        flow: FLOW, shape (1,); (0,) of ``hello`` and ``current``.
        packets: CAPTURED, shape (m,): first packets, of a verdict.
        data: uint8: the packets' bytes.
        counts: COUNT, shape (n,): healthy flows, of ``counts``.
    """

    kind: str
    run: int = 0
    position: Position | None = None
    flow: NDArray[Any] = field(default_factory=lambda: np.empty(0, FLOW))
    packets: NDArray[Any] = field(default_factory=lambda: np.empty(0, CAPTURED))
    data: NDArray[np.uint8] = field(default_factory=lambda: np.empty(0, np.uint8))
    counts: NDArray[Any] = field(default_factory=lambda: np.empty(0, COUNT))


def _unpack(message: dict[str, Any]) -> Message:
    kind = message["kind"]
    if kind == "hello":
        return Message(kind, run=message["run"])
    if kind == "current":
        return Message(kind)
    if kind == "counts":
        position = Position(message["run"], message["seq"])
        return Message(kind, position=position, counts=unpack_counts(message["counts"]))
    flow = unpack_flow(message["flow"])
    if kind == "active":
        return Message(kind, flow=flow)
    position = Position(message["run"], message["seq"])
    if kind == "flow":
        return Message(kind, position=position, flow=flow)
    packets, data = unpack_packets(message["packets"], flow)
    return Message(kind, position=position, flow=flow, packets=packets, data=data)


class VerdictReader:
    """Receives the stream in a thread of its own.

    Args:
        endpoint: where the producer listens.
        others: where it may listen instead: they are tried in turn.
        on_message: called, in that thread, after a message was queued.
        acknowledges: whether every record is wanted, each once; there can be but one such
            consumer. Without it this is a follower: it gets what happens while it is connected.
        position: of the last record that was kept by an earlier reader, with all before.
        name: who reads, for people.
        retry: seconds until the next try to connect.
        capacity: messages that wait at most; then the producer has to wait.

    Attributes:
        messages: what came, in order; after each connection begins with a ``hello``. No record
            comes twice, even where the producer has to send it again.
        refused: connections that were ended by us, by cause: ``stream_malformed``,
            ``stream_oversized``, ``stream_version``, ``stream_truncated``, or
            ``stream_connection`` where TLS failed.
        connected: whether the producer has accepted us.

    Raises:
        UserError: a certificate cannot be read.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        on_message: Callable[[], None] = lambda: None,
        *,
        others: Sequence[Endpoint] = (),
        acknowledges: bool = True,
        position: Position | None = None,
        name: str = f"chamaleonet {__version__}",
        retry: float = 1.0,
        capacity: int = 10_000,
    ) -> None:
        self.messages: queue.Queue[Message] = queue.Queue(capacity)
        self.refused: Counter[str] = Counter()
        self.connected = False
        self._endpoints = deque((endpoint, *others))
        self._on_message = on_message
        self._acknowledges = acknowledges
        self._name = name
        self._retry = retry
        self._context = endpoint.client_context()
        self._lock = threading.Lock()
        self._channel: Channel | None = None  # guarded by the lock
        self._kept = position  # what the application has said it has
        self._told = position  # what of that the producer knows
        self._received = position  # what the application was given
        self._run = 0  # of the producer
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run_thread, name="verdict reader", daemon=True)
        self._thread.start()

    def acknowledge(self, position: Position) -> None:
        """Tell the producer that the record there and all before are safely kept.

        For any thread; waits for nobody. The next connection begins after this position, too.
        """
        self._kept = position
        self._wake()

    def _wake(self) -> None:
        with self._lock:
            if self._channel is not None:
                self._channel.wake()

    def _run_thread(self) -> None:
        while not self._stop.is_set():
            endpoint = self._endpoints[0]
            self._endpoints.rotate(-1)
            try:
                connection = endpoint.connect(_HANDSHAKE_SECONDS)
            except OSError:  # nobody listens yet, or any more
                self._stop.wait(self._retry)
                continue
            try:
                self._talk(connection, endpoint)
            except SSLError:
                self.refused["stream_connection"] += 1
            except MessageError as error:
                self.refused[cause_of(error)] += 1
            except (EOFError, OSError):  # the producer is gone
                pass
            finally:
                self.connected = False
                connection.close()
            self._stop.wait(self._retry)

    def _talk(self, connection: socket, endpoint: Endpoint) -> None:
        until = time.monotonic() + _HANDSHAKE_SECONDS
        host = endpoint.host_and_port[0] if endpoint.path is None else None
        channel = Channel(
            handshake(connection, self._context, until, server_hostname=host), FROM_CONTROLLER
        )
        with self._lock:
            self._channel = channel
        try:
            self._told = self._kept
            hello = consumer_hello(self._name, acknowledges=self._acknowledges, position=self._told)
            channel.put(pack_frame(hello))
            while not self._stop.is_set():
                self._acknowledge(channel)
                for message in channel.turn(None if self.connected else until):
                    self._hear(message, channel)
                if not self.connected and time.monotonic() >= until:
                    raise TimeoutError("no hello")
            self._say_farewell(channel)
        finally:
            with self._lock:
                self._channel = None
            channel.close()

    def _acknowledge(self, channel: Channel) -> None:
        """Send what was acknowledged last, unless it is of a run that the producer cannot know."""
        kept = self._kept
        if kept != self._told and self.connected and channel.idle:
            self._told = kept
            if kept is not None and self._acknowledges and kept.run <= self._run:
                channel.put(pack_frame(ack(kept)))

    def _say_farewell(self, channel: Channel) -> None:
        until = time.monotonic() + _FAREWELL_SECONDS
        self._acknowledge(channel)
        while not channel.idle and time.monotonic() < until:
            for _ in channel.turn(until):  # what comes now goes to the next consumer
                pass
            self._acknowledge(channel)

    def _hear(self, message: dict[str, Any], channel: Channel) -> None:
        kind = message["kind"]
        if (kind == "hello") == self.connected:
            raise MessageError(f"{kind} out of turn")
        unpacked = _unpack(message)
        if kind == "hello":
            self._run = unpacked.run
            if self._received is not None and self._run < self._received.run:
                self._received = None  # the producer's clock went back: nothing is known of it
            self.connected = True
        if unpacked.position is not None:
            if self._received is not None and unpacked.position <= self._received:
                return  # sent again, for it was not acknowledged
            self._received = unpacked.position
        self._put(unpacked, channel)

    def _put(self, message: Message, channel: Channel) -> None:
        while not self._stop.is_set():
            try:
                self.messages.put(message, timeout=_SECONDS)
            except queue.Full:
                self._acknowledge(channel)
                channel.flush()
                continue
            self._on_message()
            return

    def close(self) -> None:
        """End the connection, after the last acknowledgement was sent.

        Messages that were not taken are lost to this process; to the producer they are not.
        """
        self._stop.set()
        self._wake()
        self._thread.join()
