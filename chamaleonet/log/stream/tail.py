"""Follows verdicts as the controller comes to them, for people and for pipes."""

from __future__ import annotations

import errno
import os
import queue
import select
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any, Protocol

from chamaleonet.errors import UserError
from chamaleonet.log.columns import protocol_name
from chamaleonet.log.events.jsonl import events
from chamaleonet.log.events.rows import rfc3339, rows
from chamaleonet.log.events.words import end, reason
from chamaleonet.log.stream.reader import VerdictReader

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from chamaleonet.flows.transitions import State
    from chamaleonet.log.events.jsonl import Fields, Kind
    from chamaleonet.log.stream.endpoint import Endpoint
    from chamaleonet.log.stream.reader import Message

_SECONDS = 0.2  # how soon a signal, a closed pipe or the end of the connection is noticed


class Anonymiser(Protocol):
    """Replaces addresses."""

    def flows(self, flows: NDArray[Any]) -> NDArray[Any]:
        """Return copies of FLOW records."""


def text(flow: NDArray[Any], kind: Kind) -> bytes:
    """Return a flow (FLOW, shape (1,)) as a line, in columns that are wide enough for IPv4."""
    [row] = rows(flow)
    time = rfc3339(row.judged if kind == "verdict" else row.last, 3)
    client, server = end(row.client, row.client_port), end(row.server, row.server_port)
    line = (
        f"{time} {kind:<7} {row.verdict:<11} {row.direction:<8} {protocol_name(row.protocol):<6}"
        f" {client:<21} -> {server:<21} {row.attempts:>4} {reason(row)}\n"
    )
    return line.encode("ascii")


def lines(
    fields: Fields | None = None, anonymiser: Anonymiser | None = None
) -> Callable[[NDArray[Any], Kind], bytes]:
    """Return what makes a line of a flow (FLOW, shape (1,)) and what happened to it.

    Args:
        fields: which names the fields of JSON events have; None: lines of text.
        anonymiser: replaces addresses.
    """

    def line(flow: NDArray[Any], kind: Kind) -> bytes:
        flow = flow if anonymiser is None else anonymiser.flows(flow)
        return text(flow, kind) if fields is None else events(flow, kind, fields)

    return line


def follow(
    reader: VerdictReader,
    write: Callable[[bytes], object],
    *,
    line: Callable[[NDArray[Any], Kind], bytes],
    verdicts: tuple[State, ...] | None = None,
    ended: bool = False,
    said: Callable[[str], object] = lambda _: None,
    stop: Callable[[], bool],
) -> None:
    """Write lines until told to stop.

    Args:
        reader: brings the messages.
        write: takes one line.
        line: makes it, as one that ``lines`` returns.
        verdicts: which verdicts to tell; None: all.
        ended: whether to tell how flows ended.
        said: takes what is to be told about the connection, whenever that changes.
        stop: is asked every now and then.
    """
    status = ""

    def tell(message: Message) -> None:
        kind = message.kind
        if kind not in ("verdict", "flow") or (kind == "flow" and not ended):
            return
        if verdicts is None or message.flow["state"][0] in verdicts:
            write(line(message.flow, kind))  # type: ignore[arg-type]

    while not stop():
        try:
            message = reader.messages.get(timeout=_SECONDS)
        except queue.Empty:
            before, status = status, status_of(reader)
            if status != before:
                said(status)
        else:
            tell(message)


def status_of(reader: VerdictReader) -> str:
    """Return what is to be said about a reader's connection."""
    if reader.connected:
        return "connected"
    causes = ", ".join(list(reader.refused))  # a copy: the reader's thread adds to it
    return "waiting for the controller" + (f" (failed before: {causes})" if causes else "")


def check_permission(endpoint: Endpoint) -> None:
    """Raise UserError if the socket is somebody else's: waiting for it would be in vain."""
    if endpoint.path is None:
        return
    try:
        endpoint.path.stat()
    except FileNotFoundError:  # no controller yet
        return
    except OSError as error:
        raise UserError(f"{endpoint.address}: {error.strerror}") from None
    if not os.access(endpoint.path, os.W_OK):
        raise UserError(f"{endpoint.address}: {os.strerror(errno.EACCES)}")


def tail(
    endpoint: Endpoint,
    *,
    fields: Fields | None = None,
    verdicts: tuple[State, ...] | None = None,
    ended: bool = False,
    anonymiser: Anonymiser | None = None,
) -> int:
    """Print verdicts on standard output, each as it comes, until SIGINT or SIGTERM.

    Addresses are printed as they are unless there is an anonymiser: the stream can be read by its
    owner alone. The logger is not kept from anything that is read here.

    Args:
        endpoint: where the controller tells.
        fields: which names the fields of JSON events have; None: lines of text.
        verdicts: which verdicts to tell; None: all.
        ended: whether to tell how flows ended.
        anonymiser: replaces addresses before they are printed.

    Returns:
        The exit status, 0.

    Raises:
        UserError: the socket is not ours to read, or a certificate cannot be read.
        BrokenPipeError: nobody reads standard output any more.
    """

    def write(data: bytes) -> None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()

    check_permission(endpoint)
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    output = select.poll()
    output.register(sys.stdout, 0)  # without being asked it tells of a pipe's end

    def stop() -> bool:
        if output.poll(0):
            raise BrokenPipeError
        return stopped.is_set()

    reader = VerdictReader(endpoint, acknowledges=False)
    try:
        follow(
            reader, write, line=lines(fields, anonymiser), verdicts=verdicts, ended=ended,
            stop=stop, said=lambda what: print(f"{endpoint.address}: {what}", file=sys.stderr),
        )  # fmt: skip
    finally:
        reader.close()
    return 0
