"""What becomes of a partial file when it is complete."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from chamaleonet.flows.records import FLOW, Direction, Quality, Query
from chamaleonet.flows.transitions import State
from chamaleonet.log.flowlog import ROW_GROUP
from chamaleonet.log.healthy import DELAYS
from chamaleonet.log.tally import COUNT, NO_REPLY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

log = logging.getLogger(__name__)

_CHUNK = 1 << 20  # bytes compressed at a time


def compress(source: BinaryIO, length: int, target: BinaryIO) -> None:
    """Write a file as one Zstandard frame with its size and a checksum (RFC 8878)."""
    from backports.zstd import CompressionParameter, ZstdCompressor

    compressor = ZstdCompressor(options={CompressionParameter.checksum_flag: 1})
    compressor.set_pledged_input_size(length)
    for chunk in _chunks(source, length, _CHUNK):
        target.write(compressor.compress(chunk))
    target.write(compressor.flush())


def flows_to_parquet(source: BinaryIO, length: int, target: BinaryIO) -> None:
    """Write FLOW records as Parquet, in row groups of ROW_GROUP."""
    from chamaleonet.log.arrow import ParquetEncoder

    encoder = ParquetEncoder(target)
    for flows in _records(source, length, FLOW):
        encoder.write(flows)
    encoder.finish()


def counts_to_parquet(source: BinaryIO, length: int, target: BinaryIO) -> None:
    """Write COUNT records as Parquet, in row groups of ROW_GROUP."""
    from chamaleonet.log.arrow import HEALTHY_SCHEMA, ParquetEncoder, healthy_batch

    encoder = ParquetEncoder(target, HEALTHY_SCHEMA, healthy_batch)
    for counts in _records(source, length, COUNT):
        encoder.write(counts)
    encoder.finish()


def _records(source: BinaryIO, length: int, dtype: np.dtype[Any]) -> Iterator[NDArray[Any]]:
    for chunk in _chunks(source, length, ROW_GROUP * dtype.itemsize):
        records = np.frombuffer(chunk, dtype)
        intact = _intact(records)
        if not intact.all():  # the disk's fault, or a power cut's
            log.warning("%s: %d damaged records are left out", source.name, (~intact).sum())
            records = records[intact]
        yield records


def _intact(records: NDArray[np.void]) -> NDArray[np.bool_]:
    """Tell which records have no number that compiled code would look up in vain."""
    version, query = records["kind"] & 15, records["kind"] >> 4 & 15
    intact: NDArray[np.bool_] = (version == 4) | (version == 6)
    intact &= query < len(Query)
    intact &= records["state"] < len(State)
    intact &= records["direction"] < len(Direction)
    names = records.dtype.names or ()
    if "quality" in names:
        intact &= records["quality"] < len(Quality)
    if "delay" in names:
        intact &= (records["delay"] < len(DELAYS)) | (records["delay"] == NO_REPLY)
    return intact


def _chunks(source: BinaryIO, length: int, size: int) -> Iterator[bytes]:
    while length:
        chunk = source.read(min(size, length))
        if not chunk:
            raise ValueError(f"{source.name}: {length} bytes are missing at its end")
        yield chunk
        length -= len(chunk)
