"""What takes packets and flows that are to be written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class PacketSink(Protocol):
    """Takes captured packets, such as pcapng.PcapngWriter."""

    def write(self, packets: NDArray[Any], data: NDArray[np.uint8]) -> None:
        """Take CAPTURED records and the bytes they point into."""


class FlowSink(Protocol):
    """Takes flows that have ended, such as flowlog.FlowLog."""

    def write(self, flows: NDArray[Any]) -> None:
        """Take FLOW records."""
