"""Logs become findings."""

from importlib import util

from chamaleonet.analysis.binomial import minimum_dependent

__all__ = ["minimum_dependent", "missing"]


def missing() -> list[str]:
    """Return which packages of the extra ``report`` are not installed."""
    return [name for name in ("ibis", "duckdb", "jinja2") if util.find_spec(name) is None]
