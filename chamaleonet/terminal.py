"""What a person sees: progress bars, and the tables of `replay`."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from chamaleonet.flows.records import Direction
from chamaleonet.flows.transitions import VERDICTS
from chamaleonet.log.columns import protocol_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from chamaleonet.analysis.top import Top
    from chamaleonet.capture.files import CaptureFile
    from chamaleonet.flows.engine import Engine

_REFRESH = 0.1  # seconds

_COUNTS = (
    "packets", "flow_packets", "icmp_errors", "icmp_info", "orphans", "excluded", "fragments",
    "malformed", "non_ip", "untracked", "captured_packets",
)  # fmt: skip


class ReplayProgress:
    """A progress bar on standard error with packets per second; nothing if that is no terminal."""

    def __init__(self, captures: Sequence[CaptureFile], engine: Engine) -> None:
        self._captures, self._engine = captures, engine
        sizes = [capture.size for capture in captures]
        total = None if None in sizes else sum(size or 0 for size in sizes)
        self._progress = Progress(
            TextColumn("judging"), BarColumn(), TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(), console=Console(stderr=True), transient=True,
            disable=not sys.stderr.isatty(), auto_refresh=False,
        )  # fmt: skip
        self._task = self._progress.add_task("judging", total=total, rate="")
        self._begun = self._shown = time.monotonic()

    def update(self) -> None:
        """Redraw, but not too often."""
        now = time.monotonic()
        if now - self._shown >= _REFRESH:
            self._shown = now
            rate = self._engine.packets / (now - self._begun)
            done = sum(capture.position for capture in self._captures)
            self._progress.update(self._task, completed=done, rate=f"{rate:,.0f} packets/s")
            self._progress.refresh()

    def __enter__(self) -> Callable[[], None]:
        self._progress.start()
        return self.update

    def __exit__(self, *_: object) -> None:
        self._progress.stop()


@contextmanager
def stages() -> Iterator[Callable[[str, int, int], None]]:
    """Show a bar on standard error, if that is a terminal, of stages that are told one by one.

    Yields:
        What takes a stage's name, the stages done and all stages.
    """
    with Progress(
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"),
        console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty(),
    ) as bar:  # fmt: skip
        task = bar.add_task("")
        yield lambda name, done, total: bar.update(
            task, description=name, completed=done, total=total
        )


def print_summary(summary: dict[str, Any], top: Top, *, file: TextIO = sys.stdout) -> None:
    """Print the verdicts by direction, and who has most erroneous flows."""
    console = Console(file=file)
    console.print("Flows by verdict and direction")
    verdicts = Table()
    verdicts.add_column("verdict")
    for heading in (*(way.label for way in Direction), "all"):
        verdicts.add_column(heading, justify="right")
    for state in VERDICTS:
        counts = [summary["directions"][way.label][state.label] for way in Direction]
        verdicts.add_row(state.label, *(f"{count:,}" for count in (*counts, sum(counts))))
    console.print(verdicts)
    console.print(", ".join(f"{name} {summary[name]:,}" for name in _COUNTS if summary[name]))
    _print_top(console, "client", top.clients(10))
    _print_top(console, "server", top.servers(10))
    services = [(_service(*service), count) for service, count in top.services(10)]
    _print_top(console, "server port", services)


def _service(protocol: int, port: int) -> str:
    return f"{protocol_name(protocol)}/{port}" if port else protocol_name(protocol)


def _print_top(console: Console, what: str, rows: list[tuple[str, int]]) -> None:
    if rows:
        console.print(f"\nMost erroneous flows, by {what}")
        table = Table()
        table.add_column(what)
        table.add_column("erroneous flows", justify="right")
        for name, count in rows:
            table.add_row(name, f"{count:,}")
        console.print(table)
