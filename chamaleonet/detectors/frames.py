"""What controller and detectors say to each other: frames of up to three arrays of bytes.

Both ends are the same program on the same machine, so arrays go as they are. No I/O here.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from chamaleonet.flows.engine import Output
from chamaleonet.flows.records import CAPTURED, FLOW_EVENT, Direction
from chamaleonet.flows.sights import COUNTS, Seen, Sights

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

_HEADER = struct.Struct("=4I")  # Kind, length of each part


class Kind(IntEnum):
    """What a frame is."""

    # To the detector.
    QUALITY = 1  # Direction, Quality, number of an internal prefix: int64
    FORGET = 2  # row, time of the flow's first packet: int64
    FINISH = 3  # end all flows and the process
    RESTORE = 8  # FLOW, SLAB: a Snapshot to go on with
    # To the controller.
    OUTPUT = 4  # events, packets, data
    COUNTS = 5  # Counts: int64
    VERDICTS = 6  # keys, numbers: int64; of switch.flowcounts, healthy flows
    TALLY = 7  # COUNT of log.tally, healthy flows
    RESTORED = 9  # FLOW_EVENT, as Engine.restore returns them
    SIGHTS = 10  # places, counts, flows: as Sights.take returns them


class Counts(NamedTuple):
    """What a detector counts; the first five since it began, the others as it is now."""

    packets: int = 0  # judged
    untracked: int = 0  # packets whose new flow found no place
    shed: int = 0  # packets whose new flow was shed
    evicted_judged: int = 0  # flows
    cpu_time: int = 0  # ns
    tracked_flows: int = 0
    pending_flows: int = 0
    degraded: int = 0  # directions that flows are lost of, as bits
    queued: int = 0  # bytes that the controller has not taken yet


class Frame(NamedTuple):
    """A frame that came in; its arrays are the receiver's own."""

    kind: Kind
    parts: tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]

    def numbers(self, part: int = 0) -> list[int]:
        """Return the int64 that a part consists of."""
        numbers: list[int] = self.parts[part].view(np.int64).tolist()
        return numbers

    def sights(self) -> tuple[NDArray[np.int64], Sights]:
        """Return what a SIGHTS frame tells, as Sights.join takes it."""
        places, counts, flows = self.parts
        return places.view(np.int64), Sights(
            counts.view(np.uint32).reshape(-1, *COUNTS),
            flows.view(np.int64).reshape(-1, len(Direction), len(Seen)),
        )

    def output(self) -> Output:
        """Return what an OUTPUT frame tells."""
        events, packets, data = self.parts
        return Output(events.view(FLOW_EVENT), packets.view(CAPTURED), data)


def pack(kind: Kind, *parts: bytes) -> bytes:
    """Return a frame."""
    lengths = [*map(len, parts), 0, 0, 0][:3]
    return b"".join((_HEADER.pack(kind, *lengths), *parts))


def pack_numbers(kind: Kind, *numbers: int) -> bytes:
    """Return a frame of int64."""
    return pack(kind, np.array(numbers, np.int64).tobytes())


def pack_verdicts(verdicts: Mapping[int, int]) -> bytes:
    """Return a VERDICTS frame."""
    columns = np.array([*verdicts.items()], np.int64).reshape(-1, 2).T
    return pack(Kind.VERDICTS, *(column.tobytes() for column in columns))


def pack_sights(sights: Sights) -> bytes:
    """Return a SIGHTS frame of what was counted since the last one."""
    places, (counts, flows) = sights.take()
    return pack(Kind.SIGHTS, places.tobytes(), counts.tobytes(), flows.tobytes())


class FrameReader:
    """Makes frames of a stream of bytes, which go where they are to stay at once."""

    def __init__(self) -> None:
        self._header = bytearray(_HEADER.size)
        self._body: NDArray[np.uint8] | None = None
        self._room = memoryview(self._header)

    @property
    def room(self) -> memoryview:
        """Where the next bytes are to be written; never empty."""
        return self._room

    def wrote(self, number: int) -> Frame | None:
        """Take note that so many bytes were written to ``room``; return a frame that is complete.

        Raises:
            ValueError: this is no frame.
        """
        self._room = self._room[number:]
        if self._room:
            return None
        kind, *lengths = _HEADER.unpack(self._header)
        if self._body is None and sum(lengths):
            self._body = np.empty(sum(lengths), np.uint8)
            self._room = self._body.data
            return None
        body = np.empty(0, np.uint8) if self._body is None else self._body
        self._body, self._room = None, memoryview(self._header)
        first, second = lengths[0], lengths[0] + lengths[1]
        return Frame(Kind(kind), (body[:first], body[first:second], body[second:]))
