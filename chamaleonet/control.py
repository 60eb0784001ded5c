"""The controller's control socket: one question as a line of JSON, one answer.

    {"command": "reload", "config": "/etc/chamaleonet/chamaleonet.yaml", "dry_run": false}
    {"status": 0, "text": "..."}

It is a Unix socket of mode 0600: whoever may open it may as well stop the controller.
"""

from __future__ import annotations

import contextlib
import json
import socket
from typing import TYPE_CHECKING, Any

from chamaleonet.errors import UserError
from chamaleonet.log.stream.endpoint import Endpoint

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_MOST_BYTES = 1 << 16  # of a question
_PATIENCE = 5.0  # s to ask or to take the answer
_ANSWER = 60.0  # s to answer


class Control:
    """The controller's end.

    Args:
        path: of the socket.
        answer: called with each question; returns a text.

    Raises:
        UserError: it cannot be listened on.
    """

    def __init__(self, path: Path, answer: Callable[[dict[str, Any]], str]) -> None:
        self._endpoint = Endpoint(f"unix:{path}")
        self._answer = answer
        self._listener = self._endpoint.listen()

    def serve(self) -> None:
        """Answer one after the other, until it is closed."""
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with connection, contextlib.suppress(OSError, ValueError):
                    connection.settimeout(_PATIENCE)
                    self._converse(connection)

    def _converse(self, connection: socket.socket) -> None:
        question = json.loads(_line(connection))
        try:
            status, text = 0, self._answer(question)
        except UserError as error:
            status, text = 2, str(error)
        connection.sendall(json.dumps({"status": status, "text": text}).encode() + b"\n")

    def close(self) -> None:
        """Listen no more."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # whoever waits in accept is woken
        self._listener.close()
        self._endpoint.unlink()


def ask(path: Path, question: dict[str, Any]) -> str:
    """Ask the controller; return its text.

    Raises:
        UserError: nobody answers there, or the answer is an error.
    """
    try:
        with Endpoint(f"unix:{path}").connect(_PATIENCE) as connection:
            connection.settimeout(_ANSWER)
            connection.sendall(json.dumps(question).encode() + b"\n")
            answer = json.loads(_line(connection, most=1 << 28))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise UserError(f"unix:{path}: no controller answers: {reason}") from None
    if answer["status"]:
        raise UserError(answer["text"])
    return str(answer["text"])


def _line(connection: socket.socket, most: int = _MOST_BYTES) -> bytes:
    data = bytearray()
    while not data.endswith(b"\n"):
        part = connection.recv(_MOST_BYTES)
        if not part or len(data) > most:
            raise ValueError("the connection ended early")
        data += part
    return bytes(data)
