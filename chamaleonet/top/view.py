"""What the screen shows, and what keys do to it: a model and a state go in, lines come out.

It is written in plain ASCII, and nothing is told by colour: what is chosen is reversed *and* marked
by a sign, so it is seen on any terminal and by anybody.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.text import Text

from chamaleonet.log.events.rows import rfc3339
from chamaleonet.top import columns
from chamaleonet.top.findings import findings
from chamaleonet.top.model import TABLES

if TYPE_CHECKING:
    from chamaleonet.top.columns import Column
    from chamaleonet.top.findings import LiveFinding
    from chamaleonet.top.model import Known, Model

TABS = (*TABLES, "flows", "findings")
SMALLEST = (20, 8)  # columns and lines; less shows a part of that
_HEADER, _FOOTER = 3, 1  # lines
_PAGE = 10  # items

KEYS = (
    ("Tab, left, right, 1-6", "another list"),
    ("up, down, j, k", "choose; PgUp, PgDn, Home, End too"),
    ("Enter", "look into what is chosen: its flows, then one flow"),
    ("Esc, Backspace", "back"),
    ("s, r", "sort by the next column; the other way round"),
    ("/", "show only what contains a text; Enter keeps it, Esc not"),
    ("p, Space", "pause: what is shown stays, the stream is followed"),
    ("h, ?", "explain the keys and the columns"),
    ("^L", "draw again"),
    ("q", "quit"),
)
MEANINGS = (
    ("now", "erroneous flows that are not answered and have not ended"),
    ("minute", "those that became erroneous in the last 60 seconds"),
    ("total", "all since this began, with those that were erroneous then"),
    ("recovered", "those answered after all"),
    ("last", "when there was news of one"),
)
HELP = tuple(f"{what:<23} {meaning}".rstrip() for what, meaning in (*KEYS, ("", ""), *MEANINGS))


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
    """An item of a list: what names it, the thing itself and its text by column."""

    key: Any
    thing: Any
    cells: tuple[str, ...]


def columns_of(level: Level) -> tuple[Column, ...]:
    """Return the columns of a list."""
    if level.what == "flows":
        return columns.FLOWS
    return columns.FINDINGS if level.what == "findings" else columns.COUNTS


def items(model: Model, level: Level, now: int) -> list[Item]:
    """Return the items of a list, filtered and sorted."""
    shown = columns_of(level)
    found = [
        Item(key, thing, tuple(column.shown(thing, now) for column in shown))
        for key, thing in _things(model, level)
    ]
    if wanted := level.filter.lower():
        found = [item for item in found if wanted in " ".join(item.cells).lower()]
    names = [column for column in shown if not column.number]
    found.sort(key=lambda item: [column.value(item.thing, now) for column in names])
    by = shown[level.sort]
    found.sort(key=lambda item: by.value(item.thing, now), reverse=by.number != level.reverse)
    return found


def _things(model: Model, level: Level) -> list[tuple[Any, Any]]:
    if level.what == "findings":
        return [(columns.finding_key(each), each) for each in findings(model.flows.values())]
    if level.what == "flows":
        return [(key, known) for key, known in model.flows.items() if _belongs(known, level.of)]
    return list(model.tables[level.what].items())


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


def _index(found: list[Item], level: Level) -> int:
    return next((i for i, item in enumerate(found) if item.key == level.chosen), 0)


def _move(state: State, step: int, model: Model, now: int) -> State:
    if state.level.what == "flow":
        return state
    found = items(model, state.level, now)
    if not found:
        return state
    index = min(max(_index(found, state.level) + step, 0), len(found) - 1)
    return state.at(chosen=found[index].key)


def _enter(state: State, model: Model, now: int) -> State:
    level = state.level
    found = [] if level.what == "flow" else items(model, level, now)
    if not found:
        return state
    item = found[_index(found, level)]
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


# The screen.


def render(
    model: Model, state: State, now: int, size: tuple[int, int], *, source: str, status: str
) -> list[Text]:
    """Return the screen: as many lines as it has, none longer than it is wide.

    Args:
        model: what is known.
        state: how it is looked at.
        now: ns since 1970.
        size: columns and lines of the terminal.
        source: where the stream is.
        status: what is to be said about the connection.
    """
    width, height = max(size[0], SMALLEST[0]), max(size[1], SMALLEST[1])
    room = height - _HEADER - _FOOTER
    body = _body(model, state, now, width, room)[:room]
    lines = [*_header(model, state, now, source, status), *body]
    lines += [Text()] * (height - _FOOTER - len(lines))
    lines.append(_footer(state))
    for line in lines:
        line.no_wrap = True
        line.truncate(size[0])
    return lines[: size[1]]


def _header(model: Model, state: State, now: int, source: str, status: str) -> list[Text]:
    every = model.all
    counts = f"now {every.live}   minute {every.minute.count(now)}   total {every.total}"
    counts += f"   recovered {every.recovered}"
    if model.missed:
        counts += f"   missed {model.missed}"
    if model.forgotten:
        counts += f"   forgotten {model.forgotten}"
    tabs = Text()
    for i, name in enumerate(TABS):
        if i == state.tab:
            tabs.append(f"[{i + 1} {name}]", "bold")
        elif not state.below:
            tabs.append(f" {i + 1} {name} ")
    where = "".join(f" > {level.title}" for level in state.below)
    title = Text(f"chamaleonet top  {rfc3339(now, 0)[11:19]}  ", "bold")
    title.append(f"{'PAUSED  ' * state.paused}{status}  {source}", "")
    return [title, Text(counts), tabs + Text(where)]


def _body(model: Model, state: State, now: int, width: int, room: int) -> list[Text]:
    level = state.level
    if state.help:
        return [Text(), *map(Text, HELP)]
    if level.what == "flow":
        known = model.flows.get(level.of)  # type: ignore[arg-type]
        if known is None:
            return [Text(), Text("this flow is forgotten")]
        return [Text(), *(_pair(*pair) for pair in columns.flow_lines(known, now))]
    shown = columns_of(level)
    found = items(model, level, now)
    rest = width - 2 - sum(column.width + 1 for column in shown if column.width)
    widths = [column.width or max(rest, 10) for column in shown]
    lines = [_headings(shown, widths, level)]
    chosen = _index(found, level)
    room -= 1  # the headings'
    start = min(max(chosen - room // 2, 0), max(len(found) - room, 0))
    for i, item in enumerate(found[start : start + room], start):
        cells = map(_aligned, item.cells, widths, shown)
        mark = ">" if i == chosen else " "
        lines.append(Text(f"{mark} {' '.join(cells)}", "reverse" if i == chosen else ""))
    if not found:
        lines.append(Text("  nothing yet" if not level.filter else "  nothing that contains it"))
    return lines


def _pair(what: str, value: str) -> Text:
    return Text(f"  {what:<14}") + Text(value, "bold")


def _headings(shown: tuple[Column, ...], widths: list[int], level: Level) -> Text:
    words = []
    for i, (column, width) in enumerate(zip(shown, widths, strict=True)):
        sign = "v" if column.number != level.reverse else "^"
        words.append(
            _aligned(column.heading + (f" {sign}" if i == level.sort else ""), width, column)
        )
    return Text("  " + " ".join(words), "underline")


def _aligned(text: str, width: int, column: Column) -> str:
    if len(text) > width:  # the sign that something is missing
        text = text[: width - 1] + "~"
    return text.rjust(width) if column.number else text.ljust(width)


def _footer(state: State) -> Text:
    level = state.level
    if state.typing is not None:
        return Text(f"/{level.filter}_   Enter: keep it, Esc: undo", "bold")
    keys = "q quit  h help  s sort  r reverse  / filter  p pause  Enter look in  Esc back"
    said = f"/{level.filter}   " if level.filter else ""
    return Text(said + keys)
