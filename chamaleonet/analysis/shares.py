"""Shares that may be unknown."""

from __future__ import annotations


def share(part: float | None, whole: float | None) -> float | None:
    """Return part / whole, or None where one is unknown or there is nothing to share."""
    if part is None or not whole:
        return None
    return part / whole
