"""Flows, and counters of healthy ones, as Arrow columns; and those as Parquet or JSON Lines.

Imported when the first rows are written: Arrow takes a tenth of a second to load.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from chamaleonet import __version__
from chamaleonet.flows.records import MARK_CLIENT_HIGH, Direction, Quality
from chamaleonet.flows.transitions import State
from chamaleonet.log import healthy
from chamaleonet.log.columns import COLUMNS, PORT_PROTOCOLS, Column, Kind, protocol_name
from chamaleonet.log.community_id import COMMUNITY_ID_BYTES
from chamaleonet.log.flowtext import flow_texts
from chamaleonet.log.tally import MINUTE, NO_REPLY

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from chamaleonet.log.output import Output

_ARROW = {
    Kind.TIME: pa.timestamp("ns", "UTC"),
    Kind.LABEL: pa.dictionary(pa.uint8(), pa.string()),
    Kind.TEXT: pa.string(),
    Kind.UINT8: pa.uint8(),
    Kind.UINT16: pa.uint16(),
    Kind.UINT32: pa.uint32(),
    Kind.UINT64: pa.uint64(),
    Kind.SECONDS: pa.float64(),
}


def _schema(columns: tuple[Column, ...]) -> pa.Schema:
    fields = []
    for column in columns:
        told = {"meaning": column.meaning, "unit": column.unit, "null": column.null}
        metadata = {name: text for name, text in told.items() if text}
        kind = _ARROW[column.kind]
        fields.append(pa.field(column.name, kind, nullable=bool(column.null), metadata=metadata))
    return pa.schema(fields, metadata={"writer": f"chamaleonet {__version__}"})


SCHEMA = _schema(COLUMNS)
HEALTHY_SCHEMA = _schema(healthy.COLUMNS)

# What a column's values are in memory, where they are numbers.
_NUMPY: dict[Kind, Any] = {
    Kind.TIME: np.int64,
    Kind.UINT8: np.uint8,
    Kind.UINT16: np.uint16,
    Kind.UINT32: np.uint32,
    Kind.UINT64: np.uint64,
    Kind.SECONDS: np.float64,
}


# Arrays are made of buffers: pa.array() would import pandas, if it is there, in 0.3 s.


def _numbers(kind: Kind, values: NDArray[Any], missing: NDArray[np.bool_] | None) -> pa.Array:
    data = pa.py_buffer(np.ascontiguousarray(values, _NUMPY[kind]))
    valid = None if missing is None else _bits(~missing)
    return pa.Array.from_buffers(_ARROW[kind], len(values), [valid, data])


def _bits(flags: NDArray[np.bool_]) -> pa.Buffer:
    return pa.py_buffer(np.packbits(flags, bitorder="little"))


def _strings(texts: list[str]) -> pa.StringArray:
    ends = np.cumsum([0, *(len(text.encode()) for text in texts)], dtype=np.int32)
    data = pa.py_buffer("".join(texts).encode())
    return pa.StringArray.from_buffers(len(texts), pa.py_buffer(ends), data)


_VERDICTS = _strings([state.label for state in State])
_DIRECTIONS = _strings([direction.label for direction in Direction])
_QUALITIES = _strings([quality.label for quality in Quality])
_PROTOCOLS = _strings([protocol_name(number) for number in range(256)])

_HAS_PORTS = np.zeros(256, np.bool_)
_HAS_PORTS[list(PORT_PROTOCOLS)] = True


def _text_columns(flows: NDArray[np.void], no_sender: NDArray[np.bool_]) -> dict[str, pa.Array]:
    n = len(flows)
    addresses, ends, community_ids = flow_texts(flows)

    def text(ends: NDArray[np.int32], data: NDArray[np.uint8], valid: Any = None) -> pa.Array:
        return pa.StringArray.from_buffers(n, pa.py_buffer(ends), pa.py_buffer(data), valid)

    fixed = COMMUNITY_ID_BYTES * np.arange(n + 1, dtype=np.int32)
    return {
        "client": text(ends[0], addresses[0]),
        "server": text(ends[1], addresses[1]),
        "icmp_sender": text(ends[2], addresses[2], _bits(~no_sender)),
        "community_id": text(fixed, community_ids),
    }


def _label(numbers: NDArray[np.uint8], names: pa.Array) -> pa.Array:
    return pa.DictionaryArray.from_arrays(_numbers(Kind.UINT8, numbers, None), names)


def _batch(
    columns: tuple[Column, ...], schema: pa.Schema, records: NDArray[np.void], made: dict[str, Any]
) -> pa.RecordBatch:
    """Return columns: those that were made, as an array or as (values, missing), and the others.

    Args:
        columns: in order.
        schema: theirs.
        records: hold the columns that need no making, under the same name.
        made: arrays, or values and where they are missing, by column.
    """
    arrays = []
    for column in columns:
        values = made.get(column.name)
        if values is None:
            values = records[column.name], None
        arrays.append(_numbers(column.kind, *values) if isinstance(values, tuple) else values)
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def arrow_batch(flows: NDArray[np.void]) -> pa.RecordBatch:
    """Return flows as the columns of the log.

    Args:
        flows: FLOW, shape (n,).
    """
    state, protocol = flows["state"], (flows["kind"] >> 8).astype(np.uint8)
    low_port, high_port = flows["ports"] >> 16, flows["ports"] & 0xFFFF
    client_high = flows["marks"] & MARK_CLIENT_HIGH != 0
    no_port = ~_HAS_PORTS[protocol]
    no_sender = (flows["sender_hi"] | flows["sender_lo"]) == 0
    made = {
        "verdict": _label(state, _VERDICTS),
        "direction": _label(flows["direction"], _DIRECTIONS),
        "protocol": _label(protocol, _PROTOCOLS),
        "quality": _label(flows["quality"], _QUALITIES),
        "client_port": (np.where(client_high, high_port, low_port), no_port),
        "server_port": (np.where(client_high, low_port, high_port), no_port),
        "judged": (flows["judged"], (state == State.PENDING) | (state == State.MIDSTREAM)),
        "vlan": (flows["vlan"], flows["vlan"] == 0),
        "reply_delay": (flows["reply_delay"] / 1e9, flows["reply_delay"] < 0),
        "icmp_type": (flows["icmp_type"], no_sender),
        "icmp_code": (flows["icmp_code"], no_sender),
        **_text_columns(flows, no_sender),
    }
    return _batch(COLUMNS, SCHEMA, flows, made)


def healthy_batch(counts: NDArray[np.void]) -> pa.RecordBatch:
    """Return counters of healthy flows as the columns of healthy.py.

    Args:
        counts: tally.COUNT, shape (n,).
    """
    protocol = (counts["kind"] >> 8).astype(np.uint8)
    no_host = counts["direction"] == Direction.TRANSIT
    no_reply = counts["delay"] == NO_REPLY
    made: dict[str, Any] = {
        "minute": (counts["minute"] * MINUTE, None),
        "host": _hosts(counts, no_host),
        "direction": _label(counts["direction"], _DIRECTIONS),
        "protocol": _label(protocol, _PROTOCOLS),
        "server_port": (counts["server_port"], ~_HAS_PORTS[protocol]),
        "verdict": _label(counts["state"], _VERDICTS),
        "delay": (np.array(healthy.DELAYS)[np.where(no_reply, 0, counts["delay"])], no_reply),
    }
    for name in ("client_packets", "server_packets", "client_bytes", "server_bytes"):
        made[name] = counts[name], counts["complete"] == 0
    return _batch(healthy.COLUMNS, HEALTHY_SCHEMA, counts, made)


def _hosts(counts: NDArray[np.void], missing: NDArray[np.bool_]) -> pa.StringArray:
    texts = [
        str(IPv4Address(low) if kind & 15 == 4 else IPv6Address(high << 64 | low))
        for kind, high, low in zip(
            *(counts[name].tolist() for name in ("kind", "host_hi", "host_lo")), strict=True
        )
    ]
    _, ends, data = _strings(texts).buffers()
    return pa.StringArray.from_buffers(len(texts), ends, data, _bits(~missing))


class Encoder(Protocol):
    """Writes batches of rows to a file in some format."""

    def write(self, records: NDArray[np.void]) -> None:
        """Write records, shape (n,)."""

    def finish(self) -> None:
        """Write what the format wants at its end."""


class ParquetEncoder:
    """Apache Parquet, one row group per batch.

    Args:
        file: where to write.
        schema: of the rows.
        batch: makes rows of records.
    """

    def __init__(
        self,
        file: Output,
        schema: pa.Schema = SCHEMA,
        batch: Callable[[NDArray[np.void]], pa.RecordBatch] = arrow_batch,
    ) -> None:
        self._batch = batch
        self._writer = pq.ParquetWriter(
            file,
            schema,
            compression="zstd",
            # Elsewhere a dictionary costs more time than it saves room.
            use_dictionary=[field.name for field in schema if pa.types.is_dictionary(field.type)],
        )

    def write(self, records: NDArray[np.void]) -> None:
        """Write one row group."""
        self._writer.write_batch(self._batch(records))

    def finish(self) -> None:
        """Write the footer."""
        self._writer.close()


class JsonlEncoder:
    """JSON Lines (https://jsonlines.org)."""

    def __init__(self, file: Output) -> None:
        self._file = file

    def write(self, records: NDArray[np.void]) -> None:
        """Write one line for each flow."""
        self._file.write(_json_lines(arrow_batch(records)))

    def finish(self) -> None:
        """Nothing follows the last line."""


def _json_lines(batch: pa.RecordBatch) -> memoryview:
    """Return one line of JSON per row."""
    import pyarrow.compute as pc  # a third of the start-up time, and not needed for Parquet

    quote = pa.scalar('"')
    pieces: list[pa.Array | pa.Scalar] = []
    for n, (column, values) in enumerate(zip(COLUMNS, batch.columns, strict=True)):
        text = values.cast(pa.string())
        if column.kind is Kind.TIME:  # Arrow writes a space where ISO 8601 has a T
            text = pc.utf8_replace_slice(text, 10, 11, "T")
        if column.kind.schema["type"] == "string":  # no value has a character to escape
            text = pc.binary_join_element_wise(quote, text, quote, "")
        pieces += [pa.scalar(f'{"," if n else "{"}"{column.name}":'), text]
    lines = pc.binary_join_element_wise(
        *pieces, pa.scalar("}\n"), "", null_handling="replace", null_replacement="null"
    )
    _, _, data = lines.buffers()
    return memoryview(data)
