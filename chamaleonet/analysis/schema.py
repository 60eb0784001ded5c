"""What the report looks like: its JSON Schema, and the columns of its lists of rows.

The tables say what their columns mean (``about.tables``); this says which there are, and their
types. docs/report.schema.json is made of it.
"""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Any, get_args

from chamaleonet.analysis.suppressions import FindingKind
from chamaleonet.flows.records import Direction
from chamaleonet.flows.transitions import VERDICTS

if TYPE_CHECKING:
    Schema = dict[str, Any]

# "unit" is no word of JSON Schema's, which lets anyone annotate: how a value is to be read.
_TEXT: Schema = {"type": "string"}
_FLAG: Schema = {"type": "boolean"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_NUMBER: Schema = {"type": "number"}
_AMOUNT: Schema = {"type": "number", "minimum": 0}
_SECONDS: Schema = {"unit": "seconds", **_AMOUNT}
_SHARE: Schema = {"unit": "share", "type": "number", "minimum": 0, "maximum": 1}
_PERCENT: Schema = {"unit": "percent", "type": "integer", "minimum": 0, "maximum": 100}
_PORT: Schema = {"unit": "port", "type": "integer", "minimum": 0, "maximum": 65535}
_WEEKDAY: Schema = {"unit": "weekday", "type": "integer", "minimum": 0, "maximum": 6}
_TIME: Schema = {
    "unit": "UTC",
    "type": "string",
    "format": "date-time",
    "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{9})?Z$",
}
_DAY: Schema = {"type": "string", "format": "date"}


def _one_of(*values: str) -> Schema:
    return {"enum": list(values)}


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _object(**members: Schema) -> Schema:
    return {
        "type": "object",
        "properties": members,
        "required": list(members),
        "additionalProperties": False,
    }


def _list(schema: Schema) -> Schema:
    return {"type": "array", "items": schema}


def _rows(**columns: Schema) -> Schema:
    return _list(_object(**columns))


_DIRECTION = _one_of(*(direction.label for direction in Direction))
_SERVICE = {"protocol": _TEXT, "server_port": _or_null(_PORT)}
_SPAN = {"first": _TIME, "last": _TIME}
_FROM_TO = {"begin": _TIME, "end": _TIME}
_SHARE_OR_NULL, _COUNT_OR_NULL = _or_null(_SHARE), _or_null(_COUNT)

_HEALTH = _object(
    flows=_COUNT_OR_NULL, failed=_COUNT, health=_SHARE_OR_NULL, correlation=_or_null(_NUMBER),
    hours=_rows(hour=_TIME, flows=_COUNT_OR_NULL, failed=_COUNT, health=_SHARE_OR_NULL),
)  # fmt: skip
_PAIRS = {
    "pairs": _COUNT, "answered": _COUNT, "mixed": _COUNT, "refused": _COUNT, "unanswered": _COUNT,
    "answered_flows": _COUNT_OR_NULL, "answered_hosts": _COUNT_OR_NULL,
    "success_at_least": _SHARE_OR_NULL,
}  # fmt: skip
_SKEW = _object(
    hosts=_COUNT, flows=_COUNT, gini=_or_null(_NUMBER), top_1_percent=_SHARE_OR_NULL,
    lorenz=_rows(hosts=_SHARE, flows=_SHARE),
    top=_rows(host=_TEXT, flows=_COUNT, share=_SHARE_OR_NULL),
)  # fmt: skip
_STABILITY = _object(
    hours_of_week=_rows(
        weekday=_WEEKDAY,
        hour={"type": "integer", "minimum": 0, "maximum": 23},
        hours=_AMOUNT, flows=_COUNT, per_hour=_or_null(_AMOUNT),
    ),
    working_hours_ratio=_or_null(_AMOUNT),
    autocorrelation=_rows(lag=_COUNT, value=_or_null(_NUMBER)),
)  # fmt: skip
_FAN_OUT = {
    "client": _TEXT, "direction": _DIRECTION, "servers": _COUNT, "services": _COUNT,
    "flows": _COUNT, "failed": _COUNT, "erroneous": _COUNT, **_FROM_TO,
}  # fmt: skip
_FAILURES = {
    "flows": _COUNT_OR_NULL, "failed": _COUNT, "failed_share": _SHARE_OR_NULL,
    "share": _SHARE_OR_NULL,
}  # fmt: skip
_LEAKED = {"end": _one_of("client", "server"), "prefix": _TEXT}

TABLES: dict[str, Schema] = {
    "verdicts": _rows(
        direction=_one_of(*(direction.label for direction in Direction)),
        protocol=_TEXT,
        verdict=_one_of(*(state.label for state in VERDICTS)),
        flows=_COUNT, share=_SHARE_OR_NULL, erroneous_share=_SHARE_OR_NULL,
        packets=_COUNT_OR_NULL, packet_share=_SHARE_OR_NULL,
        erroneous_packet_share=_SHARE_OR_NULL,
    ),
    "health": _object(all=_HEALTH, web=_HEALTH),
    "host_pairs": _object(
        localities=_rows(locality=_TEXT, **_PAIRS),
        ports=_rows(**_SERVICE, locality=_TEXT, **_PAIRS),
    ),
    "skew": _object(clients=_SKEW, servers=_SKEW),
    "stability": _object(clients=_STABILITY, servers=_STABILITY),
    "retries": _object(
        gaps=_COUNT,
        cdf=_rows(gap=_SECONDS, shorter=_SHARE),
        frequent=_rows(gap=_SECONDS, gaps=_COUNT, share=_SHARE_OR_NULL),
        periodic_runs=_COUNT,
        periodic_flows=_COUNT,
        periodic=_rows(
            client=_TEXT, server=_TEXT, **_SERVICE, direction=_DIRECTION, flows=_COUNT, **_FROM_TO,
            span=_SECONDS, period=_SECONDS, irregularity=_AMOUNT,
        ),
    ),
    "scanners": _object(
        scanners=_COUNT, scanner_flows=_COUNT, scanner_share=_SHARE_OR_NULL,
        list=_rows(
            **_FAN_OUT, longest_run=_COUNT, order=_one_of("ascending", "descending"),
            failure_ratio=_SHARE_OR_NULL,
        ),
        fan_out=_rows(**_FAN_OUT, failure_ratio=_SHARE_OR_NULL),
    ),
    "timeouts": _object(
        percentiles=_rows(
            direction=_DIRECTION, hosts=_COUNT, addresses=_PERCENT,
            **{f"p{percent}": _or_null(_SECONDS) for percent in (1, 50, 80, 90, 95, 98, 99)},
        ),
        delays=_rows(
            direction=_DIRECTION, delay=_or_null(_SECONDS), replies=_COUNT, share=_SHARE_OR_NULL
        ),
        late=_rows(
            direction=_DIRECTION, protocol=_TEXT, late=_COUNT, share=_SHARE_OR_NULL,
            longest=_SECONDS,
        ),
        judged=_rows(
            direction=_DIRECTION, timeout=_SECONDS, answered=_COUNT_OR_NULL, late=_COUNT_OR_NULL,
            unanswered=_COUNT, false_share=_SHARE_OR_NULL, late_share=_SHARE_OR_NULL,
        ),
        recommended=_object(timeout=_or_null(_SECONDS), false_share=_SHARE_OR_NULL, reason=_TEXT),
    ),
    "artefacts": _object(
        duplicates=_rows(
            server=_TEXT, **_SERVICE, flows=_COUNT, clients=_COUNT, requests=_COUNT, replies=_COUNT,
            most=_AMOUNT, **_SPAN,
        ),
        duplicates_counted=_rows(
            host=_TEXT, direction=_DIRECTION, **_SERVICE, flows=_COUNT, minutes=_COUNT,
            requests=_COUNT, replies=_COUNT, **_SPAN,
        ),
        wakeup=_rows(
            server=_TEXT, **_SERVICE, flows=_COUNT, clients=_COUNT, requests=_COUNT,
            lost=_COUNT_OR_NULL, shortest=_SECONDS, longest=_SECONDS, **_SPAN,
        ),
        unreachable=_rows(client=_TEXT, client_port=_PORT, flows=_COUNT, servers=_COUNT, **_SPAN),
    ),
    "simultaneous": _rows(
        time=_TIME, aggregate=_one_of("network", "port"), network=_or_null(_TEXT),
        protocol=_or_null(_TEXT), server_port=_or_null(_PORT), failing_servers=_COUNT,
        minimum=_COUNT, servers=_COUNT, repeated=_COUNT, clients=_COUNT, sweep=_FLAG, flows=_COUNT,
        recovered=_COUNT, failing=_COUNT, median_recovery=_or_null(_SECONDS),
        longest_recovery=_or_null(_SECONDS),
    ),
    "leaks": _object(
        prefixes=_rows(
            **_LEAKED, purpose=_TEXT, flows=_COUNT, packets=_COUNT, clients=_COUNT, servers=_COUNT,
            ports=_COUNT, **_SPAN,
        ),
        hosts=_rows(
            client=_TEXT, **_LEAKED, flows=_COUNT, packets=_COUNT, servers=_COUNT, **_SPAN
        ),
    ),
    "network_change": _object(
        hosts=_COUNT, failing_hosts=_COUNT, failures=_COUNT, later=_COUNT,
        first_minute=_SHARE_OR_NULL, first_four_minutes=_SHARE_OR_NULL,
        previously_contacted=_SHARE_OR_NULL,
        curve=_rows(seconds=_SECONDS, failures=_COUNT, share=_SHARE_OR_NULL),
    ),
    "applications": _object(
        categories=_rows(
            direction=_DIRECTION, category=_TEXT, ports=_COUNT, clients=_COUNT, **_FAILURES
        ),
        popularity=_rows(popularity=_one_of("popular", "rare"), ports=_COUNT, **_FAILURES),
        ports=_rows(**_SERVICE, category=_TEXT, clients=_COUNT, **_FAILURES),
    ),
    "radiation": _object(
        summary=_rows(
            kind=_one_of("radiation", "campaigns", "backscatter"), flows=_COUNT, packets=_COUNT,
            sources=_COUNT_OR_NULL, targets=_COUNT_OR_NULL, dark_targets=_COUNT_OR_NULL,
        ),
        sources=_rows(
            source=_TEXT, flows=_COUNT, packets=_COUNT, targets=_COUNT, ports=_COUNT, **_SPAN
        ),
        ports=_rows(
            protocol=_TEXT, port=_or_null(_PORT), flows=_COUNT, packets=_COUNT, sources=_COUNT,
            targets=_COUNT,
        ),
        campaigns=_rows(
            protocol=_TEXT, port=_or_null(_PORT), network=_TEXT, flows=_COUNT, packets=_COUNT,
            sources=_COUNT, targets=_COUNT, **_SPAN,
        ),
        backscatter=_rows(
            source=_TEXT, protocol=_TEXT, port=_or_null(_PORT), flows=_COUNT, packets=_COUNT,
            targets=_COUNT, **_SPAN,
        ),
    ),
}  # fmt: skip

_KIND = _one_of(*get_args(FindingKind))
EVIDENCE: dict[str, Schema] = {
    "client": _or_null(_TEXT), "server": _or_null(_TEXT), "protocol": _or_null(_TEXT),
    "server_port": _or_null(_PORT), **_SPAN, "flows": _COUNT, "requests": _COUNT,
    "period": _or_null(_SECONDS), "detail": _TEXT,
}  # fmt: skip
FINDING: dict[str, Schema] = {
    "kind": _KIND, "confidence": _SHARE, "flows": _COUNT, "share": _SHARE_OR_NULL,
    "hosts": _list(_TEXT), "evidence": _rows(**EVIDENCE), "cause": _TEXT, "fix": _TEXT,
}  # fmt: skip
MACHINE: dict[str, Schema] = {
    "host": _TEXT, "flows": _COUNT, "share": _SHARE_OR_NULL, "kinds": _list(_KIND),
}  # fmt: skip
_SUPPRESSION = _object(
    kind=_or_null(_KIND), host=_or_null(_TEXT), client=_or_null(_TEXT), server=_or_null(_TEXT),
    port=_or_null(_PORT), until=_DAY, reason=_TEXT,
)  # fmt: skip
_COLUMNS = {"type": "object", "additionalProperties": _object(label=_TEXT, unit=_TEXT)}
_ABOUT = _object(
    version=_TEXT, generated=_TIME, source=_TEXT, engine=_TEXT, since=_or_null(_TIME),
    until=_or_null(_TIME), begin=_or_null(_TIME), end=_or_null(_TIME), flows=_COUNT_OR_NULL,
    logged=_COUNT, suspect=_COUNT, erroneous=_COUNT, timeout=_SECONDS, timezone=_TEXT,
    working_hours=_list(_COUNT), working_days=_list(_COUNT), without_scanners=_FLAG,
    internal_only=_list(_TEXT), indicators=_COUNT,
    tables=_object(
        **{
            name: _object(title=_TEXT, unit=_TEXT, vantage=_TEXT, note=_TEXT, columns=_COLUMNS)
            for name in TABLES
        }
    ),
    evidence=_COLUMNS,
)  # fmt: skip


def json_schema() -> Schema:
    """Return the JSON Schema (draft 2020-12) of the report."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "ChamaleoNet report",
        "description": "What `chamaleonet report --json` writes. docs/report.md tells the meaning.",
        **_object(
            about=_ABOUT,
            tables=_object(**TABLES),
            findings=_rows(**FINDING),
            explained=_SHARE_OR_NULL,
            machines=_rows(**MACHINE),
            suppressed=_object(
                share=_SHARE_OR_NULL,
                findings=_rows(**FINDING, suppression=_SUPPRESSION),
                expired=_list(_SUPPRESSION),
            ),
        ),
    }


def at(path: tuple[str, ...]) -> Schema:
    """Return the schema of what stands in a table's value, by the names that lead to it."""
    name, *inner = path
    return reduce(lambda schema, key: schema["properties"][key], inner, TABLES[name])


def columns(path: tuple[str, ...]) -> dict[str, Schema]:
    """Return the schemas of a list's columns, by its table's name and the names that lead to it."""
    schemas: dict[str, Schema] = at(path)["items"]["properties"]
    return schemas


def unit(schema: Schema) -> str:
    """Return how a value, if there is one, is to be read; "" where its type tells."""
    schema = schema.get("anyOf", [schema])[0]
    return str(schema.get("unit", ""))
