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

    def ask(logs, *, tables=None, rules=findings.RULES, today=None, **options) -> findings.Findings:
        log, chosen = opened(logs), Options(**options)
        tables = tables or {name: compute(name, log, chosen).value for name in _NO_TABLES}
        return findings.find(log, chosen, tables, rules=rules, today=today)

    return ask


@pytest.fixture
def find_one(find) -> Callable[..., findings.Finding | None]:
    """Return a function that asks one rule and returns its one finding, None if there is none.

    Tables are computed for the rules only that look at them.
    """

    def ask(kind, logs, **options) -> findings.Finding | None:
        if kind not in ("internal_scanner", "outage"):
            options["tables"] = _NO_TABLES
        rules = [rule for rule in findings.RULES if rule.kind == kind]
        found = find(logs, rules=rules, **options).findings
        assert len(found) < 2
        return found[0] if found else None

    return ask


@pytest.fixture
def day() -> synthetic.Logs:
    """A day without a problem, into which something can be planted."""
    logs = synthetic.Logs()
    synthetic.background(logs)
    return logs
