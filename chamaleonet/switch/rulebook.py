"""The rules of one switch: which are wanted, sent, confirmed, failed.

Changes wait until the next flush, which sends them as one batch that ends with a barrier. A
barrier's reply confirms its batch, but for the rules that an error message named before. Few
batches are under way at a time, so a slow switch makes batches larger, never a queue longer.

On connection we ask which rules the switch has of ours, which an earlier connection, process or
controller left, and reconcile. What is still wanted as it is stays untouched, its counters and idle
timer too; what serves flows that are gone is deleted, what is missing is added, and then the rest
is deleted. Whatever does not bear our cookies is not even looked at.

A rule that stays keeps its cookie, so the same cookie must not come to mean another rule: this
process's rules bear a generation that no rule in the switch had when it first connected.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING, NamedTuple

from chamaleonet.switch import dump, encode
from chamaleonet.switch.pipeline import Change
from chamaleonet.switch.rules import (
    COOKIE_PREFIX,
    COOKIE_PREFIX_MASK,
    GENERATIONS,
    Cookie,
    Kind,
    Match,
    Rule,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_MOST_UNDER_WAY = 4  # batches
_MOST_CHANGES = 1000  # in a batch
_MOST_FOUND = 1_000_000  # rules in an answer


class RuleState(Enum):
    """How far a wanted rule has come."""

    WAITING = auto()
    SENT = auto()
    CONFIRMED = auto()
    FAILED = auto()


class Phase(Enum):
    """How far a connection has come."""

    DISCONNECTED = auto()
    ASKING = auto()  # which rules there are
    INSTALLING = auto()  # what is wanted
    CLEANING = auto()  # deleting what is not
    READY = auto()


class Reconciled(NamedTuple):
    """What came of a question, in rules.

    Attributes:
        kept: those that were as wanted.
        added: those that were not, or were not there.
        deleted: those that nobody wants.
    """

    kept: int = 0
    added: int = 0
    deleted: int = 0


@dataclass(slots=True)
class _Entry:
    rule: Rule
    state: RuleState = RuleState.WAITING


@dataclass(slots=True)
class _Connection:
    """What is known of the present connection only."""

    next_xid: Callable[[], int]
    question: int
    phase: Phase = Phase.ASKING
    found: list[dump.Found] = field(default_factory=list)
    # What the switch has by our knowledge, where its cookie is not ours by now.
    cookies: dict[tuple[int, int, Match], int] = field(default_factory=dict)
    adopted: dict[int, Cookie] = field(default_factory=dict)  # what these cookies mean to us
    first: list[bytes] = field(default_factory=list)  # deletions before anything is added
    last: list[bytes] = field(default_factory=list)  # and after everything is
    pending: dict[tuple[int, int, Match], Change] = field(default_factory=dict)
    batches: dict[int, dict[int, Change]] = field(default_factory=dict)  # barrier -> flow-mods


class Rulebook:
    """Keeps one switch's rules as they are wanted.

    It sends nothing itself: ``connect`` and ``flush`` return bytes for the connection.

    Args:
        static: the rules that are always wanted.

    Attributes:
        reconciled: what came of the latest question.
    """

    def __init__(self, static: Iterable[Rule]) -> None:
        self.reconciled = Reconciled()
        self._wanted = {rule.place: _Entry(rule) for rule in static}
        self._connection: _Connection | None = None
        self._generation: int | None = None

    def __len__(self) -> int:
        return len(self._wanted)

    def __iter__(self) -> Iterator[tuple[Rule, RuleState]]:
        return ((entry.rule, entry.state) for entry in self._wanted.values())

    @property
    def phase(self) -> Phase:
        """How far the connection has come."""
        return Phase.DISCONNECTED if self._connection is None else self._connection.phase

    @property
    def is_quiet(self) -> bool:
        """Whether the switch has confirmed all that is wanted."""
        connection = self._connection
        return (
            connection is not None
            and connection.phase is Phase.READY
            and not (connection.pending or connection.batches)
        )

    @property
    def generation(self) -> int:
        """The generation of the rules that this process adds; 0 until it is chosen."""
        return self._generation or 0

    def connect(self, next_xid: Callable[[], int]) -> bytes:
        """Begin with a new connection; return the question to send.

        Args:
            next_xid: returns a transaction id that nobody else uses on this connection.
        """
        self.disconnect()
        question = next_xid()
        self._connection = _Connection(next_xid, question)
        return dump.request(COOKIE_PREFIX, COOKIE_PREFIX_MASK, question)

    def disconnect(self) -> None:
        """Take note that the connection is gone, and with it whatever was under way."""
        self._connection = None
        for entry in self._wanted.values():
            entry.state = RuleState.WAITING

    def asks(self, xid: int) -> bool:
        """Tell whether ``connect``'s question with this transaction id waits for its answer."""
        connection = self._connection
        return (
            connection is not None
            and connection.phase is Phase.ASKING
            and connection.question == xid
        )

    def on_dump(self, xid: int, message: bytes) -> None:
        """Take a part of the answer to ``connect``'s question.

        An answer that cannot be read is as good as none: then all rules of ours are deleted and
        the wanted ones added.

        Args:
            xid: of the message; an answer to somebody else's question is ignored.
            message: an OFPT_MULTIPART_REPLY with flow entries, header included.
        """
        connection = self._connection
        if connection is None or not self.asks(xid):
            return
        try:
            rules, more = dump.parse(message)
        except dump.DumpError:
            self._start_afresh(connection)
            return
        connection.found += rules
        if len(connection.found) > _MOST_FOUND:
            self._start_afresh(connection)
        elif not more:
            self._reconcile(connection)

    def _start_afresh(self, connection: _Connection) -> None:
        connection.found.clear()
        self._reconcile(connection)
        xid = connection.next_xid()
        connection.first = [encode.delete_by_cookie(COOKIE_PREFIX, COOKIE_PREFIX_MASK, xid)]

    def _reconcile(self, connection: _Connection) -> None:
        """Find out what is to be kept, added and deleted."""
        found = {each.place: each for each in connection.found if Cookie.of(each.cookie)}
        connection.found = []
        if self._generation is None:
            uses = [0] * GENERATIONS
            for each in found.values():
                uses[each.cookie >> 44 & 15] += 1
            self._generation = min(range(GENERATIONS), key=uses.__getitem__)
        kept = 0
        for place, entry in self._wanted.items():
            wanted = dump.sent(encode.add(entry.rule, self._generation, 0))
            has = found.pop(wanted.place, None)
            if has is not None and has.does == wanted.does and self._adopt(connection, entry, has):
                entry.state = RuleState.CONFIRMED
                kept += 1
            else:
                connection.pending[place] = Change(entry.rule)
        for each in found.values():
            is_static = Kind(each.cookie >> 40 & 15) is Kind.STATIC
            # The packets that a static rule serves wait for the one that follows it.
            deletions = connection.last if is_static else connection.first
            deletions.append(dump.delete(each, connection.next_xid()))
        self.reconciled = Reconciled(kept, len(connection.pending), len(found))
        connection.phase = Phase.INSTALLING

    def _adopt(self, connection: _Connection, entry: _Entry, found: dump.Found) -> bool:
        """Let a rule stay under the cookie that it has; tell whether that is possible."""
        own = entry.rule.cookie
        if found.cookie == own.at(self.generation):
            return True
        if found.cookie >> 40 & 15 != own.kind:
            return False
        if own.kind is not Kind.STATIC:  # the static ones' cookies mean all of them
            if found.cookie >> 44 & 15 == self._generation:
                return False  # another rule of ours has that cookie, or will have
            if connection.adopted.setdefault(found.cookie, own) != own:
                return False
        connection.cookies[entry.rule.place] = found.cookie
        return True

    def apply(self, changes: Iterable[Change]) -> None:
        """Want what is to be added, and no longer what is to be deleted."""
        for change in changes:
            place = change.rule.place
            if change.add:
                self._wanted[place] = _Entry(change.rule)
            else:
                self._wanted.pop(place, None)
            if self._connection is not None and self._connection.phase != Phase.ASKING:
                self._connection.pending[place] = change

    def cookie_of(self, bits: int) -> Cookie | None:
        """Return what a cookie in the switch means now, or None if that is no rule of ours."""
        if self._connection is not None and bits in self._connection.adopted:
            return self._connection.adopted[bits]
        cookie = Cookie.of(bits)
        return cookie if cookie is not None and bits == cookie.at(self.generation) else None

    def expired(self, rule: Rule) -> None:
        """Take note that the switch removed a rule by itself."""
        entry = self._wanted.get(rule.place)
        if entry is not None and entry.rule.cookie == rule.cookie:
            del self._wanted[rule.place]

    def flush(self) -> bytes:
        """Return the next batch to send, or nothing."""
        connection = self._connection
        if connection is None or len(connection.batches) >= _MOST_UNDER_WAY:
            return b""
        if connection.first:
            return self._deletions(connection, connection.first)
        match connection.phase:
            case Phase.ASKING:
                return b""
            case Phase.INSTALLING if not connection.pending and not connection.batches:
                connection.phase = Phase.CLEANING
                return self._deletions(connection, connection.last)
            case Phase.CLEANING if connection.last:
                return self._deletions(connection, connection.last)
            case Phase.CLEANING if not connection.batches:
                connection.phase = Phase.READY
        return self._batch(connection) if connection.pending else b""

    def _deletions(self, connection: _Connection, deletions: list[bytes]) -> bytes:
        batch = b"".join(deletions[:_MOST_CHANGES])
        del deletions[:_MOST_CHANGES]
        return batch + self._barrier(connection, {})

    def _batch(self, connection: _Connection) -> bytes:
        places = list(connection.pending)[:_MOST_CHANGES]
        under_way: dict[int, Change] = {}
        messages = []
        for place in places:
            change = connection.pending.pop(place)
            xid = connection.next_xid()
            under_way[xid] = change
            kept_as = connection.cookies.pop(place, None)
            if change.add:
                messages.append(encode.add(change.rule, self.generation, xid))
                if place in self._wanted:
                    self._wanted[place].state = RuleState.SENT
            else:
                bits = change.rule.cookie.at(self.generation) if kept_as is None else kept_as
                messages.append(encode.delete(change.rule, bits, xid))
        return b"".join(messages) + self._barrier(connection, under_way)

    def _barrier(self, connection: _Connection, under_way: dict[int, Change]) -> bytes:
        xid = connection.next_xid()
        connection.batches[xid] = under_way
        return encode.barrier(xid)

    def on_barrier(self, xid: int) -> list[Change]:
        """Take a barrier's reply; return the changes that it confirms."""
        if self._connection is None:
            return []
        confirmed = list(self._connection.batches.pop(xid, {}).values())
        for change in confirmed:
            entry = self._wanted.get(change.rule.place)
            if change.add and entry is not None and entry.rule is change.rule:
                entry.state = RuleState.CONFIRMED
        return confirmed

    def on_error(self, xid: int) -> Change | None:
        """Take an error message; return the change that it refuses, if it is ours.

        A static rule stays wanted and is tried again on the next connection; what else would make
        it succeed is in the operator's hands. Any other rule is forgotten.
        """
        connection = self._connection
        if connection is None:
            return None
        if self.asks(xid):
            self._start_afresh(connection)
            return None
        for under_way in connection.batches.values():
            change = under_way.pop(xid, None)
            if change is not None:
                entry = self._wanted.get(change.rule.place)
                if change.add and entry is not None and entry.rule is change.rule:
                    entry.state = RuleState.FAILED
                    if change.rule.cookie.kind is not Kind.STATIC:
                        del self._wanted[change.rule.place]
                return change
        return None
