"""Who has erroneous flows: counted from the verdict stream, within bounded memory."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from chamaleonet.flows.records import FLOW
from chamaleonet.flows.transitions import CAPTURABLE
from chamaleonet.log.columns import protocol_name
from chamaleonet.log.events.rows import rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from chamaleonet.log.events.rows import Row
    from chamaleonet.log.stream.position import Position
    from chamaleonet.log.stream.reader import Message

KEEP = 20_000  # flows, and rows of each table, that are remembered unless told otherwise

_NO_FLOWS = np.empty(0, FLOW)
_STEP = 5 * 10**9  # ns
_STEPS = 12
_HISTORY = 8  # verdicts of one flow
_ERRONEOUS = {state.label for state in CAPTURABLE}


def service(row: Row) -> str:
    """Return a flow's protocol and server port, as the report writes them."""
    name = protocol_name(row.protocol)
    return name if row.server_port is None else f"{name}/{row.server_port}"


# By what flows are counted.
TABLES: dict[str, Callable[[Row], str]] = {
    "hosts": lambda row: row.client,
    "servers": lambda row: row.server,
    "ports": service,
    "verdicts": lambda row: row.verdict,
}


class Minute:
    """How often something happened in the last minute, to within five seconds."""

    __slots__ = ("_counts", "_step")

    def __init__(self) -> None:
        self._counts = [0] * _STEPS
        self._step = 0  # the newest of the steps that are counted

    def add(self, now: int) -> None:
        """Count one more."""
        self._pass(now)
        self._counts[self._step % _STEPS] += 1

    def count(self, now: int) -> int:
        """Return how many there were."""
        self._pass(now)
        return sum(self._counts)

    def _pass(self, now: int) -> None:
        step = now // _STEP
        for passed in range(max(self._step + 1, step - _STEPS + 1), step + 1):
            self._counts[passed % _STEPS] = 0
        self._step = max(self._step, step)

    def copy(self) -> Minute:
        """Return one that counts on by itself."""
        other = Minute()
        other._counts, other._step = self._counts.copy(), self._step
        return other


@dataclass(slots=True, eq=False)
class Count:
    """The erroneous flows that have something in common: a row of a table.

    Attributes:
        name: what they have in common.
        live: those that are erroneous now, and remembered.
        total: all that became erroneous, or were when the connection began.
        recovered: those of them that were answered after all.
        last: when the newest change was told, ns since 1970.
        minute: those that became erroneous in the last minute.
    """

    name: str
    live: int = 0
    total: int = 0
    recovered: int = 0
    last: int = 0
    minute: Minute = field(default_factory=Minute)


@dataclass(slots=True)
class Known:
    """A flow that is, or was, erroneous.

    Attributes:
        row: the flow, as it was told last.
        live: it is erroneous and has not ended.
        state: what is to be said of it besides its verdict: "", "ended", or "gone" where the
            controller no longer knows it.
        history: (when, ns since 1970; verdict), the oldest first, a few.
        counts: what it was counted in last: all, and one row of each table.
        connection: the last one that told of it.
    """

    row: Row
    live: bool = False
    state: str = ""
    history: tuple[tuple[int, str], ...] = ()
    counts: list[Count] = field(default_factory=list)
    connection: int = 0


class Model:
    """What the stream told, added up.

    Args:
        keep: flows, and rows of each table, that are remembered. Those that were silent longest
            go first: a flow that goes is no longer among the live ones.

    Attributes:
        flows: the flows by key, the one told of last comes last.
        tables: the rows of each of TABLES by name, in the same order.
        all: every flow.
        missed: records that the controller dropped because we were too slow.
        forgotten: flows and rows that had to go.
        current: the controller has told what is erroneous, and nothing but news follows.
    """

    def __init__(self, keep: int = KEEP) -> None:
        self.keep = keep
        self.flows: OrderedDict[bytes, Known] = OrderedDict()
        self.tables: dict[str, OrderedDict[str, Count]] = {name: OrderedDict() for name in TABLES}
        self.all = Count("all")
        self.missed = 0
        self.forgotten = 0
        self.current = False
        self._connection = 0
        self._position: Position | None = None

    def copy(self) -> Model:
        """Return a model that stays as this one is now."""
        other = Model(self.keep)
        other.flows = OrderedDict((key, replace(known)) for key, known in self.flows.items())
        other.tables = {
            name: OrderedDict((key, _copy(count)) for key, count in table.items())
            for name, table in self.tables.items()
        }
        other.all = _copy(self.all)
        other.missed, other.forgotten, other.current = self.missed, self.forgotten, self.current
        return other

    def feed(self, messages: Iterable[Message], now: int) -> None:
        """Take messages in the order in which they came; ``now`` is ns since 1970."""
        messages = list(messages)
        flows = [message.flow for message in messages if len(message.flow)]
        told = iter(rows(np.concatenate([_NO_FLOWS, *flows])))  # they are made many at a time
        for message in messages:
            self._count_missed(message)
            if message.kind == "hello":
                self._connection += 1
                self.current = False
            elif message.kind == "current":
                self.current = True
                self._forget_untold()
            elif len(message.flow):
                self._take(message.kind, next(told), now)

    def _count_missed(self, message: Message) -> None:
        before, self._position = self._position, message.position or self._position
        if message.kind == "hello":
            self._position = None
        elif message.position and before and before.run == message.position.run:
            self.missed += max(message.position.seq - before.seq - 1, 0)

    def _forget_untold(self) -> None:
        """Flows that a new connection does not tell of are erroneous no longer, or not known."""
        for known in self.flows.values():
            if known.live and known.connection != self._connection:
                _end(known, "gone")

    def _take(self, kind: str, row: Row, now: int) -> None:
        erroneous = row.verdict in _ERRONEOUS
        known = self.flows.get(row.key)
        if known is None:
            if kind == "flow" or not erroneous:
                return  # the end of what was forgotten
            known = self.flows[row.key] = Known(row)
        self.flows.move_to_end(row.key)
        known.row = row
        known.connection = self._connection
        if not known.history or known.history[-1][1] != row.verdict:
            known.history = (*known.history, (row.judged, row.verdict))[-_HISTORY:]
        if kind == "flow":
            _end(known, "ended")
        elif erroneous:
            self._enter(known, now, fresh=kind == "verdict")
        elif known.live:
            _end(known, "")
            for count in known.counts:
                count.recovered += 1
        self._touch(known, now)
        self._forget()

    def _enter(self, known: Known, now: int, *, fresh: bool) -> None:
        """Count a flow that became erroneous, or is so by another verdict."""
        before, known.counts = known.counts, [self.all]
        for name, key in TABLES.items():
            text = key(known.row)
            known.counts.append(self.tables[name].setdefault(text, Count(text)))
        if known.live:
            for count in before:
                count.live -= 1
        for count in known.counts:
            count.live += 1
            if count not in before:
                count.total += 1
                if fresh:
                    count.minute.add(now)
        known.live, known.state = True, ""

    def _touch(self, known: Known, now: int) -> None:
        for count in known.counts:
            count.last = now
        for table, count in zip(self.tables.values(), known.counts[1:], strict=True):
            if table.get(count.name) is count:
                table.move_to_end(count.name)

    def _forget(self) -> None:
        """Let go what was silent longest, where there is too much."""
        while len(self.flows) > self.keep:
            _end(self.flows.popitem(last=False)[1], "gone")
            self.forgotten += 1
        for table in self.tables.values():
            while len(table) > self.keep:
                table.popitem(last=False)
                self.forgotten += 1


def _end(known: Known, state: str) -> None:
    known.state = state
    if known.live:
        known.live = False
        for count in known.counts:
            count.live -= 1


def _copy(count: Count) -> Count:
    return replace(count, minute=count.minute.copy())
