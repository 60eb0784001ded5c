"""Reports to be shown, made once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from chamaleonet.analysis.report import Outputs, run
from chamaleonet.analysis.table import Options
from tests.analysis.busy import busy
from tests.analysis.synthetic import Logs

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def busy_report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The report of a log with something for every table."""
    return _report(busy(), tmp_path_factory.mktemp("busy"))


@pytest.fixture(scope="session")
def empty_report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The report of a log without a row."""
    path = tmp_path_factory.mktemp("empty") / "flows.parquet"
    return run(Logs().write_file(path), Outputs(), Options())


def _report(logs: Logs, path: Path) -> dict[str, Any]:
    return run(logs.write(path), Outputs(), Options())
