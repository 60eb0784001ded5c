"""What a person sees while controller and logger run."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.live import Live
from rich.table import Table

from chamaleonet.lab.scrape import Metrics, total

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from chamaleonet.lab.programs import Programs

_VERDICTS = ("answered", "recovered", "refused", "icmp_error", "unanswered")
_PROTOCOLS = ("tcp", "udp", "icmp", "icmpv6")
_LOOK_SECONDS = 0.5
_LINE_SECONDS = 5.0


def follow(
    console: Console, programs: Programs, seconds: float, on_look: Callable[[], None],
    pause: Callable[[float], None],
) -> None:  # fmt: skip
    """Show what the controller finds.

    Args:
        console: a table on a terminal, else a line every few seconds if something has changed.
        programs: the controller's.
        seconds: how long.
        on_look: is called twice a second.
        pause: sleeps for so many seconds.
    """
    end = time.monotonic() + seconds
    said: dict[str, int] = {}
    next_line = 0.0
    with Live(console=console, auto_refresh=False) as live:
        while (now := time.monotonic()) < end:
            on_look()
            metrics = programs.controller()
            if console.is_terminal:
                live.update(_table(metrics, end - now), refresh=True)
            elif now >= next_line and (entered := _entered(metrics)) != said:
                said, next_line = entered, now + _LINE_SECONDS
                counts = ", ".join(f"{verdict} {count}" for verdict, count in said.items())
                console.print(f"{end - now:3.0f} s left: {counts}")
            pause(min(_LOOK_SECONDS, max(end - time.monotonic(), 0)))


def _entered(metrics: Metrics) -> dict[str, int]:
    return {verdict: total(metrics, "flows_total", verdict=verdict) for verdict in _VERDICTS}


def _table(metrics: Metrics, left: float) -> Table:
    table = Table(title=f"flows that entered a verdict ({left:.0f} s left)", title_justify="left")
    table.add_column("verdict")
    for name in (*_PROTOCOLS, "all"):
        table.add_column(name, justify="right")
    for verdict in _VERDICTS:
        flows = [
            total(metrics, "flows_total", verdict=verdict, protocol=protocol)
            for protocol in _PROTOCOLS
        ]
        table.add_row(verdict, *map(str, (*flows, sum(flows))))
    table.add_section()
    table.add_row("pending", *[""] * len(_PROTOCOLS), str(total(metrics, "pending_flows")))
    rules = total(metrics, "redirect_rules")
    table.add_row("redirect rules", *[""] * len(_PROTOCOLS), str(rules))
    return table
