"""The rules of one switch: which are wanted, sent, confirmed, failed.

Changes wait until the next flush, which sends them as one batch that ends with a barrier. A
barrier's reply confirms its batch, but for the rules that an error message named before. Few
batches are under way at a time, so a slow switch makes batches larger, never a queue longer.

What an earlier connection or process left is told by the generation in its cookies. On connection
we ask which generations are in use, take a free one, add all that is wanted (which replaces
identical rules in place, without a gap), and then delete all other generations.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING

from chamaleonet.switch import encode
from chamaleonet.switch.pipeline import Change
from chamaleonet.switch.rules import COOKIE_PREFIX, GENERATION_MASK, GENERATIONS, Kind, Match, Rule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_MOST_UNDER_WAY = 4  # batches
_MOST_CHANGES = 1000  # in a batch


class RuleState(Enum):
    """How far a wanted rule has come."""

    WAITING = auto()
    SENT = auto()
    CONFIRMED = auto()
    FAILED = auto()


class Phase(Enum):
    """How far a connection has come."""

    DISCONNECTED = auto()
    ASKING = auto()  # which generations are in use
    INSTALLING = auto()  # what is wanted
    CLEANING = auto()  # deleting the other generations
    READY = auto()


@dataclass(slots=True)
class _Entry:
    rule: Rule
    state: RuleState = RuleState.WAITING


@dataclass(slots=True)
class _Connection:
    """What is known of the present connection only."""

    next_xid: Callable[[], int]
    phase: Phase = Phase.ASKING
    generation: int = 0
    questions: dict[int, int] = field(default_factory=dict)  # xid -> generation asked for
    rules_in: dict[int, int] = field(default_factory=dict)  # generation -> rules in the switch
    pending: dict[tuple[int, int, Match], Change] = field(default_factory=dict)
    batches: dict[int, dict[int, Change]] = field(default_factory=dict)  # barrier -> flow-mods


class Rulebook:
    """Keeps one switch's rules as they are wanted.

    It sends nothing itself: ``connect`` and ``flush`` return bytes for the connection.

    Args:
        static: the rules that are always wanted.
    """

    def __init__(self, static: Iterable[Rule]) -> None:
        self._wanted = {rule.place: _Entry(rule) for rule in static}
        self._connection: _Connection | None = None

    def __len__(self) -> int:
        return len(self._wanted)

    def __iter__(self) -> Iterator[tuple[Rule, RuleState]]:
        return ((entry.rule, entry.state) for entry in self._wanted.values())

    @property
    def phase(self) -> Phase:
        """How far the connection has come."""
        return Phase.DISCONNECTED if self._connection is None else self._connection.phase

    @property
    def generation(self) -> int:
        """The generation of this connection's rules; 0 until it is chosen."""
        return 0 if self._connection is None else self._connection.generation

    def connect(self, next_xid: Callable[[], int]) -> bytes:
        """Begin with a new connection; return the questions to send.

        Args:
            next_xid: returns a transaction id that nobody else uses on this connection.
        """
        connection = self._connection = _Connection(next_xid)
        connection.questions = {next_xid(): generation for generation in range(GENERATIONS)}
        return b"".join(
            encode.count_by_cookie(_generation_bits(generation), GENERATION_MASK, xid)
            for xid, generation in connection.questions.items()
        )

    def disconnect(self) -> None:
        """Take note that the connection is gone, and with it whatever was under way."""
        self._connection = None
        for entry in self._wanted.values():
            entry.state = RuleState.WAITING

    def on_count(self, xid: int, rules: int) -> None:
        """Take the answer to one of ``connect``'s questions; unknown ones are ignored."""
        connection = self._connection
        if connection is None or xid not in connection.questions:
            return
        connection.rules_in[connection.questions.pop(xid)] = rules
        if not connection.questions:
            connection.generation = min(connection.rules_in, key=connection.rules_in.__getitem__)
            connection.phase = Phase.INSTALLING
            connection.pending = {
                place: Change(entry.rule) for place, entry in self._wanted.items()
            }

    def apply(self, changes: Iterable[Change]) -> None:
        """Want what is to be added, and no longer what is to be deleted."""
        for change in changes:
            place = change.rule.place
            if change.add:
                self._wanted[place] = _Entry(change.rule)
            else:
                self._wanted.pop(place, None)
            if self._connection is not None:
                self._connection.pending[place] = change

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
        match connection.phase:
            case Phase.ASKING:
                return b""
            case Phase.INSTALLING if not connection.pending and not connection.batches:
                connection.phase = Phase.CLEANING
                return self._clean(connection)
            case Phase.CLEANING if not connection.batches:
                connection.phase = Phase.READY
        return self._batch(connection) if connection.pending else b""

    def _batch(self, connection: _Connection) -> bytes:
        places = list(connection.pending)[:_MOST_CHANGES]
        under_way: dict[int, Change] = {}
        messages = []
        for place in places:
            change = connection.pending.pop(place)
            xid = connection.next_xid()
            under_way[xid] = change
            write = encode.add if change.add else encode.delete
            messages.append(write(change.rule, connection.generation, xid))
            if change.add and place in self._wanted:
                self._wanted[place].state = RuleState.SENT
        return b"".join(messages) + self._barrier(connection, under_way)

    def _clean(self, connection: _Connection) -> bytes:
        others = (g for g in range(GENERATIONS) if g != connection.generation)
        messages = [
            encode.delete_by_cookie(_generation_bits(g), GENERATION_MASK, connection.next_xid())
            for g in others
        ]
        return b"".join(messages) + self._barrier(connection, {})

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
        for under_way in self._connection.batches.values() if self._connection else ():
            change = under_way.pop(xid, None)
            if change is not None:
                entry = self._wanted.get(change.rule.place)
                if change.add and entry is not None and entry.rule is change.rule:
                    entry.state = RuleState.FAILED
                    if change.rule.cookie.kind is not Kind.STATIC:
                        del self._wanted[change.rule.place]
                return change
        return None


def _generation_bits(generation: int) -> int:
    return COOKIE_PREFIX | generation << 44
