"""Fields of JSON events: the JSON Schema and the table in the documentation are made from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Field:
    """One field.

    Attributes:
        name: where it is: ``flow.start`` is ``start`` in the object ``flow``.
        schema: a value's JSON Schema.
        meaning: one sentence, without a full stop.
        absent: when it is left out; empty for never.
    """

    name: str
    schema: dict[str, Any]
    meaning: str
    absent: str = ""


def unsigned(bits: int) -> dict[str, Any]:
    """Return the schema of an integer that is not negative."""
    return {"type": "integer", "minimum": 0, "maximum": 2**bits - 1}


def one_of(*values: str) -> dict[str, Any]:
    """Return the schema of a word."""
    return {"type": "string", "enum": list(values)}


def array(items: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of an array that is not empty."""
    return {"type": "array", "items": items, "minItems": 1}


TEXT: dict[str, Any] = {"type": "string"}
ADDRESS: dict[str, Any] = {"type": "string", "anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]}
COMMUNITY_ID: dict[str, Any] = {"type": "string", "pattern": "^1:[A-Za-z0-9+/]{27}=$"}
SECONDS: dict[str, Any] = {"type": "number", "minimum": 0}
UINT8, UINT16, UINT32, UINT64 = (unsigned(bits) for bits in (8, 16, 32, 64))


def json_schema(title: str, fields: tuple[Field, ...]) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of an event; it allows no field but these."""
    schema = _object(fields, "")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title, **schema}


def _object(fields: tuple[Field, ...], path: str) -> dict[str, Any]:
    """Return the schema of the object at ``path``, which ends with a dot or is empty."""
    properties: dict[str, Any] = {}
    required: list[str] = []
    for field in fields:
        if not field.name.startswith(path):
            continue
        name, _, inner = field.name.removeprefix(path).partition(".")
        if not field.absent and name not in required:
            required.append(name)
        if not inner:
            meaning = field.meaning + (f"; absent: {field.absent}" if field.absent else "")
            properties[name] = {"description": meaning, **field.schema}
        elif name not in properties:
            properties[name] = _object(fields, f"{path}{name}.")
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def markdown(fields: tuple[Field, ...]) -> str:
    """Return the table of fields as docs/events.md shows it."""
    lines = ["| field | type | meaning | absent where |", "| --- | --- | --- | --- |"]
    for field in fields:
        inner = field.schema.get("items", field.schema)
        listed = f" ({', '.join(inner['enum'])})" if "enum" in inner else ""
        kind = f"array of {inner['type']}" if inner is not field.schema else inner["type"]
        lines.append(
            f"| `{field.name}` | {kind} | {field.meaning}{listed} | {field.absent or 'never'} |"
        )
    return "\n".join(lines) + "\n"
