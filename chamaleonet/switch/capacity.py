"""What a switch says of its tables: how many rules they can hold, and how many they do.

OpenFlow 1.3 tells the first in OFPMP_TABLE_FEATURES (section 7.3.5.5 of the specification 1.3.5),
asked for once per connection, and the second in OFPMP_TABLE (7.3.5.4), asked for from time to
time. It has no vacancy events; those came with 1.4.

The reply to the first is long (Open vSwitch describes 254 tables in 300 kB), and all we want of it
are two numbers of each table. So it is read here rather than by the framework's parser.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from chamaleonet.switch import encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

TABLE, TABLE_FEATURES = 3, 12  # OFPMP_
_HEADER = 16  # of a multipart message
_EVERY = 10 * 10**9  # ns between two questions for the rules in the tables
_feature = struct.Struct("!HB5x32xQQII")  # length, table, name, metadata (2), config, max_entries
_statistic = struct.Struct("!B3xIQQ")  # table, active, looked up, matched


class Capacity:
    """Asks one switch about some of its tables.

    It sends nothing itself: ``connect`` and ``ask`` return bytes for the connection.

    Args:
        tables: the numbers of the tables that concern us.

    Attributes:
        most: what a table can hold, by its number, as far as the switch has said.
        active: what it holds.
    """

    def __init__(self, tables: Iterable[int]) -> None:
        self._tables = frozenset(tables)
        self.most: dict[int, int] = {}
        self.active: dict[int, int] = {}
        self._next_xid: Callable[[], int] | None = None
        self._features_asked = self._statistics_asked = -1  # xid
        self._next_question = 0

    def connect(self, next_xid: Callable[[], int]) -> bytes:
        """Begin with a new connection; return the question to send.

        Args:
            next_xid: returns a transaction id that nobody else uses on this connection.
        """
        self._next_xid = next_xid
        self.most.clear()
        self.active.clear()
        self._features_asked, self._statistics_asked = next_xid(), -1
        return encode.multipart(TABLE_FEATURES, b"", self._features_asked)

    def disconnect(self) -> None:
        """Take note that the connection is gone."""
        self._next_xid = None

    def ask(self, now: int) -> bytes:
        """Return the question for the rules in the tables, if it is time."""
        if self._next_xid is None or now < self._next_question:
            return b""
        self._next_question = now + _EVERY
        self._statistics_asked = self._next_xid()
        return encode.multipart(TABLE, b"", self._statistics_asked)

    def asks(self, xid: int) -> bool:
        """Tell whether a question with this transaction id was the last one of its kind."""
        return self._next_xid is not None and xid in (self._features_asked, self._statistics_asked)

    def on_answer(self, xid: int, message: bytes) -> None:
        """Take a part of the answer to a question of ours.

        Args:
            xid: of the message.
            message: an OFPT_MULTIPART_REPLY, header included.
        """
        if xid == self._features_asked:
            self.most |= self._of_our_tables(_features(message))
        else:
            self.active |= self._of_our_tables(_statistics(message))

    def _of_our_tables(self, values: Iterator[tuple[int, int]]) -> dict[int, int]:
        return {table: value for table, value in values if table in self._tables}


def _features(message: bytes) -> Iterator[tuple[int, int]]:
    """Yield (table, max_entries); stop where the message is not as specified."""
    at = _HEADER
    while at + _feature.size <= len(message):
        length, table, *_, entries = _feature.unpack_from(message, at)
        if length < _feature.size:
            return
        yield table, entries
        at += length


def _statistics(message: bytes) -> Iterator[tuple[int, int]]:
    for at in range(_HEADER, len(message) - _statistic.size + 1, _statistic.size):
        table, active, _, _ = _statistic.unpack_from(message, at)
        yield table, active
