"""What was found live: the flows and the packets that the logger wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from chamaleonet.capture.files import open_capture
from chamaleonet.errors import UserError
from chamaleonet.flows.decode import Decoder
from chamaleonet.flows.headers import BIT_EQUAL_ENDS, BIT_FROM_HIGH, Counted
from chamaleonet.lab.truth import KEY_BYTES, Key
from chamaleonet.log.store import layout

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from chamaleonet.units import Network

_FLOWS = (*Key._fields, "first", "verdict", "quality")


class LoggedFlow(NamedTuple):
    """A row of the flow log.

    Attributes:
        key: the flow's.
        first: time of its first packet, ns.
        verdict: the live verdict.
        quality: how far it can be relied on.
    """

    key: Key
    first: int
    verdict: str
    quality: str


class LoggedPacket(NamedTuple):
    """A packet that the logger wrote.

    Attributes:
        name: its flow's key; of an ICMP error the quoted packet's, all zero if it quotes none.
        time: ns.
        error: an ICMP error.
        from_high: its sender is the key's high end.
        equal_ends: both ends are the same.
    """

    name: bytes
    time: int
    error: bool
    from_high: bool
    equal_ends: bool


def flows(log: Path) -> list[LoggedFlow]:
    """Read all flows of a log.

    Raises:
        UserError: a file cannot be read, or was not finished.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    found = []
    for path in _files(log, ".flows.parquet"):
        try:
            table = pq.ParquetFile(path).read(columns=list(_FLOWS))
        except (OSError, pa.ArrowException) as error:
            raise UserError(f"{path}: {error}") from None
        times = table["first"].cast(pa.int64()).to_pylist()
        rows = table.drop_columns(["first"]).to_pylist()
        found += [
            LoggedFlow(Key.of(row), time, row["verdict"], row["quality"])
            for time, row in zip(times, rows, strict=True)
        ]
    return found


def packets(log: Path, internal: tuple[Network, ...]) -> list[LoggedPacket]:
    """Read all captured packets of a log.

    Raises:
        UserError: a file cannot be read, or was not finished.
    """
    decoder, found = Decoder(internal), []
    for path in _files(log, ".pcapng"):
        with open_capture(str(path)) as capture:
            for batch in capture.batches():
                for header in decoder.decode(batch):
                    bits = int(header["bits"])
                    found.append(
                        LoggedPacket(
                            header.tobytes()[:KEY_BYTES],
                            int(header["time"]),
                            bool(header["counted"] == Counted.ICMP_ERRORS),
                            bool(bits & BIT_FROM_HIGH),
                            bool(bits & BIT_EQUAL_ENDS),
                        )
                    )
    return found


def _files(log: Path, suffix: str) -> Iterator[Path]:
    for name in sorted(layout.scan(log)):
        if not name.suffix.startswith(suffix):
            continue
        if name.stage is not layout.Stage.COMPLETE:
            raise UserError(f"{log / name.path}: the logger has not finished it")
        yield log / name.path
