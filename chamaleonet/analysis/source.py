"""A log as tables: the flows that failed, and counters of those that did not."""

from __future__ import annotations

import copy
import math
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import ibis
import pyarrow as pa
import pyarrow.parquet as pq

from chamaleonet.analysis.engines import ENGINES, schema
from chamaleonet.analysis.files import find
from chamaleonet.analysis.times import MINUTE, floor, iso, nanoseconds
from chamaleonet.errors import UserError
from chamaleonet.flows.records import Quality
from chamaleonet.flows.transitions import ERRONEOUS, HEALTHY
from chamaleonet.log import columns, healthy

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from datetime import datetime

    import ibis.expr.types as ir

    from chamaleonet.analysis.engines import Engine
    from chamaleonet.log.columns import Column

_HEALTHY = [state.label for state in HEALTHY]
_SUSPECT = Quality.SUSPECT.label
_ERRONEOUS = [state.label for state in ERRONEOUS]
FAILED = ("unanswered", "icmp_error", "refused")  # got no answer, or was told that there is none
ASKED = ("answered", "recovered", *FAILED)  # asked for an answer, and came to a verdict
_SUMS = ("client_packets", "server_packets", "client_bytes", "server_bytes")

_AT_HAND = 25_000_000  # rows

_DIGITS = 9  # that a number keeps: engines add up in different orders, and differ beyond


class Logs:
    """A log, opened by one engine. To be closed, or used as a context manager.

    Flows whose verdict is suspect are in none of the tables: replies were out of sight when it was
    come to, so it tells about us and not about them.

    In all tables times are int64 nanoseconds since 1970 UTC (times.py), other integers int64,
    labels and addresses strings, and a missing value is null.

    Args:
        engine: what runs the queries.
        rows: the flow log: log/columns.py.
        counters: of healthy flows: log/healthy.py; None where nobody counted.

    Attributes:
        flows: a row per flow that was not healthy: the columns of the flow log, and
            ``host``, the internal end's address, the client's if both are; null in transit;
            ``remote``, the other end's; in transit the server's;
            ``service``, protocol and server port as in tcp/443, the protocol alone if it has no
            ports: never null, so made to be grouped and joined by;
            ``packets``, in both directions;
            ``erroneous``, whether it is unanswered or got an ICMP error.
        tried: a row per flow of ASKED verdicts that was logged, with the same columns. The packet
            logger only counts answered flows; ``replay --all-flows`` logs them.
        healthy: counters of healthy flows, logged ones too: the columns of log/healthy.py, and
            ``service``.
        counts: all flows, healthy or not, as counters: minute, host, direction, protocol,
            server_port, service, verdict, flows, packets, bytes. Rows of one key add up.
        has_healthy: whether healthy flows were counted. Without, no share of all flows is known.
    """

    flows: ir.Table
    tried: ir.Table
    healthy: ir.Table
    counts: ir.Table
    has_healthy: bool

    def __init__(self, engine: Engine, rows: ir.Table, counters: ir.Table | None) -> None:
        self._engine = engine
        self._suspect = rows.filter(rows.quality == _SUSPECT)
        rows = _with_derived(rows.filter(rows.quality != _SUSPECT).drop("quality"))
        well = rows.filter(rows.verdict.isin(_HEALTHY))
        # Most logs have no healthy row: better look once than in every query.
        logged = bool(self.rows(well.select("verdict").limit(1)))
        self.has_healthy = logged or counters is not None
        if counters is None:
            counters = _count(well)
        elif logged:
            counters = counters.union(_count(well))
        self._derive(rows, counters.mutate(service=_service(counters)))

    def _derive(self, rows: ir.Table, counters: ir.Table) -> None:
        self._rows = rows
        self.flows = rows.filter(rows.verdict.notin(_HEALTHY))
        self.tried = rows.filter(rows.verdict.isin(ASKED))
        self.healthy = counters
        self.counts = _counts(self.flows, self.healthy)

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        engine: str = "duckdb",
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Self:
        """Open a log.

        Args:
            path: a directory that the packet logger wrote, any other with flow logs in Parquet
                below it, or one such file.
            engine: "duckdb" or "spark".
            since: flows whose last packet is not before this time, counters of no earlier minute;
                with a time zone.
            until: and the same before this time.

        Raises:
            UserError: there is no log there, it is none, or the engine cannot be had.
        """
        found = find(Path(path), since, until)
        _check(found.flows, columns.COLUMNS, "flow log")
        _check(found.counters, healthy.COLUMNS, "table of counters")
        opened = ENGINES[engine]()

        def table(files: list[Path], wanted: Sequence[Column], time: str) -> ir.Table:
            if files:
                rows = opened.read(files, wanted)
            else:
                rows = opened.load(schema(wanted).to_pyarrow().empty_table())
            if since is not None:
                rows = rows.filter(rows[time] >= nanoseconds(since))
            if until is not None:
                rows = rows.filter(rows[time] < nanoseconds(until))
            return rows

        try:
            rows = table(found.flows, columns.COLUMNS, "last")
            counters = table(found.counters, healthy.COLUMNS, "minute")
            return cls(opened, rows, counters if found.counted else None)
        except BaseException:
            opened.close()
            raise

    def at_hand(self) -> Self:
        """Return the log read once, for many queries, unless it is too large for that.

        The engine keeps it until the log is closed; ten million flows take 4 GB of memory. A larger
        log is read from its files by every query, which takes longer, and less memory.
        """
        size = self.row(self._rows.aggregate(rows=self._rows.count()))["rows"]
        size += self.row(self.healthy.aggregate(rows=self.healthy.count()))["rows"]
        if size > _AT_HAND:
            return self
        rows = self.keep(self._rows.drop("vlan", "community_id"))  # asked for by nothing here
        counters = self.healthy
        keys = [name for name in counters.columns if name not in ("flows", *_SUMS)]
        unseen = counters.client_packets.isnull().name("unseen")  # null and number make no sum
        sums = {name: counters[name].sum() for name in ("flows", *_SUMS)}
        counters = self.keep(counters.group_by([*keys, unseen]).aggregate(**sums).drop("unseen"))
        logs = copy.copy(self)
        logs._derive(rows, counters)  # noqa: SLF001  (ours)
        return logs

    def rows(self, expression: ir.Table, times: Collection[str] = ()) -> list[dict[str, Any]]:
        """Run a query and return its rows, equal by every engine.

        A number keeps 9 significant digits; NaN is None.

        Args:
            expression: the query. More than one row must be ordered, and no two be equal in what
                they are ordered by.
            times: columns to return as ISO 8601 in UTC.
        """
        return [
            {name: _plain(value, name in times) for name, value in row.items()}
            for row in self.arrow(expression).to_pylist()
        ]

    def row(self, expression: ir.Table, times: Collection[str] = ()) -> dict[str, Any]:
        """Run a query of one row and return it, like ``rows``."""
        (row,) = self.rows(expression, times)
        return row

    def keep(self, expression: ir.Table) -> ir.Table:
        """Run a query now, and return its result as a table for several others.

        It is kept by the engine, on disk where it does not fit in memory, until the end of the
        ``scratch`` around it, or until the log is closed.
        """
        return self._engine.keep(expression)

    @contextmanager
    def scratch(self) -> Iterator[None]:
        """Remove at the end what was kept inside."""
        before = self._engine.kept
        try:
            yield
        finally:
            self._engine.forget(before)

    def arrow(self, expression: ir.Table) -> pa.Table:
        """Run a query and return its columns, to be computed with."""
        return self._engine.execute(expression)

    def without(self, clients: Sequence[str]) -> Self:
        """Return the log without what these addresses began.

        Healthy flows that they began from outside stay counted: the counters do not tell whose
        they were.
        """
        if not clients:
            return self
        logs = copy.copy(self)
        left = self._engine.load(pa.table({"client": pa.array(clients, pa.string())}))
        logs.flows = self.flows.anti_join(left, "client")
        logs.tried = self.tried.anti_join(left, "client")
        counted = self.healthy.mutate(
            client=ibis.ifelse(self.healthy.direction == "inbound", None, self.healthy.host)
        )
        logs.healthy = counted.anti_join(left, "client").drop("client")
        logs.counts = _counts(logs.flows, logs.healthy)
        return logs

    @cached_property
    def suspect(self) -> int:
        """How many logged flows are left out, for their verdict is suspect."""
        return int(self.row(self._suspect.aggregate(flows=self._suspect.count()))["flows"])

    @cached_property
    def span(self) -> tuple[int, int] | None:
        """The first and the last time at which a logged flow sent its last packet.

        A flow can have begun long before the log. Without flows, these are the counters' minutes;
        None where there is nothing at all.
        """
        for table, time in ((self.flows, "last"), (self.healthy, "minute")):
            row = self.row(table.aggregate(begin=table[time].min(), end=table[time].max()))
            if row["begin"] is not None:
                return row["begin"], row["end"]
        return None

    def close(self) -> None:
        """Close the log."""
        self._engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _check(files: list[Path], wanted: Sequence[Column], what: str) -> None:
    """Look into the first file: a log is written by one program."""
    for file in files[:1]:
        try:
            names = pq.read_schema(file).names
        except (OSError, pa.ArrowException) as error:
            raise UserError(f"{file}: is no Parquet file: {error}".splitlines()[0]) from error
        missing = [each.name for each in wanted if each.name not in names and not each.before]
        if missing:
            raise UserError(f"{file}: is no {what}: it has no column {missing[0]}")


def _with_derived(rows: ir.Table) -> ir.Table:
    """Return flows with the columns that follow from others."""
    inbound, transit = rows.direction == "inbound", rows.direction == "transit"
    return rows.mutate(
        host=ibis.cases((inbound, rows.server), (transit, ibis.null(str)), else_=rows.client),
        remote=inbound.ifelse(rows.client, rows.server),
        service=_service(rows),
        packets=rows.client_packets + rows.server_packets,
        erroneous=rows.verdict.isin(_ERRONEOUS),
    )


def _service(rows: ir.Table) -> ir.StringValue:
    ported = rows.protocol.concat("/", rows.server_port.cast(str))
    return ibis.ifelse(rows.server_port.isnull(), rows.protocol, ported)


def split_service(service: str) -> tuple[str, int | None]:
    """Return a service's protocol and server port."""
    protocol, _, port = service.partition("/")
    return protocol, int(port) if port else None


def _count(rows: ir.Table) -> ir.Table:
    """Return flows as counters."""
    bounds = [(rows.reply_delay <= bound, bound) for bound in healthy.DELAYS]
    counted = rows.mutate(minute=floor(rows.first, MINUTE), delay=ibis.cases(*bounds))
    keys = [column.name for column in healthy.COLUMNS if column.name not in ("flows", *_SUMS)]
    return counted.group_by(keys).aggregate(
        flows=counted.count(), **{name: counted[name].sum() for name in _SUMS}
    )


def _counts(flows: ir.Table, counters: ir.Table) -> ir.Table:
    """Return flows and counters as one table of counters."""
    keys = ("host", "direction", "protocol", "server_port", "service", "verdict")
    return flows.select(
        *keys,
        minute=floor(flows.first, MINUTE),
        flows=ibis.literal(1, "int64"),
        packets=flows.packets,
        bytes=flows.client_bytes + flows.server_bytes,
    ).union(
        counters.select(
            *keys,
            minute=counters.minute,
            flows=counters.flows,
            packets=counters.client_packets + counters.server_packets,
            bytes=counters.client_bytes + counters.server_bytes,
        )
    )


def _plain(value: Any, time: bool) -> Any:
    if value is None:
        return None
    if time:
        return iso(value)
    if isinstance(value, float):
        return None if math.isnan(value) else float(f"{value:.{_DIGITS}g}")
    return value
