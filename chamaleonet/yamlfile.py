"""YAML files that people write, read into a model; what is wrong is told with its line.

Scalars are read as text and typed by the field they stand for, so that YAML's own guesses (``no``
is false, ``0010`` is eight) cannot change a switch's number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from chamaleonet.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Model = TypeVar("Model", bound=BaseModel)


class _Loader(yaml.SafeLoader):
    """Reads scalars as text; only an empty one, ``~`` and ``null`` stand for nothing."""

    yaml_implicit_resolvers = {  # noqa: RUF012  (PyYAML's own way)
        first: [(tag, pattern) for tag, pattern in resolvers if tag.endswith(":null")]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


Location = tuple[str | int, ...]


def _lines(node: yaml.Node, at: Location = ()) -> Iterator[tuple[Location, int]]:
    """Yield every node's location and line; a key's line stands for its value."""
    yield at, node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(
                    problem="a key must be a word", problem_mark=key.start_mark
                )
            if key.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"{key.value}: given twice", problem_mark=key.start_mark
                )
            seen.add(key.value)
            yield from _lines(value, (*at, key.value))
            yield (*at, key.value), key.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _lines(value, (*at, index))


def _complaint(path: Path, lines: dict[Location, int], error: ValidationError) -> str:
    """Say the first thing that is wrong as ``file:line: field: message``."""
    first = error.errors()[0]
    at: Location = first["loc"]
    known = next(at[:n] for n in range(len(at), -1, -1) if at[:n] in lines)
    field = ".".join(map(str, at))
    if first["type"] == "extra_forbidden":
        message = "unknown key"
    else:
        message = first["msg"].removeprefix("Value error, ")
    return f"{path}:{lines[known]}: {field}: {message}" if field else f"{path}: {message}"


def read(path: Path, model: type[Model]) -> Model:
    """Read a file; an empty one holds nothing but the model's defaults.

    Raises:
        UserError: the file cannot be read, is no YAML, or says something that is not allowed; the
            message is ``file:line: field: what is wrong``.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8 text") from None
    try:
        tree = yaml.compose(text, Loader=_Loader)
        lines: dict[Location, int] = dict(_lines(tree)) if tree is not None else {(): 1}
        document = yaml.load(text, Loader=_Loader)  # noqa: S506  (derived from SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UserError(f"{path}:{line}: {error.problem or error.context}") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise UserError(f"{path}: {str(error).splitlines()[0]}") from None
    if document is None:
        document = {}
    if not isinstance(document, dict):
        raise UserError(f"{path}:1: the file must hold keys and values")
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise UserError(_complaint(path, lines, error)) from None
