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


class CountSink(Protocol):
    """Takes counters of healthy flows, such as a store's."""

    def write(self, counts: NDArray[Any]) -> None:
        """Take COUNT records."""


class EventSink(Protocol):
    """Is told at once what happens to flows, such as events.EventLog."""

    def verdicts(self, flows: NDArray[Any]) -> None:
        """Take FLOW records right after their verdict changed."""

    def ended(self, flows: NDArray[Any]) -> None:
        """Take the final FLOW records of flows."""
