"""Events as JSON Lines, one per line: what log shippers (Filebeat, Vector, Splunk) follow.

An event tells that a flow's verdict changed (``verdict``) or that a flow ended (``flow``, its final
record). Its field names are Suricata's (eve.py) or Elastic's (ecs.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import orjson

from chamaleonet.log.events import ecs, eve
from chamaleonet.log.events import fields as tables
from chamaleonet.log.events.rows import rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

Kind = Literal["verdict", "flow"]
Fields = Literal["eve", "ecs"]

_EVENT = {"eve": eve.event, "ecs": ecs.event}
_FIELDS = {"eve": eve.FIELDS, "ecs": ecs.FIELDS}
_TITLES = {"eve": "ChamaleoNet event", "ecs": "ChamaleoNet event (Elastic Common Schema)"}


def events(flows: NDArray[Any], kind: Kind, fields: Fields = "eve") -> bytes:
    """Return one line of JSON per flow.

    Args:
        flows: FLOW, shape (n,).
        kind: what happened to each of them.
        fields: which names the fields have.
    """
    event = _EVENT[fields]
    return b"".join(
        [orjson.dumps(event(row, kind), option=orjson.OPT_APPEND_NEWLINE) for row in rows(flows)]
    )


def json_schema(fields: Fields) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of one line."""
    return tables.json_schema(_TITLES[fields], _FIELDS[fields])


def markdown(fields: Fields) -> str:
    """Return the table of fields as docs/events.md shows it."""
    return tables.markdown(_FIELDS[fields])


class EventLog:
    """Writes events as they come; a sinks.EventSink.

    Args:
        write: takes whole lines.
        fields: which names the fields have.
    """

    def __init__(self, write: Callable[[bytes], object], fields: Fields = "eve") -> None:
        self._write, self._fields = write, fields

    def verdicts(self, flows: NDArray[Any]) -> None:
        """Write that the verdicts of flows (FLOW, shape (n,)) changed."""
        self._write(events(flows, "verdict", self._fields))

    def ended(self, flows: NDArray[Any]) -> None:
        """Write the final records of flows (FLOW, shape (n,))."""
        self._write(events(flows, "flow", self._fields))
