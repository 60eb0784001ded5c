"""The report's tables: one module for each, with its name and one function ``table``."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    from chamaleonet.analysis.source import Logs
    from chamaleonet.analysis.table import Options, Table

# In the order of the report.
TABLES = (
    "verdicts", "health", "host_pairs", "skew", "stability", "retries", "scanners", "timeouts",
    "artefacts", "simultaneous", "leaks", "network_change", "applications", "radiation",
)  # fmt: skip


def compute(name: str, logs: Logs, options: Options) -> Table:
    """Return one of TABLES.

    Raises:
        UserError: the log cannot be read.
    """
    table = import_module(f"{__name__}.{name}").table
    with logs.scratch():
        return cast("Callable[[Logs, Options], Table]", table)(logs, options)
