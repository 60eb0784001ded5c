"""Capture completeness under floods: ``python -m benchmarks.floods``.

A flow engine as a live probe has it, and floods of so many SYNs a second from random addresses
outside (or from one host inside), for ten seconds of the packets' own time. Meanwhile 200 hosts,
each in a subnet or network of its own, have one failing flow a second each. Prints a Markdown
table: how many of those are judged, and how many events Python has to handle, which is what costs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from benchmarks.wire import as_batch
from chamaleonet.flows.engine import Engine, Settings
from chamaleonet.flows.transitions import State
from tests.traffic import SECOND, SYN, ethernet, tcp

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from chamaleonet.capture.batch import PacketBatch

SECONDS = 10
STEP = SECOND // 100
HOSTS = 200
MAX_FLOWS = 100_000
NEW_FLOWS = 10_000
RATES = (1_000, 10_000, 50_000, 200_000)
SOURCE, TARGET, PORTS = 26, 30, 34  # where a frame has them


class Packets(NamedTuple):
    """TCP SYNs, as columns; addresses as uint32, ports as uint16."""

    source: NDArray[np.uint32]
    target: NDArray[np.uint32]
    port: NDArray[np.uint16]


def frames(packets: Packets, time: int, rng: np.random.Generator) -> PacketBatch:
    """Return the packets in random order as a batch, evenly spread over a step."""
    frame = np.frombuffer(ethernet(tcp("10.0.0.1", "10.0.0.2", SYN)), np.uint8)
    number = len(packets.source)
    buffer = np.tile(frame, (number, 1))
    order = rng.permutation(number)
    for at, column, kind in (
        (SOURCE, packets.source, ">u4"), (TARGET, packets.target, ">u4"),
        (PORTS, packets.port, ">u2"),
    ):  # fmt: skip
        octets = column[order].astype(kind).view(np.uint8).reshape(number, -1)
        buffer[:, at : at + octets.shape[1]] = octets
    return as_batch(buffer, time + np.arange(number, dtype=np.int64) * STEP // number)


def ordinary(step: int) -> Packets:
    """Return the failing flows of a hundredth of a second: two hosts of 200, inside and outside."""
    hosts = np.arange(2, dtype=np.uint32) + 2 * (step % 100)
    inside = 0x0A000001 + (hosts << 8)
    outside = 0x0B000001 + (hosts << 16)
    return Packets(
        np.concatenate([inside, outside]),
        np.concatenate([np.full(2, 0xC0000201), np.full(2, 0x0AFFFF01)]).astype(np.uint32),
        np.full(4, 1024 + step // 100, np.uint16),
    )


def flood(kind: str, number: int, rng: np.random.Generator) -> Packets:
    """Return a flood's share of a step."""
    source = rng.integers(0x14000000, 0x7F000000, number, dtype=np.uint32)
    if kind == "inside":
        source = np.full(number, 0x0AC80007, np.uint32)
    target = rng.integers(0xC6000000, 0xC7000000, number, dtype=np.uint32)
    if kind == "outside":
        target = np.full(number, 0x0AFFFF02, np.uint32)
    return Packets(source, target, rng.integers(1024, 65536, number, dtype=np.uint16))


class Result(NamedTuple):
    """What came of a run: shares of what was to be judged, and events per second."""

    inside: float
    outside: float
    events: float
    shed: int


def run(kind: str, rate: int, *, sheds: bool, seconds: int = SECONDS) -> Result:
    """Let a flood pass."""
    rng = np.random.default_rng(rate)
    settings = Settings(
        max_flows=MAX_FLOWS, new_flows=NEW_FLOWS if sheds else 0, evict_judged=sheds
    )
    judged = tuple(state for state in State if state > State.PENDING)
    engine = Engine(settings, judged=judged, ended=(State.UNANSWERED,))
    counts = {"inside": 0, "outside": 0, "events": 0}

    def take(outputs) -> None:
        for output in outputs:
            counts["events"] += len(output.events)
            flows = output.events["flow"][output.events["change"] == 0]
            ends = np.stack([flows["low_lo"], flows["high_lo"]])
            counts["inside"] += int((ends == 0xC0000201).any(axis=0).sum())
            counts["outside"] += int((ends == 0x0AFFFF01).any(axis=0).sum())

    start = 1000 * SECOND
    for step in range(seconds * 100):
        packets = [ordinary(step), flood(kind, rate // 100, rng)]
        columns = (np.concatenate(each) for each in zip(*packets, strict=True))
        take(engine.judge(frames(Packets(*columns), start + step * STEP, rng)))
    take(engine.advance(start + (seconds + 4) * SECOND))
    expected = HOSTS * seconds
    return Result(
        counts["inside"] / expected, counts["outside"] / expected,
        counts["events"] / seconds, engine.shed,
    )  # fmt: skip


def main() -> None:
    print("## Capture completeness under floods\n")
    print(
        f"{SECONDS} s; table of {MAX_FLOWS:,} flows, {NEW_FLOWS:,} new flows a second;"
        f" {HOSTS} ordinary hosts inside and {HOSTS} outside.\n"
    )
    print("| flood | SYNs/s | shedding | judged, inside | judged, outside | events/s |")
    print("| --- | ---: | --- | ---: | ---: | ---: |")
    for kind, name in (("outside", "spoofed, from outside"), ("inside", "from one host inside")):
        for rate in RATES:
            for sheds in (False, True):
                inside, outside, events, _ = run(kind, rate, sheds=sheds)
                print(
                    f"| {name} | {rate:,} | {'on' if sheds else 'off'} | {inside:.1%} |"
                    f" {outside:.1%} | {events:,.0f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
