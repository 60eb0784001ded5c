"""Values as people read them."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

NONE = "\N{EN DASH}"

_THOUSANDTH = 0.001
_SIZES = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"), (0.001, "ms"), (1e-6, "µs"))
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def text(value: str) -> str:
    """Return text without what could hide or reorder it: control characters show as one mark."""
    return "".join(
        "\ufffd" if unicodedata.category(character) in ("Cc", "Cf", "Cs") else character
        for character in value
    )


def count(number: float) -> str:
    """Return a number with its thousands apart."""
    return f"{number:,}"


def share(part: float) -> str:
    """Return a share in percent; what is not quite none or all does not read so."""
    if 0 < part < _THOUSANDTH:
        return "<0.1%"
    if 1 - _THOUSANDTH < part < 1:
        return ">99.9%"
    return f"{part:.0%}" if part in (0, 1) else f"{part:.1%}"


def seconds(duration: float) -> str:
    """Return a duration in the unit that suits it, to three digits."""
    size, unit = next((pair for pair in _SIZES if abs(duration) >= pair[0]), _SIZES[-1])
    if duration == 0:
        return "0 s"
    number = duration / size
    return f"{number:.0f} {unit}" if abs(number) >= 100 else f"{number:.3g} {unit}"


def time(iso: str) -> str:
    """Return a time of the report to the second."""
    return re.sub(r"(\.\d+)?Z$", "", iso).replace("T", " ")


def plain(number: float) -> str:
    """Return a number that has no unit."""
    if isinstance(number, int):
        return f"{number:,}"
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.3g}"


def name(key: str) -> str:
    """Return a key of the report as words."""
    return key.replace("_", " ")


def value(given: Any, unit: str = "") -> str:
    """Return a value of the report.

    Args:
        given: what JSON holds.
        unit: how it is to be read: as schema.unit tells.
    """
    if given is None:
        return NONE
    if unit in _READINGS:
        return _READINGS[unit](given)
    if isinstance(given, bool):
        return "yes" if given else "no"
    if isinstance(given, list):
        return ", ".join(value(item, unit) for item in given) or NONE
    return text(given) if isinstance(given, str) else plain(given)


_READINGS: dict[str, Callable[[Any], str]] = {
    "share": share,
    "seconds": seconds,
    "percent": lambda number: f"{number}%",
    "UTC": time,
    "port": str,
    "weekday": lambda day: _WEEKDAYS[day],
}
