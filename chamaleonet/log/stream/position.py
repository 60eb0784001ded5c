"""How far a consumer of the verdict stream has come."""

from __future__ import annotations

from typing import NamedTuple


class Position(NamedTuple):
    """A record's place in the verdict stream; later records compare greater.

    Attributes:
        run: uint64: names one run of the controller, and increases from run to run.
        seq: uint64: counts the run's records: 1, 2, 3…
    """

    run: int
    seq: int
