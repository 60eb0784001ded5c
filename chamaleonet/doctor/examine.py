"""All checks, made one after the other, and what they said as a table or as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from rich.text import Text

from chamaleonet.doctor.abilities import ABILITIES
from chamaleonet.doctor.bridge import BRIDGE, VERSION
from chamaleonet.doctor.check import Check, Context, Result, Skip, Verdict
from chamaleonet.doctor.ports import PORTS
from chamaleonet.doctor.rules import RULES
from chamaleonet.doctor.running import RUNNING
from chamaleonet.doctor.system import CLOCK_STEPS, SYSTEM

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from rich.console import Console

    from chamaleonet.config import Config
    from chamaleonet.doctor.machine import Machine

# The order of the table. Clock steps come last: something has to have gone on meanwhile.
CHECKS = (*SYSTEM, *RUNNING, VERSION, *BRIDGE, *ABILITIES, *PORTS, *RULES, CLOCK_STEPS)


class Examined(NamedTuple):
    """What a check said.

    Attributes:
        check: its name.
        switch: the switch that it was about, None: the machine.
        result: what it said.
    """

    check: str
    switch: str | None
    result: Result


def examine(
    machine: Machine, config: Config, file: Path | None = None, *, seconds: float = 3.0
) -> Iterator[Examined]:
    """Make all checks; yield what each says.

    Args:
        machine: where to look.
        config: the configuration.
        file: where it was read.
        seconds: how long to watch the traffic of each switch.
    """
    offset = machine.clock_offset()
    whole = Context(machine, config, file, seconds, None, offset)
    switches = [Context(machine, config, file, seconds, each, offset) for each in config.switches]
    for check in (check for check in CHECKS if check.of == "machine" and check != CLOCK_STEPS):
        yield Examined(check.name, None, _result(check, whole))
    for context in switches:
        for check in (check for check in CHECKS if check.of == "switch"):
            yield Examined(check.name, context.switch.name, _result(check, context))
    yield Examined(CLOCK_STEPS.name, None, _result(CLOCK_STEPS, whole))


def _result(check: Check, context: Context) -> Result:
    try:
        return check.run(context)
    except Skip as skip:
        return skip.result


def worst(examined: Iterable[Examined]) -> Verdict:
    """Return FAIL if anything fails, else WARN if anything could be better, else OK."""
    verdicts = {each.result.verdict for each in examined}
    return next((each for each in (Verdict.FAIL, Verdict.WARN) if each in verdicts), Verdict.OK)


def print_one(console: Console, examined: Examined) -> None:
    """Print a check's line, and below it what to do."""
    verdict, found, todo = examined.result
    line = Text(f"{verdict.value:<8}", "bold" if verdict in (Verdict.FAIL, Verdict.WARN) else "")
    line.append(f"{examined.switch or '-':<10} {examined.check:<15} {found}", "not bold")
    console.print(line, soft_wrap=True, highlight=False)
    if todo:
        console.print(Text(f"{'':<8}{'':<10} {'':<15} > {todo}"), soft_wrap=True, highlight=False)


def as_json(examined: list[Examined]) -> str:
    """Return everything as one JSON object."""
    checks = [
        {
            "check": each.check,
            "switch": each.switch,
            "verdict": each.result.verdict.value,
            "found": each.result.found,
            "do": each.result.todo or None,
        }
        for each in examined
    ]
    return json.dumps({"verdict": worst(examined).value, "checks": checks}, indent=1)


def markdown() -> str:
    """Return the table of checks for docs/doctor.md."""
    lines = ["| check | of | what must be so |", "| --- | --- | --- |"]
    lines += [f"| {check.name} | {check.of} | {check.meaning} |" for check in CHECKS]
    return "\n".join([*lines, ""])
