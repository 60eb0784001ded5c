"""The engines that run the queries: DuckDB in this process, or Spark where there is one.

Both hand out Parquet files as an Ibis table of the same columns and types: times as int64
nanoseconds since 1970 UTC, every other integer as int64, labels as strings.
"""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

import ibis
from ibis.expr.operations import InMemoryTable

from chamaleonet.errors import UserError
from chamaleonet.log.columns import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import ibis.expr.types as ir
    import pyarrow as pa
    from pyspark.sql import DataFrame

    from chamaleonet.log.columns import Column

_TEXTS = (Kind.LABEL, Kind.TEXT)


def schema(columns: Sequence[Column]) -> ibis.Schema:
    """Return the columns' types as both engines have them."""
    return ibis.schema(
        {
            column.name: "string"
            if column.kind in _TEXTS
            else "float64"
            if column.kind is Kind.SECONDS
            else "int64"
            for column in columns
        }
    )


class Engine(Protocol):
    """Runs Ibis expressions over Parquet files."""

    def read(self, files: Sequence[Path], columns: Sequence[Column]) -> ir.Table:
        """Return files as a table.

        Args:
            files: at least one, all with ``columns``, but for those that came later.
            columns: what to read; where one is missing, its value is Column.before.
        """

    def execute(self, expression: ir.Expr) -> pa.Table:
        """Run a query.

        Raises:
            UserError: a file cannot be read, or there is no room for what must be set aside.
        """

    def keep(self, expression: ir.Table) -> ir.Table:
        """Run a query and return its result as a table, which lives until ``forget``.

        Raises:
            UserError: as by ``execute``.
        """

    @property
    def kept(self) -> int:
        """How many results are kept."""

    def forget(self, kept: int) -> None:
        """Remove what was kept since there were so many results."""

    def load(self, table: pa.Table) -> ir.Table:
        """Return a table of this process as one of the engine."""

    def close(self) -> None:
        """End the connection and remove what it put aside."""


class DuckDB:
    """DuckDB, embedded: all cores, and a temporary directory for what does not fit in memory."""

    def __init__(self) -> None:
        self._kept: list[str] = []
        self._spill = tempfile.TemporaryDirectory(prefix="chamaleonet-")
        self._backend: Any = ibis.duckdb.connect(
            temp_directory=self._spill.name,
            preserve_insertion_order=False,  # every result is ordered by its query
        )

    def read(self, files: Sequence[Path], columns: Sequence[Column]) -> ir.Table:
        """Return files as a table."""
        import duckdb

        listed = ", ".join("'" + str(file).replace("'", "''") + "'" for file in files)
        source = f"read_parquet([{listed}], hive_partitioning = false, union_by_name = true)"
        name = _name("files")
        try:
            there = self._backend.raw_sql(f"DESCRIBE SELECT * FROM {source}").fetchall()  # noqa: S608
            names = [row[0] for row in there]
            selected = ", ".join(
                f'{_nanoseconds(column, names)} AS "{column.name}"' for column in columns
            )
            self._backend.raw_sql(f"CREATE TEMP VIEW {name} AS SELECT {selected} FROM {source}")  # noqa: S608
        except duckdb.Error as error:
            raise _failure(error) from error
        return self._backend.table(name).cast(schema(columns))

    def load(self, table: pa.Table) -> ir.Table:
        """Return a table of this process."""
        name = _name("loaded")
        self._backend.con.register(name, table)
        return self._backend.table(name)

    def execute(self, expression: ir.Expr) -> pa.Table:
        """Run a query."""
        import duckdb

        try:
            return self._backend.to_pyarrow(expression)
        except duckdb.Error as error:
            raise _failure(error) from error

    def keep(self, expression: ir.Table) -> ir.Table:
        """Run a query and return its result as a table."""
        import duckdb

        name = _name("kept")
        try:
            kept = self._backend.create_table(name, expression, temp=True)
        except duckdb.Error as error:
            raise _failure(error) from error
        self._kept.append(name)
        return kept

    @property
    def kept(self) -> int:
        """How many results are kept."""
        return len(self._kept)

    def forget(self, kept: int) -> None:
        """Remove what was kept since there were so many results."""
        while len(self._kept) > kept:
            self._backend.raw_sql(f"DROP TABLE {self._kept.pop()}")

    def close(self) -> None:
        """End the connection and remove what it put aside."""
        self._backend.disconnect()
        self._spill.cleanup()


class Spark:
    """Apache Spark: the session of this process, or one by Spark's own configuration.

    Raises:
        UserError: PySpark is not installed, or finds no Java.
    """

    def __init__(self) -> None:
        try:
            from pyspark.errors import PySparkException
            from pyspark.sql import SparkSession
        except ModuleNotFoundError as error:
            raise UserError(
                "the engine spark needs PySpark: pip install 'chamaleonet[spark]'"
            ) from error
        existing = SparkSession.getActiveSession()
        builder = SparkSession.builder.appName("chamaleonet")
        builder = builder.config("spark.ui.showConsoleProgress", "false")
        try:
            self._session = existing or builder.getOrCreate()
        except (PySparkException, OSError) as error:
            raise UserError(f"Spark does not start: {_first_line(error)}") from error
        self._ours = existing is None
        self._kept: list[DataFrame] = []
        self._views: list[str] = []
        # Timestamps of nanoseconds are refused without: Spark has none.
        self._session.conf.set("spark.sql.legacy.parquet.nanosAsLong", "true")
        self._backend: Any = ibis.pyspark.connect(self._session)

    def read(self, files: Sequence[Path], columns: Sequence[Column]) -> ir.Table:
        """Return files as a table."""
        frame = self._session.read.option("mergeSchema", True).parquet(*map(str, files))
        selected = (
            f"{_value(column, f'`{column.name}`', frame.columns)} AS `{column.name}`"
            for column in columns
        )
        return self._view(frame.selectExpr(*selected)).cast(schema(columns))

    def execute(self, expression: ir.Expr) -> pa.Table:
        """Run a query."""
        from pyspark.errors import PySparkException

        try:
            # Ibis would go by pandas, whose integers are floating-point numbers beside a null.
            return self._query(expression).toArrow()
        except PySparkException as error:
            raise _failure(error) from error

    def keep(self, expression: ir.Table) -> ir.Table:
        """Run a query and return its result as a table."""
        frame = self._query(expression).persist()
        self._kept.append(frame)
        return self._view(frame)

    @property
    def kept(self) -> int:
        """How many results are kept."""
        return len(self._kept)

    def forget(self, kept: int) -> None:
        """Remove what was kept since there were so many results."""
        while len(self._kept) > kept:
            self._kept.pop().unpersist()

    def load(self, table: pa.Table) -> ir.Table:
        """Return a table of this process."""
        return self._view(self._session.createDataFrame(table))

    def _query(self, expression: ir.Expr) -> DataFrame:
        for table in expression.op().find(InMemoryTable):
            frame = self._session.createDataFrame(table.data.to_pyarrow(table.schema))
            frame.createOrReplaceTempView(table.name)
            self._views.append(table.name)
        return self._session.sql(self._backend.compile(expression))

    def _view(self, frame: DataFrame) -> ir.Table:
        name = _name("chamaleonet")  # the session may not be ours
        frame.createOrReplaceTempView(name)
        self._views.append(name)
        return self._backend.table(name)

    def close(self) -> None:
        """Forget what was read, and end the session unless it was there before."""
        self.forget(0)
        for name in self._views:
            self._session.catalog.dropTempView(name)
        if self._ours:
            self._session.stop()


ENGINES: dict[str, type[DuckDB | Spark]] = {"duckdb": DuckDB, "spark": Spark}


def _value(column: Column, quoted: str, there: Sequence[str]) -> str:
    """Return a column's value in SQL; where a file lacks the column, it is null or not there."""
    if not column.before:
        return quoted
    known = f"{quoted}, " if column.name in there else ""
    return f"coalesce({known}'{column.before}')"


def _nanoseconds(column: Column, there: Sequence[str]) -> str:
    """Return a column's value in DuckDB's SQL.

    Ibis does not know DuckDB's timestamps of nanoseconds: they are converted below it.
    """
    value = _value(column, f'"{column.name}"', there)
    return f"epoch_ns({value})" if column.kind is Kind.TIME else value


def _name(kind: str) -> str:
    """Return a name that no other table has."""
    return f"{kind}_{uuid4().hex}"


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _failure(error: Exception) -> UserError:
    return UserError(f"the logs cannot be read: {_first_line(error)}")
