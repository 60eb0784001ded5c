"""Fill in what the documentation takes from the code, between its "generated" marks.

    python docs/generate.py [--check]

With --check nothing is written; the exit status is 1 if something is not up to date.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

from chamaleonet.flows.transitions import TRANSITIONS, Event, State
from chamaleonet.log import columns

DOCS = Path(__file__).parent
_MARKS = re.compile(r"(<!-- begin generated: (\w+) -->\n).*?(<!-- end generated: \2 -->)", re.DOTALL)


def states() -> str:
    """Return the transition table as a Mermaid state diagram."""
    arrows: dict[tuple[State, State], list[Event]] = {}
    for (state, event), target in TRANSITIONS.items():
        if event is not Event.END:
            arrows.setdefault((state, target), []).append(event)
    lines = ["```mermaid", "stateDiagram-v2"]
    for (state, target), events in arrows.items():
        names = ", ".join(event.name.lower().replace("_", " ") for event in events)
        lines.append(f"    {_node(state)} --> {_node(target)}: {names}")
    return "\n".join([*lines, "```", ""])


def _node(state: State) -> str:
    return "[*]" if state is State.NONE else state.label


GENERATED: dict[str, Callable[[], str]] = {"states": states, "columns": columns.markdown}


def filled(text: str) -> str:
    """Return a page with its generated parts made anew."""
    return _MARKS.sub(lambda part: part[1] + GENERATED[part[2]]() + part[3], text)


def main(arguments: list[str]) -> int:
    """Write, or with --check compare, all pages."""
    stale = 0
    for page in sorted(DOCS.glob("*.md")):
        text = page.read_text()
        if text != filled(text):
            stale += 1
            print(f"{page}: {'not up to date' if '--check' in arguments else 'written'}")
            if "--check" not in arguments:
                page.write_text(filled(text))
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
