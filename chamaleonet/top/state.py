"""What is looked at and how, and what keys do to it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from chamaleonet.top import columns
from chamaleonet.top.findings import findings
from chamaleonet.top.model import TABLES

if TYPE_CHECKING:
    from chamaleonet.top.columns import Column
    from chamaleonet.top.findings import LiveFinding
    from chamaleonet.top.model import Known, Model

TABS = (*TABLES, "flows", "findings")
_PAGE = 10  # items


@dataclass(frozen=True)
class Level:
    """One list, or one flow, and how it is looked at.

    Attributes:
        what: one of TABS, or ``flow``.
        of: what its items have in common: (table, name) or keys of flows; of a flow its key.
        title: where this is, in words.
        sort: which column; reverse turns the column's own order round.
        filter: what items must contain.
        chosen: the key of the item chosen; None: the first.
    """

    what: str
    of: tuple[str, str] | frozenset[bytes] | bytes | None = None
    title: str = ""
    sort: int = 1
    reverse: bool = False
    filter: str = ""
    chosen: Any = None


def _tabs() -> tuple[Level, ...]:
    first = {"flows": 4, "findings": 3}  # the column that a list is sorted by at first
    return tuple(Level(name, sort=first.get(name, 1)) for name in TABS)


@dataclass(frozen=True)
class State:
    """All that keys can change.

    Attributes:
        tab: which of the tabs.
        tabs: the lists, one for each of TABS.
        below: where one has looked into things, the innermost last.
        typing: letters go to the filter; what it was before.
        paused: the model that is shown stands still.
        help: the keys are explained.
        ended: it was quit.
    """

    tab: int = 0
    tabs: tuple[Level, ...] = _tabs()
    below: tuple[Level, ...] = ()
    typing: str | None = None
    paused: bool = False
    help: bool = False
    ended: bool = False

    @property
    def level(self) -> Level:
        """What is looked at."""
        return self.below[-1] if self.below else self.tabs[self.tab]

    def at(self, **changes: Any) -> State:
        """Return the state with changes to what is looked at."""
        changed = replace(self.level, **changes)
        if self.below:
            return replace(self, below=(*self.below[:-1], changed))
        tabs = (*self.tabs[: self.tab], changed, *self.tabs[self.tab + 1 :])
        return replace(self, tabs=tabs)


class Item(NamedTuple):
    """An item of a list: what names it, and the thing itself."""

    key: Any
    thing: Any


def columns_of(level: Level) -> tuple[Column, ...]:
    """Return the columns of a list."""
    if level.what == "flows":
        return columns.FLOWS
    return columns.FINDINGS if level.what == "findings" else columns.COUNTS


def items(model: Model, level: Level, now: int) -> list[Item]:
    """Return the items of a list, filtered and sorted."""
    shown = columns_of(level)
    found = _things(model, level)
    names = [column for column in shown if not column.number]
    if wanted := level.filter.lower():
        found = [
            item
            for item in found
            if any(wanted in column.shown(item.thing, now).lower() for column in names)
        ]
    first, by = names[0], shown[level.sort]
    # What is equal is in the order of names, whichever way the rest is sorted.
    found.sort(key=lambda item: first.value(item.thing, now))
    if by is not first or level.reverse:
        found.sort(key=lambda item: by.value(item.thing, now), reverse=by.number != level.reverse)
    return found


def _things(model: Model, level: Level) -> list[Item]:
    if level.what == "findings":
        return [Item(columns.finding_key(each), each) for each in findings(model.flows.values())]
    if level.what == "flows":
        return [Item(key, known) for key, known in model.flows.items() if _belongs(known, level.of)]
    return [Item(name, count) for name, count in model.tables[level.what].items()]


def _belongs(known: Known, of: Any) -> bool:
    if of is None:
        return True
    if isinstance(of, frozenset):
        return known.row.key in of
    table, name = of
    return bool(TABLES[table](known.row) == name)


# Keys.


def press(state: State, key: str, model: Model, now: int) -> State:
    """Return what a key, as ``Keys`` names it, makes of the state."""
    if key == "quit":
        return replace(state, ended=True)
    if state.typing is not None:
        return _type(state, key)
    if state.help:
        return replace(state, help=False)
    if key in ("tab", "right", "back-tab", "left"):
        step = 1 if key in ("tab", "right") else -1
        return replace(state, tab=(state.tab + step) % len(TABS), below=())
    if key in _MOVES:
        return _move(state, _MOVES[key], model, now)
    match key:
        case "q":
            return replace(state, ended=True)
        case "p" | " ":
            return replace(state, paused=not state.paused)
        case "h" | "?":
            return replace(state, help=True)
        case "escape" | "backspace":
            return replace(state, below=state.below[:-1]) if state.below else state.at(filter="")
        case "enter":
            return _enter(state, model, now)
    if key.isdigit() and 0 < int(key) <= len(TABS):
        return replace(state, tab=int(key) - 1, below=())
    if state.level.what == "flow":
        return state
    match key:
        case "s":
            count = len(columns_of(state.level))
            return state.at(sort=(state.level.sort + 1) % count, reverse=False)
        case "r":
            return state.at(reverse=not state.level.reverse)
        case "/":
            return replace(state, typing=state.level.filter)
    return state


_MOVES = {
    "up": -1, "k": -1, "down": 1, "j": 1, "page-up": -_PAGE, "page-down": _PAGE,
    "home": -(1 << 30), "end": 1 << 30,
}  # fmt: skip


def _type(state: State, key: str) -> State:
    before, text = state.typing or "", state.level.filter
    match key:
        case "enter":
            return replace(state, typing=None)
        case "escape":
            return replace(state, typing=None).at(filter=before)
        case "backspace":
            return state.at(filter=text[:-1])
        case "clear":
            return state.at(filter="")
    return state.at(filter=text + key) if len(key) == 1 and key.isprintable() else state


def index_of(found: list[Item], level: Level) -> int:
    """Return which item is chosen."""
    return next((i for i, item in enumerate(found) if item.key == level.chosen), 0)


def _move(state: State, step: int, model: Model, now: int) -> State:
    if state.level.what == "flow":
        return state
    found = items(model, state.level, now)
    if not found:
        return state
    index = min(max(index_of(found, state.level) + step, 0), len(found) - 1)
    return state.at(chosen=found[index].key)


def _enter(state: State, model: Model, now: int) -> State:
    level = state.level
    found = [] if level.what == "flow" else items(model, level, now)
    if not found:
        return state
    item = found[index_of(found, level)]
    if level.what == "flows":
        below = Level("flow", item.key, title="one flow")
    elif level.what == "findings":
        finding: LiveFinding = item.thing
        below = Level(
            "flows", frozenset(finding.flows), f"{finding.kind} {finding.subject}", sort=4
        )
    else:
        below = Level("flows", (level.what, item.key), item.key, sort=4)
    return replace(state.at(chosen=item.key), below=(*state.below, below))
