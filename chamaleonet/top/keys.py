"""What was pressed, from the bytes that a terminal sends."""

from __future__ import annotations

import codecs
import re

_ESCAPE = "\x1b"
# A control sequence (ECMA-48, section 5.4), or what follows SS3, as function keys send it.
_SEQUENCE = re.compile(r"\x1b(?:\[([0-?]*)[ -/]*([@-~])|O([@-~]))")
_UNFINISHED = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|O)?\Z")
_FINAL = {
    "A": "up", "B": "down", "C": "right", "D": "left", "H": "home", "F": "end", "Z": "back-tab",
    "M": "enter",
}  # fmt: skip
_NUMBERED = {"1": "home", "4": "end", "5": "page-up", "6": "page-down", "7": "home", "8": "end"}
_CONTROL = {
    "\r": "enter", "\n": "enter", "\t": "tab", "\x7f": "backspace", "\x08": "backspace",
    "\x0c": "redraw", "\x15": "clear", "\x03": "quit", "\x04": "quit",
}  # fmt: skip


class Keys:
    """Decodes keys; what is cut short waits for its rest."""

    def __init__(self) -> None:
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self._text = ""

    @property
    def waits(self) -> bool:
        """Whether the last key may be unfinished: an escape, or the begin of a sequence."""
        return bool(self._text)

    def feed(self, data: bytes) -> list[str]:
        """Return the keys that are complete: a character, or a name such as ``page-up``."""
        self._text += self._utf8.decode(data)
        keys = []
        while self._text and not _UNFINISHED.match(self._text):
            if sequence := _SEQUENCE.match(self._text):
                self._text = self._text[sequence.end() :]
                keys.append(_named(*sequence.groups(default="")))
            else:
                key, self._text = self._text[0], self._text[1:]
                keys.append("escape" if key == _ESCAPE else _CONTROL.get(key, key))
        return [key for key in keys if key]

    def flush(self) -> list[str]:
        """Return the key that waited, as nothing followed: an escape that was pressed alone."""
        waited, self._text = self._text, ""
        return ["escape"] if waited == _ESCAPE else []


def _named(parameters: str, final: str, after_ss3: str) -> str:
    if final == "~":
        return _NUMBERED.get(parameters.partition(";")[0], "")
    return _FINAL.get(final or after_ss3, "")
