"""What the rules find in synthetic logs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from chamaleonet.analysis import findings
from chamaleonet.analysis.table import Options
from chamaleonet.analysis.tables import compute
from tests.analysis import synthetic

if TYPE_CHECKING:
    from collections.abc import Callable

_NO_TABLES = {"scanners": {"list": []}, "simultaneous": []}


@pytest.fixture
def find(opened) -> Callable[..., findings.Findings]:
    """Return a function that asks all rules about synthetic logs."""

    def ask(logs, *, today=None, engine="duckdb", tables=None, **options) -> findings.Findings:
        log, chosen = opened(logs, engine=engine), Options(**options)
        tables = tables or {name: compute(name, log, chosen).value for name in _NO_TABLES}
        return findings.find(log, chosen, tables, today=today)

    return ask


@pytest.fixture
def find_one(find) -> Callable[..., findings.Finding | None]:
    """Return a function like `find` that returns the one finding of a kind, None if there is none.

    Tables are computed for the rules only that look at them: it takes as long as all the rest.
    """

    def ask(kind, logs, **options) -> findings.Finding | None:
        if kind not in ("internal_scanner", "outage"):
            options["tables"] = _NO_TABLES
        found = [each for each in find(logs, **options).findings if each.kind == kind]
        assert len(found) < 2
        return found[0] if found else None

    return ask


@pytest.fixture
def day() -> synthetic.Logs:
    """A day without a problem, into which something can be planted."""
    logs = synthetic.Logs()
    synthetic.background(logs)
    return logs
