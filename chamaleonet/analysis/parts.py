"""A table's value taken apart: its lists of rows, and its single numbers.

A value is a list of rows, or an object of named lists, numbers and further objects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    Path = tuple[str, ...]
    Row = dict[str, Any]


def lists(value: list[Row] | dict[str, Any], path: Path = ()) -> Iterator[tuple[Path, list[Row]]]:
    """Yield the lists of rows of a table's value, and the names that lead to each."""
    if isinstance(value, list):
        yield path, value
        return
    for name, inner in value.items():
        if isinstance(inner, list | dict):
            yield from lists(inner, (*path, name))


def numbers(value: list[Row] | dict[str, Any], path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield what is no list in a table's value, and the names that lead to it."""
    if isinstance(value, list):
        return
    for name, inner in value.items():
        if isinstance(inner, dict):
            yield from numbers(inner, (*path, name))
        elif not isinstance(inner, list):
            yield (*path, name), inner
