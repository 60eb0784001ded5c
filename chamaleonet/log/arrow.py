"""Flows as Arrow columns, and those as Parquet or JSON Lines.

Imported when the first rows are written: Arrow takes a tenth of a second to load.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from chamaleonet import __version__
from chamaleonet.flows.records import MARK_CLIENT_HIGH, Direction
from chamaleonet.flows.transitions import State
from chamaleonet.kernels import inlined, kernel
from chamaleonet.log.columns import COLUMNS, PORT_PROTOCOLS, Kind, protocol_name
from chamaleonet.log.community_id import COMMUNITY_ID_BYTES, SHA1_WORDS, write_community_id
from chamaleonet.log.text import ADDRESS_BYTES, write_address

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from chamaleonet.log.output import OutputFile

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

SCHEMA = pa.schema(
    [
        pa.field(
            column.name,
            _ARROW[column.kind],
            nullable=bool(column.null),
            metadata={
                name: text
                for name, text in (
                    ("meaning", column.meaning), ("unit", column.unit), ("null", column.null)
                )
                if text
            },
        )
        for column in COLUMNS
    ],
    metadata={"writer": f"chamaleonet {__version__}"},
)  # fmt: skip

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
_PROTOCOLS = _strings([protocol_name(number) for number in range(256)])

_HAS_PORTS = np.zeros(256, np.bool_)
_HAS_PORTS[list(PORT_PROTOCOLS)] = True


@inlined
def _client_and_server(flow: Any) -> tuple[int, int, int, int]:
    if flow.marks & MARK_CLIENT_HIGH:
        return flow.high_hi, flow.high_lo, flow.low_hi, flow.low_lo
    return flow.low_hi, flow.low_lo, flow.high_hi, flow.high_lo


@kernel
def _write_texts(
    flows: NDArray[np.void],
    addresses: NDArray[np.uint8],
    ends: NDArray[np.int32],
    community_ids: NDArray[np.uint8],
    words: NDArray[np.uint32],
) -> None:
    """Write the columns of text.

    Args:
        flows: FLOW, shape (n,).
        addresses: uint8, shape (3, ADDRESS_BYTES * n): clients, servers, ICMP senders.
        ends: int32, shape (3, n + 1), zeros: Arrow's offsets into ``addresses``.
        community_ids: uint8, shape (COMMUNITY_ID_BYTES * n,).
        words: uint32, shape (SHA1_WORDS,): working memory.
    """
    clients, servers, senders = addresses[0], addresses[1], addresses[2]
    for i in range(len(flows)):
        flow = flows[i]
        version = flow.kind & 15
        client_hi, client_lo, server_hi, server_lo = _client_and_server(flow)
        ends[0, i + 1] = write_address(version, client_hi, client_lo, clients, ends[0, i])
        ends[1, i + 1] = write_address(version, server_hi, server_lo, servers, ends[1, i])
        ends[2, i + 1] = ends[2, i]
        if flow.sender_hi | flow.sender_lo:
            ends[2, i + 1] = write_address(
                version, flow.sender_hi, flow.sender_lo, senders, ends[2, i]
            )
        write_community_id(flow, words, community_ids, COMMUNITY_ID_BYTES * i)


def _text_columns(flows: NDArray[np.void], no_sender: NDArray[np.bool_]) -> dict[str, pa.Array]:
    n = len(flows)
    addresses = np.empty((3, ADDRESS_BYTES * n), np.uint8)
    ends = np.zeros((3, n + 1), np.int32)
    community_ids = np.empty(COMMUNITY_ID_BYTES * n, np.uint8)
    _write_texts(flows, addresses, ends, community_ids, np.empty(SHA1_WORDS, np.uint32))

    def text(ends: NDArray[np.int32], data: NDArray[np.uint8], valid: Any = None) -> pa.Array:
        return pa.StringArray.from_buffers(n, pa.py_buffer(ends), pa.py_buffer(data), valid)

    fixed = COMMUNITY_ID_BYTES * np.arange(n + 1, dtype=np.int32)
    return {
        "client": text(ends[0], addresses[0]),
        "server": text(ends[1], addresses[1]),
        "icmp_sender": text(ends[2], addresses[2], _bits(~no_sender)),
        "community_id": text(fixed, community_ids),
    }


def arrow_batch(flows: NDArray[np.void]) -> pa.RecordBatch:
    """Return flows as the columns of the log.

    Args:
        flows: FLOW, shape (n,).
    """

    def label(numbers: NDArray[np.uint8], names: pa.Array) -> pa.Array:
        return pa.DictionaryArray.from_arrays(_numbers(Kind.UINT8, numbers, None), names)

    state, protocol = flows["state"], (flows["kind"] >> 8).astype(np.uint8)
    low_port, high_port = flows["ports"] >> 16, flows["ports"] & 0xFFFF
    client_high = flows["marks"] & MARK_CLIENT_HIGH != 0
    no_port = ~_HAS_PORTS[protocol]
    no_sender = (flows["sender_hi"] | flows["sender_lo"]) == 0
    columns: dict[str, Any] = {
        "verdict": label(state, _VERDICTS),
        "direction": label(flows["direction"], _DIRECTIONS),
        "protocol": label(protocol, _PROTOCOLS),
        "client_port": (np.where(client_high, high_port, low_port), no_port),
        "server_port": (np.where(client_high, low_port, high_port), no_port),
        "judged": (flows["judged"], (state == State.PENDING) | (state == State.MIDSTREAM)),
        "vlan": (flows["vlan"], flows["vlan"] == 0),
        "reply_delay": (flows["reply_delay"] / 1e9, flows["reply_delay"] < 0),
        "icmp_type": (flows["icmp_type"], no_sender),
        "icmp_code": (flows["icmp_code"], no_sender),
        **_text_columns(flows, no_sender),
    }
    arrays = []
    for column in COLUMNS:
        values = columns.get(column.name)
        if values is None:  # as it is in the record
            values = flows[column.name], None
        arrays.append(_numbers(column.kind, *values) if isinstance(values, tuple) else values)
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


class Encoder(Protocol):
    """Writes batches of rows to a file in some format."""

    def write(self, flows: NDArray[np.void]) -> None:
        """Write flows: FLOW, shape (n,)."""

    def finish(self) -> None:
        """Write what the format wants at its end."""


class ParquetEncoder:
    """Apache Parquet, one row group per batch."""

    def __init__(self, file: OutputFile) -> None:
        self._writer = pq.ParquetWriter(
            file,
            SCHEMA,
            compression="zstd",
            # Elsewhere a dictionary costs more time than it saves room.
            use_dictionary=[column.name for column in COLUMNS if column.kind is Kind.LABEL],
        )

    def write(self, flows: NDArray[np.void]) -> None:
        """Write one row group."""
        self._writer.write_batch(arrow_batch(flows))

    def finish(self) -> None:
        """Write the footer."""
        self._writer.close()


class JsonlEncoder:
    """JSON Lines (https://jsonlines.org)."""

    def __init__(self, file: OutputFile) -> None:
        self._file = file

    def write(self, flows: NDArray[np.void]) -> None:
        """Write one line for each flow."""
        self._file.write(_json_lines(arrow_batch(flows)))

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
