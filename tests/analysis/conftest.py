"""Logs opened by each engine, and reports."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from chamaleonet.analysis.report import Outputs, run
from chamaleonet.analysis.source import Logs
from chamaleonet.analysis.table import Options
from tests.analysis import synthetic
from tests.analysis.busy import busy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[..., Logs]]:
    """Return a function that writes synthetic logs and opens them, with DuckDB by default."""
    opened: list[Logs] = []

    def write_and_open(logs: synthetic.Logs, **options: object) -> Logs:
        path = logs.write(tmp_path / f"logs-{len(opened)}")
        opened.append(Logs.open(path, **options))
        return opened[-1]

    yield write_and_open
    for logs in opened:
        logs.close()


@pytest.fixture(scope="session")
def spark() -> Iterator[None]:
    """Start Spark in this process, for tests that open logs with engine="spark"."""
    sql = pytest.importorskip("pyspark.sql", reason="PySpark is not installed")
    if shutil.which("java") is None:
        pytest.skip("Spark needs Java")
    session = (
        sql.SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.sql.shuffle.partitions", "2")
        # To compile queries and plan them anew takes longer than to run them on a few rows.
        .config("spark.sql.codegen.wholeStage", "false")
        .config("spark.sql.codegen.factoryMode", "NO_CODEGEN")
        .config("spark.sql.adaptive.enabled", "false")
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("OFF")
    yield
    session.stop()


@pytest.fixture(scope="session")
def busy_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a log with something for every table."""
    return busy().write(tmp_path_factory.mktemp("busy"))


@pytest.fixture(scope="session")
def busy_report(busy_log: Path) -> dict[str, Any]:
    """Return the report of ``busy_log``; not to be changed."""
    return run(busy_log, Outputs(), Options())


@pytest.fixture(scope="session")
def empty_report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the report of a log without a row; not to be changed."""
    path = tmp_path_factory.mktemp("empty") / "flows.parquet"
    return run(synthetic.Logs().write_file(path), Outputs(), Options())
