"""Measure the tables of the report on logs of a size.

    python -m benchmarks.report [--rows N ...] [--tables NAME ...] [--engine duckdb|spark]

A log is what the packet logger would write at a site with a /16: 100,000 flows an hour that were
not healthy and as many rows of counters, in hourly files below a temporary directory. The same
rows come each time. Printed are the seconds and rows/s of each table and of the whole report, each
in a process of its own, and that process's peak memory. By default logs of 1e6 and 1e7 rows are
made; 1e8 rows take 6 GB on disk, and minutes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.measure import run
from chamaleonet.analysis.tables import TABLES
from chamaleonet.log import columns, healthy
from chamaleonet.log.columns import Kind

ROWS_PER_HOUR = 100_000
WHOLE = "report"  # all tables and findings
_BEGIN = datetime(2026, 11, 23, tzinfo=UTC)
_SECOND = 1_000_000_000
_HOSTS, _REMOTES = 20_000, 200_000
_PORTS = np.array([443, 80, 53, 123, 445, 22, 23, 8080, 3389, 161])
_ARROW = {
    Kind.TIME: pa.timestamp("ns", "UTC"), Kind.TEXT: pa.string(), Kind.LABEL: pa.string(),
    Kind.UINT8: pa.uint8(), Kind.UINT16: pa.uint16(), Kind.UINT32: pa.uint32(),
    Kind.UINT64: pa.uint64(), Kind.SECONDS: pa.float64(),
}  # fmt: skip


class Site:
    """Draws what a site logs in an hour.

    A third of the flows is radiation: sources that walk over the site's addresses. A tenth are
    clients that poll what is gone. The others are of hosts, few of which have most: two in three
    go to one of ten servers that are the host's own, the third anywhere.
    """

    def __init__(self, seed: int = 1) -> None:
        self.draw = np.random.default_rng(seed)
        self.hosts = pa.array([f"10.1.{n >> 8}.{n & 255}" for n in range(_HOSTS)])
        numbers = self.draw.integers(0x0B000000, 0xDF000000, _REMOTES)
        self.remotes = pa.array(
            [
                f"2001:db8:{n >> 16:x}::{n & 0xFFFF:x}"
                if i % 10 == 0
                else ".".join(str(n >> shift & 255) for shift in (24, 16, 8, 0))
                for i, n in enumerate(numbers.tolist())
            ]
        )

    def flows(self, hour: datetime, count: int) -> dict[str, object]:
        """Return columns of the flow log."""
        draw, begin = self.draw, round(hour.timestamp()) * _SECOND
        first = begin + np.sort(draw.integers(0, 3600 * _SECOND, count))
        inbound = draw.random(count) < 1 / 3
        polling = ~inbound & (draw.random(count) < 0.15)
        host = (draw.random(count) ** 4 * _HOSTS).astype(int)
        remote = (draw.random(count) ** 2 * _REMOTES).astype(int)
        port = _PORTS[draw.integers(0, len(_PORTS), count)]
        usual = draw.random(count) < 2 / 3
        favourite = (draw.random(count) ** 3 * 10).astype(int)
        remote[usual] = (host[usual] * 7919 + favourite[usual]) % _REMOTES
        port[usual] = _PORTS[(host[usual] + favourite[usual]) % len(_PORTS)]
        # A source of radiation goes through the site from one end to the other.
        remote[inbound] = draw.integers(0, 50, inbound.sum()) * 1000 + hour.hour
        host[inbound] = np.arange(inbound.sum()) % _HOSTS
        # A few hundred clients poll one server each, in turn, so at even times.
        pollers = np.arange(polling.sum()) % 500
        host[polling], remote[polling], port[polling] = pollers * 17, pollers * 31, 8080
        kind = draw.choice(5, count, p=(0.75, 0.05, 0.1, 0.08, 0.02))
        recovered, refused, error, reverse = (kind == n for n in (1, 2, 3, 4))
        verdict = np.array(["unanswered", "recovered", "refused", "icmp_error", "unsolicited"])[
            kind
        ]
        udp = np.isin(port, (53, 123, 161))
        attempts = draw.integers(1, 5, count)
        replies = np.where(recovered | refused | reverse, 1, 0)
        ends = self.hosts.take(pa.array(host)), self.remotes.take(pa.array(remote))
        mask = pa.array(inbound)
        return {
            "first": first,
            "last": first + (attempts - 1) * _SECOND,
            "judged": first + 3 * _SECOND,
            "verdict": verdict,
            "direction": np.where(inbound, "inbound", "outbound"),
            "protocol": np.where(udp, "udp", "tcp"),
            "client": pc.if_else(mask, ends[1], ends[0]),
            "client_port": draw.integers(1024, 65535, count),
            "server": pc.if_else(mask, ends[0], ends[1]),
            "server_port": port,
            "vlan": pa.nulls(count, pa.uint16()),
            "attempts": attempts,
            "client_packets": attempts,
            "server_packets": replies,
            "client_bytes": attempts * 74,
            "server_bytes": replies * 74,
            "reply_delay": pa.array(3 + draw.exponential(5, count), mask=~recovered),
            "icmp_type": pa.array(np.full(count, 3), pa.uint8(), mask=~error),
            "icmp_code": pa.array(draw.integers(0, 4, count), pa.uint8(), mask=~error),
            "icmp_sender": pc.if_else(pa.array(error), ends[1], None),
            "community_id": draw.integers(0, 2**62, count).astype(str),
            "quality": np.full(count, "sound"),
        }

    def counters(self, hour: datetime, count: int) -> dict[str, object]:
        """Return columns of the counters."""
        draw, begin = self.draw, round(hour.timestamp()) * _SECOND
        flows = draw.integers(1, 20, count)
        return {
            "minute": begin + np.sort(draw.integers(0, 60, count)) * 60 * _SECOND,
            "host": self.hosts.take(pa.array(draw.integers(0, _HOSTS, count))),
            "direction": np.where(draw.random(count) < 0.2, "inbound", "outbound"),
            "protocol": np.full(count, "tcp"),
            "server_port": _PORTS[draw.integers(0, len(_PORTS), count)],
            "verdict": np.full(count, "answered"),
            "delay": np.array(healthy.DELAYS)[draw.integers(5, 12, count)],
            "flows": flows,
            **{
                f"{end}_{what}": flows * each
                for what, each in (("packets", 10), ("bytes", 5000))
                for end in ("client", "server")
            },
        }


def write(path: Path, rows: int) -> None:
    """Write a log of so many flows."""
    site = Site()
    for number, start in enumerate(range(0, rows, ROWS_PER_HOUR)):
        hour = _BEGIN + timedelta(hours=number)
        folder = path / hour.strftime("day=%Y-%m-%d/hour=%H")
        folder.mkdir(parents=True)
        count = min(ROWS_PER_HOUR, rows - start)
        for values, described, suffix in (
            (site.flows(hour, count), columns.COLUMNS, ".parquet"),
            (site.counters(hour, count), healthy.COLUMNS, ".healthy.parquet"),
        ):
            schema = pa.schema([(column.name, _ARROW[column.kind]) for column in described])
            labels = [column.name for column in described if column.kind is Kind.LABEL]
            name = folder / f"chamaleonet-{hour:%Y%m%dT%H%M%S}Z{suffix}"
            pq.write_table(
                pa.table(values).cast(schema), name, compression="zstd", use_dictionary=labels
            )


def compute(path: str, table: str, engine: str) -> None:
    """Compute one table, or the whole report, and print how many seconds it took."""
    from chamaleonet.analysis import tables
    from chamaleonet.analysis.report import build
    from chamaleonet.analysis.source import Logs
    from chamaleonet.analysis.table import Options

    with Logs.open(path, engine=engine) as logs:
        if engine == "spark":  # which takes its time to start, whatever it is to do
            logs.rows(logs.flows.limit(1))
        begin = time.perf_counter()
        if table == WHOLE:
            build(logs, Options())
        else:
            tables.compute(table, logs, Options())
        print(time.perf_counter() - begin)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rows", nargs="+", type=float, default=[1e6, 1e7])
    every = (*TABLES, WHOLE)
    parser.add_argument("--tables", nargs="+", choices=every, default=every)
    parser.add_argument("--engine", choices=("duckdb", "spark"), default="duckdb")
    parser.add_argument("--compute", metavar="LOGDIR", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.compute:
        compute(options.compute, options.tables[0], options.engine)
        return
    print("| rows | table | seconds | rows/s | peak memory |")
    print("| ---: | --- | ---: | ---: | ---: |")
    for rows in map(int, options.rows):
        with tempfile.TemporaryDirectory(prefix="chamaleonet-") as temporary:
            directory = Path(temporary)
            write(directory / "logs", rows)
            for table in options.tables:
                command = [sys.executable, "-m", "benchmarks.report", "--engine", options.engine]
                printed = directory / "seconds"
                took = run(
                    [*command, "--tables", table, "--compute", str(directory / "logs")], printed
                )
                seconds = float(printed.read_text())
                print(
                    f"| {rows:,} | {table} | {seconds:.2f} | {rows / seconds:,.0f}"
                    f" | {took.peak_bytes / 2**20:,.0f} MiB |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
