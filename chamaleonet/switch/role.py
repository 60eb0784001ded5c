"""Which of several controllers a switch obeys: OpenFlow Switch Specification 1.3.5, section 6.3.4.

A switch takes orders of the one that claimed to be MASTER last, and of no SLAVE. A claim bears a
generation id, the term in which its controller was elected; the switch refuses one that is older
than it has seen. So a master that was cut off cannot come back by a late message.
"""

from __future__ import annotations

import struct
from enum import Enum, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_VERSION, _ROLE_REQUEST = 4, 24
_NOCHANGE, _MASTER, _SLAVE = 0, 2, 3  # OFPCR_ROLE_
_NO_GENERATION = (1 << 64) - 1  # what a switch answers that has seen none
_request = struct.Struct("!BBHII4xQ").pack


class Standing(Enum):
    """How a switch takes us."""

    UNKNOWN = auto()  # it has not answered yet
    SLAVE = auto()
    MASTER = auto()


class Role:
    """Our role at one connection; what is to be sent is returned.

    Args:
        next_xid: returns a transaction id that nobody else uses on this connection.

    Attributes:
        standing: how the switch takes us.
        generation: the greatest generation id that the switch has told of, None if it has none.
    """

    def __init__(self, next_xid: Callable[[], int]) -> None:
        self.standing = Standing.UNKNOWN
        self.generation: int | None = None
        self._next_xid = next_xid
        self._claim: int | None = None  # transaction id

    def ask(self) -> bytes:
        """Ask how we stand; a switch that takes us for neither is asked to take us for a SLAVE."""
        return _request(_VERSION, _ROLE_REQUEST, 24, self._next_xid(), _NOCHANGE, 0)

    def claim(self, term: int) -> bytes:
        """Claim to be MASTER."""
        self.standing = Standing.UNKNOWN
        self._claim = self._next_xid()
        return _request(_VERSION, _ROLE_REQUEST, 24, self._claim, _MASTER, term)

    def on_reply(self, role: int, generation: int) -> bytes:
        """Take a role reply; return what is to be sent now, if anything."""
        self.generation = None if generation == _NO_GENERATION else generation
        if role == _MASTER:
            self.standing = Standing.MASTER
        elif self.standing is Standing.MASTER or (role == _SLAVE and self._claim is None):
            self.standing = Standing.SLAVE
        elif self._claim is not None:
            pass  # an answer from before our claim
        else:
            return _request(
                _VERSION, _ROLE_REQUEST, 24, self._next_xid(), _SLAVE, self.generation or 0
            )
        return b""

    def is_claim(self, xid: int) -> bool:
        """Tell whether an error with this transaction id refuses our claim."""
        return xid == self._claim
