"""What mkdocs does besides: state diagrams become pictures, files of the repository plain text.

Graphviz draws them: the site loads no script of anybody.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
_DIAGRAM = re.compile(r"^```mermaid\nstateDiagram-v2\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_ARROW = re.compile(r"^\s+(\S+) --> (\S+): (.+)$", re.MULTILINE)
_OUTSIDE = re.compile(r"\[([^]]+)\]\(\.\./([^)#]+)[^)]*\)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Prepare a page; called by mkdocs."""
    return _OUTSIDE.sub(_named, _DIAGRAM.sub(_drawn, markdown))


def _drawn(diagram: re.Match[str]) -> str:
    """Return a Mermaid state diagram, of the form that generate.py writes, as SVG."""
    lines = ["digraph { rankdir=LR; node [shape=box, style=rounded]; edge [fontsize=11];"]
    for number, (state, target, event) in enumerate(_ARROW.findall(diagram[1])):
        ends = []
        for name, side in ((state, "begin"), (target, "end")):
            if name == "[*]":  # each beginning and end a dot of its own: no arrow crosses the page
                lines.append(f"{side}{number} [shape=point, width=0.1];")
                name = f"{side}{number}"
            ends.append(name)
        lines.append(f'{ends[0]} -> {ends[1]} [label="{event}"];')
    source = "\n".join([*lines, "}"])
    command = ["dot", "-Tsvg"]
    done = subprocess.run(command, input=source, capture_output=True, text=True, check=True)
    return done.stdout[done.stdout.index("<svg") :]


def _named(link: re.Match[str]) -> str:
    """Return a link to a file of the repository, which the site does not hold, as its name."""
    if not (ROOT / link[2]).exists():
        raise FileNotFoundError(link[2])
    return f"{link[1]} (`{link[2]}`)"
