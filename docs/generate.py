"""Fill in what the documentation takes from the code, between its "generated" marks.

    python docs/generate.py [--check]

With --check nothing is written; the exit status is 1 if something is not up to date.
"""

from __future__ import annotations

import json
import re
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from prometheus_client import CollectorRegistry
from pydantic import BaseModel

from benchmarks.experiments import page as experiments
from chamaleonet import metrics as declared
from chamaleonet.analysis import schema
from chamaleonet.config import LIVE, Config, json_schema, load
from chamaleonet.doctor import examine
from chamaleonet.flows.transitions import TRANSITIONS, Event, State
from chamaleonet.lab import result, scenario
from chamaleonet.log import columns, healthy
from chamaleonet.log.events import jsonl as events
from chamaleonet.log.stream import messages
from chamaleonet.switch.probe import pipeline_of
from chamaleonet.top import view

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pydantic.fields import FieldInfo

DOCS = Path(__file__).parent
_MARKS = re.compile(
    r"(<!-- begin generated: (\w+) -->\n).*?(<!-- end generated: \2 -->)", re.DOTALL
)


def states() -> str:
    """Return the transition table as a Mermaid state diagram."""
    arrows: dict[tuple[State, State], list[Event]] = {}
    for (state, event), target in TRANSITIONS.items():
        if event is not Event.END:
            arrows.setdefault((state, target), []).append(event)
    lines = ["```mermaid", "stateDiagram-v2"]
    for (state, target), by in arrows.items():
        names = ", ".join(event.name.lower().replace("_", " ") for event in by)
        lines.append(f"    {_node(state)} --> {_node(target)}: {names}")
    return "\n".join([*lines, "```", ""])


def _node(state: State) -> str:
    return "[*]" if state is State.NONE else state.label


def configuration() -> str:
    """Return a table of every key of the configuration, by section."""
    return "\n".join(_section(Config, "Top level", Config().model_dump(mode="json")))


def _section(
    model: type[BaseModel], title: str, defaults: dict[str, Any], *, live: bool = False
) -> list[str]:
    lines = [f"### {title}", "", "| key | default | change | meaning |"]
    lines.append("| --- | --- | --- | --- |")
    inner = []
    for name, field in model.model_fields.items():
        section = _model_of(field)
        default = _default(field, defaults.get(name), section)
        change = "restart" if section is None else ""
        if field.json_schema_extra == LIVE or live:
            change = "live"
        meaning = (field.description or "").replace("|", "/")
        lines.append(f"| `{name}` | {default} | {change} | {meaning} |")
        if section is not None:
            given = defaults.get(name)
            below = f"`{name}`" if title == "Top level" else f"{title[:-1]}.{name}`"
            within = change == "live" and name != "switches"  # those come and go, as they are
            inner += _section(section, below, given if isinstance(given, dict) else {}, live=within)
    return [*lines, "", *inner]


def _model_of(field: FieldInfo) -> type[BaseModel] | None:
    """Return the section that a key holds, be it one, a list of them or none by default."""
    for kind in (field.annotation, *get_args(field.annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def _default(field: FieldInfo, dumped: Any, section: type[BaseModel] | None) -> str:
    if field.is_required():
        return "required"
    if section is not None:
        return "see below"
    value = field.get_default() if dumped is None else dumped
    if value is None or value in ([], ()):
        return "empty"
    return f"`{', '.join(map(str, value)) if isinstance(value, list | tuple) else value}`"


def metrics() -> str:
    """Return a table of the metrics of either process."""
    lines = []
    for title, kind in (
        ("Controller", declared.ControllerMetrics), ("Logger", declared.LoggerMetrics),
    ):  # fmt: skip
        registry = CollectorRegistry()
        kind(registry)
        lines += [f"### {title}", "", "| metric | type | labels | meaning |"]
        lines += ["| --- | --- | --- | --- |"]
        # A counter is registered under several names.
        lines += map(_metric, dict.fromkeys(registry._names_to_collectors.values()))
        lines.append("")
    lines += ["### Causes of `chamaleonet_dropped_total`", "", "| cause | what was lost |"]
    lines += ["| --- | --- |"]
    lines += [f"| `{cause}` | {meaning} |" for cause, meaning in declared.CAUSES.items()]
    lines += ["", "### Causes of `chamaleonet_openflow_errors_total`", ""]
    lines += ["| cause | what the other end did |", "| --- | --- |"]
    lines += [f"| `{cause}` | {meaning} |" for cause, meaning in declared.OPENFLOW_ERRORS.items()]
    return "\n".join([*lines, ""])


def sizing() -> str:
    """Return how many static rules the example configurations have, by table."""
    lines = ["| configuration | pipeline | scope | redirect | filter | forward | all |"]
    lines.append("| --- | --- | --- | --- | --- | --- | --- |")
    for path in sorted((DOCS.parent / "deploy").glob("*.yaml")):
        config = load(path)
        for switch in config.switches:
            rules = [rule.table for rule in pipeline_of(config, switch).static_rules()]
            counts = [rules.count(table) for table in switch.tables.model_dump().values()]
            cells = [f"`{path.name}`", switch.pipeline, *counts, len(rules)]
            lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join([*lines, ""])


def _metric(metric: Any) -> str:
    name = metric._name + ("_total" if metric._type == "counter" else "")
    labels = ", ".join(f"`{label}`" for label in metric._labelnames)
    return f"| `{name}` | {metric._type} | {labels} | {metric._documentation} |"


def top() -> str:
    """Return tables of the keys of `top` and of its columns."""
    lines = []
    for titles, rows in (("key | what it does", view.KEYS), ("column | meaning", view.MEANINGS)):
        lines += [f"| {titles} |", "| --- | --- |"]
        lines += [f"| {what} | {meaning} |" for what, meaning in rows] + [""]
    return "\n".join([*lines, ""])


def scenarios() -> str:
    """Return a table of the scenarios that come with the package."""
    lines = ["| scenario | seconds | what it shows | named by | related work |"]
    lines.append("| --- | ---: | --- | --- | --- |")
    for name in scenario.names():
        loaded = scenario.load(name)
        namers = dict.fromkeys(namer for plant in loaded.plants for namer in plant.named_by)
        named_by = ", ".join(f"`{namer}`" for namer in namers)
        cells = [f"`{name}`", loaded.seconds, loaded.title, named_by, loaded.literature]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join([*lines, ""])


def grammar() -> str:
    """Return tables of every key of a scenario, by section."""
    of_traffic = scenario.Traffic.model_fields
    lines = []
    for title, model in (
        ("A scenario", scenario.Scenario), ("`servers`", scenario.Server),
        ("`traffic`", scenario.Traffic), ("`plants`", scenario.Plant),
        ("`plants.match`", scenario.Match), ("`faults`", scenario.Fault),
        ("`replay`", scenario.Replay),
    ):  # fmt: skip
        lines += [f"### {title}", "", "| key | default | meaning |", "| --- | --- | --- |"]
        if model is scenario.Plant:
            lines.append("| as `traffic` has |  |  |")
        for name, field in model.model_fields.items():
            if model is scenario.Plant and name in of_traffic:
                continue
            default = "empty" if field.default == {} else _default(field, None, _model_of(field))
            lines.append(f"| `{name}` | {default} | {field.description} |")
        lines.append("")
    return "\n".join(lines)


GENERATED: dict[str, Callable[[], str]] = {
    "states": states,
    "sizing": sizing,
    "columns": columns.markdown,
    "healthy": lambda: columns.markdown(healthy.COLUMNS),
    "stream": messages.markdown,
    "eve": partial(events.markdown, "eve"),
    "ecs": partial(events.markdown, "ecs"),
    "configuration": configuration,
    "metrics": metrics,
    "top": top,
    "doctor": examine.markdown,
    "experiments": lambda: experiments.markdown(DOCS / "experiments"),
    "scenarios": scenarios,
    "grammar": grammar,
}


def filled(text: str) -> str:
    """Return a page with its generated parts made anew."""
    return _MARKS.sub(lambda part: part[1] + GENERATED[part[2]]() + part[3], text)


SCHEMAS: dict[str, Callable[[], dict[str, Any]]] = {
    "flow-log.schema.json": columns.json_schema,
    "events.schema.json": partial(events.json_schema, "eve"),
    "events-ecs.schema.json": partial(events.json_schema, "ecs"),
    "report.schema.json": schema.json_schema,
    "verdict-stream.schema.json": messages.json_schema,
    "configuration.schema.json": json_schema,
    "lab-result.schema.json": result.json_schema,
}


def pages() -> Iterator[tuple[Path, str]]:
    """Yield every generated file, and what it is to hold."""
    for page in sorted(DOCS.glob("*.md")):
        yield page, filled(page.read_text())
    for name, made in SCHEMAS.items():
        yield DOCS / name, json.dumps(made(), indent=1) + "\n"


def main(arguments: list[str]) -> int:
    """Write, or with --check compare, all pages."""
    stale = 0
    for page, text in pages():
        if not page.exists() or page.read_text() != text:
            stale += 1
            print(f"{page}: {'not up to date' if '--check' in arguments else 'written'}")
            if "--check" not in arguments:
                page.write_text(text)
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
