"""Captures become frames that the hosts of a topology send, and a plan of when.

Nothing here needs a network: the captures are read and judged as ``chamaleonet replay`` judges
them, each packet is mapped or left out and counted, and gets its time.
"""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, NamedTuple

from chamaleonet.capture.batch import PacketBatch
from chamaleonet.capture.files import open_capture
from chamaleonet.capture.link import LinkType
from chamaleonet.errors import UserError
from chamaleonet.flows.decode import Decoder
from chamaleonet.flows.engine import Engine, Settings
from chamaleonet.flows.headers import BIT_FROM_HIGH, BIT_QUOTED, Counted
from chamaleonet.flows.visibility import one_way
from chamaleonet.lab.frames import addresses, rewritten
from chamaleonet.lab.schedule import SECOND, Wish, schedule
from chamaleonet.lab.truth import KEY_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from chamaleonet.lab.mapping import Mapping

TOO_LATE = "too_late"  # there is no time left to send it, and to judge it
_KEPT = (Counted.FLOW_PACKETS, Counted.ICMP_ERRORS, Counted.ICMP_INFO)


class Frame(NamedTuple):
    """A packet to be sent.

    Attributes:
        at: when, ns after the first one.
        host: from where.
        to: whose it is.
        packet: IP header and what follows.
        answers: which frame has to have arrived, by its place among them; None: none.
    """

    at: int
    host: str
    to: str
    packet: bytes
    answers: int | None

    @property
    def destination(self) -> str:
        """Its destination address."""
        ends = slice(16, 20) if self.packet[0] >> 4 == 4 else slice(24, 40)
        return str(ip_address(self.packet[ends]))


@dataclass(frozen=True)
class Prepared:
    """What is to be sent, and what is not.

    Attributes:
        frames: in their order.
        begin: the time of the first one in the capture, ns since 1970.
        late: ns by which a frame comes later than in the captures, at most (see schedule).
        original: the summary of the captures as they are (docs/verdicts.md, section 6), but that
            who waits at the end is waited for.
        one_way: directions in which nobody is answered in them, as if replies were not there.
        left_out: packets that are not sent, by cause: names of that summary, mapping.CAUSES, or
            TOO_LATE.
        mapping: whose addresses are whose.
    """

    frames: Sequence[Frame]
    begin: int
    late: int
    original: dict[str, Any]
    one_way: tuple[str, ...]
    left_out: Counter[str]
    mapping: Mapping

    @property
    def duration(self) -> int:
        """Nanoseconds from the first frame to the last."""
        return self.frames[-1].at

    @property
    def hosts(self) -> list[str]:
        """The hosts that send or are sent to."""
        return sorted({host for frame in self.frames for host in (frame.host, frame.to)})

    def told(self) -> dict[str, Any]:
        """Return what is to be told of it, as values of JSON."""
        return {
            "packets": self.original["packets"],
            "left_out": dict(self.left_out),
            "late": self.late / SECOND,
            "one_way": self.one_way,
            "original": {name: count for name, count in self.original["verdicts"].items() if count},
        }


def prepare(
    captures: Sequence[str],
    mapping: Mapping,
    settings: Settings,
    *,
    speed: float = 1,
    part: int | None = None,
    until: int | None = None,
) -> Prepared:
    """Read captures, one stream in the order given.

    Args:
        captures: files.
        mapping: gives their addresses places; filled here.
        settings: by which the captures are judged.
        speed: how much faster they are sent.
        part: ns of the captures, by their own time, from the first packet on; None: all.
        until: what would be sent later than this, ns after the first one, is left out.

    Raises:
        UserError: a capture cannot be read or is damaged, or nothing in it can be sent.
    """
    engine = Engine(settings)
    packets: list[tuple[str, str, bytes]] = []
    wishes: list[Wish] = []
    left_out: Counter[str] = Counter()
    clock = _Clock(speed)
    for batch in _first(_batches(captures), part):
        headers = engine.decoder.decode(batch)
        _exhaust(engine.judge(batch, headers))
        for row, header in enumerate(headers):
            if header["counted"] not in _KEPT:
                left_out[Counted(header["counted"]).label] += 1
                continue
            network, start = int(header["network"]), int(batch.offset[row])
            packet = batch.buffer[start + network : start + int(batch.length[row])].tobytes()
            ends = addresses(packet)
            if cause := mapping.take(ends):
                left_out[cause] += 1
                continue
            source, destination = (mapping.hosts[mapping.new[end]] for end in ends[:2])
            packet = rewritten(packet, int(batch.wire_length[row]) - network, mapping.new)
            packets.append((source, destination, packet))
            wishes.append(clock.wish(header))
    slots = schedule(wishes)
    frames = [Frame(slot.at, *packets[slot.number], slot.answers) for slot in slots]
    if until is not None:
        frames = [frame for frame in frames if frame.at <= until]  # they are in order
        left_out[TOO_LATE] += len(slots) - len(frames)
    if not frames:
        causes = ", ".join(f"{cause} {count}" for cause, count in (+left_out).items())
        raise UserError(f"{', '.join(captures)}: nothing to send (left out: {causes or 'nothing'})")
    late = max(slot.at - wishes[slot.number].at for slot in slots)
    _exhaust(engine.advance(engine.now + settings.timeout))
    return Prepared(
        frames,
        clock.begin,
        late,
        engine.summary(),
        tuple(direction.label for direction in one_way(engine.sights)),
        +left_out,
        mapping,
    )


class _Clock:
    """Makes a capture's time the run's.

    Args:
        speed: how much faster that is.

    Attributes:
        begin: time of the first packet that is sent, ns since 1970.
    """

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self.begin = self._latest = 0

    def wish(self, header: NDArray[Any]) -> Wish:
        """Return when a packet is to be sent; time never runs backwards.

        Args:
            header: one HEADERS record.
        """
        self.begin = self.begin or int(header["time"])
        self._latest = max(self._latest, int(header["time"]))
        at = round((self._latest - self.begin) / self._speed)
        from_high = bool(header["bits"] & BIT_FROM_HIGH)
        if header["counted"] == Counted.FLOW_PACKETS:
            return Wish(at, header.tobytes()[:KEY_BYTES], from_high)
        if header["bits"] & BIT_QUOTED:  # an error goes the other way than what it quotes
            return Wish(at, header.tobytes()[:KEY_BYTES], not from_high)
        return Wish(at, None, from_high)


def needed(captures: Sequence[str], speed: float, part: int | None) -> int:
    """Return how many nanoseconds it takes to send captures, at most: if nothing is left out.

    Raises:
        UserError: a capture cannot be read or is damaged, or there is nothing in it.
    """
    decoder, clock = Decoder(()), _Clock(speed)
    slots = schedule(
        clock.wish(header)
        for batch in _first(_batches(captures), part)
        for header in decoder.decode(batch)
        if header["counted"] in _KEPT
    )
    if not slots:
        raise UserError(f"{', '.join(captures)}: there is no packet of hosts in it")
    return slots[-1].at


def _exhaust(outputs: Iterable[object]) -> None:
    for _ in outputs:
        pass


def _batches(captures: Sequence[str]) -> Iterator[PacketBatch]:
    for name in captures:
        with open_capture(name) as capture:
            yield from capture.batches()


def _first(batches: Iterable[PacketBatch], part: int | None) -> Iterator[PacketBatch]:
    """Yield what comes in so many nanoseconds after the first packet."""
    end = None
    for batch in batches:
        if part is None or not len(batch):
            yield batch
            continue
        end = int(batch.time[0]) + part if end is None else end
        yield _rows(batch, batch.time <= end)


def _rows(batch: PacketBatch, rows: NDArray[np.bool_]) -> PacketBatch:
    return PacketBatch(
        batch.buffer,
        batch.offset[rows],
        batch.length[rows],
        batch.wire_length[rows],
        batch.time[rows],
        batch.link[rows],
    )


class Link(NamedTuple):
    """The Ethernet addresses of a frame: its sender's, and the next hop's."""

    source: bytes
    destination: bytes


def ethernet(frame: Frame, link: Link) -> bytes:
    """Return a frame as it is sent."""
    kind = b"\x08\x00" if frame.packet[0] >> 4 == 4 else b"\x86\xdd"
    return link.destination + link.source + kind + frame.packet


def write(path: Path, prepared: Prepared, frames: Iterable[bytes]) -> None:
    """Write what is sent as a capture (pcap, nanoseconds), at the times at which it is planned.

    Raises:
        OSError: the file cannot be written.
    """
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 1 << 18, LinkType.ETHERNET))
        for frame, data in zip(prepared.frames, frames, strict=True):
            second, rest = divmod(prepared.begin + frame.at, SECOND)
            file.write(struct.pack("<IIII", second, rest, len(data), len(data)) + data)
