"""What the screen shows: a model and a state go in, lines come out.

It is written in plain ASCII, and nothing is told by colour: what is chosen is reversed *and* marked
by a sign, so it is seen on any terminal and by anybody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from chamaleonet.log.events.rows import rfc3339
from chamaleonet.top import columns
from chamaleonet.top.state import TABS, Level, State, columns_of, index_of, items

if TYPE_CHECKING:
    from chamaleonet.top.columns import Column
    from chamaleonet.top.model import Model

SMALLEST = (20, 8)  # columns and lines; less shows a part of that
_HEADER, _FOOTER = 3, 1  # lines

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
    chosen = index_of(found, level)
    room -= 1  # the headings'
    start = min(max(chosen - room // 2, 0), max(len(found) - room, 0))
    for i, item in enumerate(found[start : start + room], start):
        texts = [column.shown(item.thing, now) for column in shown]
        cells = map(_aligned, texts, widths, shown)
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
