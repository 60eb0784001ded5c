"""What a capture for the benchmarks is made from, and where it lies."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

DATA = Path(__file__).parent / ".data"


class Parameters(NamedTuple):
    """What a capture is made from."""

    packets: int = 5_000_000
    flows: int = 500_000
    seconds: int = 600
    seed: int = 1
    failing: float = 0.34  # of the flows

    @property
    def path(self) -> Path:
        return DATA / f"{self.packets}-{self.flows}-{self.seconds}-{self.seed}-{self.failing}.pcap"
