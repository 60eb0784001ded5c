"""The flow log: one row per flow, as Parquet or JSON Lines. Its columns are in columns.py."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from chamaleonet.errors import UserError
from chamaleonet.flows.records import FLOW, raw
from chamaleonet.log.output import OutputFile

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from chamaleonet.log.arrow import Encoder
    from chamaleonet.log.output import Output

ROW_GROUP = 1 << 16  # rows that are kept before they are written

# By the file name's suffix: the class in arrow.py.
_ENCODERS = {".parquet": "ParquetEncoder", ".jsonl": "JsonlEncoder"}


class FlowLog:
    """Writes flows to a file, ROW_GROUP at a time.

    Args:
        file: where to write; ``close`` closes it.
        encoder: the name of a class in arrow.py.
    """

    def __init__(self, file: Output, encoder: str) -> None:
        self._file = file
        self._encoder_name = encoder
        self._encoder: Encoder | None = None
        self._waiting = np.empty(ROW_GROUP, FLOW)
        self._count = 0

    def write(self, flows: NDArray[np.void]) -> None:
        """Write flows, in the order given.

        Args:
            flows: FLOW, shape (n,); copied.

        Raises:
            UserError: the file cannot be written.
        """
        while len(flows):
            taken = flows[: ROW_GROUP - self._count]
            raw(self._waiting)[self._count : self._count + len(taken)] = raw(taken)
            self._count += len(taken)
            flows = flows[len(taken) :]
            if self._count == ROW_GROUP:
                self._write_waiting()

    def _write_waiting(self) -> None:
        count, self._count = self._count, 0
        if count:
            self._encode().write(self._waiting[:count])

    def _encode(self) -> Encoder:
        if self._encoder is None:
            from chamaleonet.log import arrow

            self._encoder = getattr(arrow, self._encoder_name)(self._file)
        return self._encoder

    def flush(self) -> None:
        """Write what waits and hand it to the system; JSON Lines can be followed so."""
        self._write_waiting()
        self._file.flush()

    def close(self) -> None:
        """Write what waits, finish the file and give it its name."""
        try:
            self._write_waiting()
            self._encode().finish()  # also a log of no rows is a valid one
        finally:
            self._file.close()


def open_flow_log(path: str | Path) -> FlowLog:
    """Create a flow log in the format that the file name's suffix tells.

    Raises:
        UserError: another suffix, or the file cannot be written.
    """
    encoder = _ENCODERS.get(Path(path).suffix.lower())
    if encoder is None:
        names = " or ".join("*" + suffix for suffix in _ENCODERS)
        raise UserError(f"{path}: a flow log is named {names}")
    return FlowLog(OutputFile(path), encoder)
