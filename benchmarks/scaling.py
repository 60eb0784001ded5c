"""One candidate port, judged by one process and by several: ``python -m benchmarks.scaling``.

Prints Markdown tables; medians count. Packets come from memory, so that no sender takes a
processor: what a detector would find in its ring. All else is what runs live: the detector's
loop, the connection to the controller, rules, metrics, the verdict stream, counters of healthy
flows.
"""

from __future__ import annotations

import functools
import math
import os
import pickle
import socket
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple
from unittest import mock

import numpy as np
from prometheus_client import CollectorRegistry

from benchmarks.wire import as_batch, syns
from chamaleonet.capture.spread import Secret, ways
from chamaleonet.config import Config, Switch
from chamaleonet.detectors import detectors
from chamaleonet.detectors.channel import Channel
from chamaleonet.detectors.detector import Detector
from chamaleonet.detectors.detectors import Detectors
from chamaleonet.detectors.frames import Kind
from chamaleonet.detectors.process import DetectorProcess
from chamaleonet.flows.engine import Engine, Output
from chamaleonet.flows.records import FLOW, Direction, Quality, ended_flows
from chamaleonet.log.stream.endpoint import Endpoint
from chamaleonet.log.stream.producer import VerdictStream
from chamaleonet.log.tally import Tally
from chamaleonet.metrics import ControllerMetrics
from chamaleonet.switch.probe import Probe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

ROUNDS = 3
FLOWS = 400_000
MIXES = {10**9: "none", 1000: "1 in 1000", 100: "1 in 100"}
SIZE = 74
STEP = 5_000  # ns from flow to flow
BATCH = 1500  # packets: about what a block of the ring holds
START = 1_700_000_000 * 10**9
SYN_ACK = 18
TICK = 0.005  # s, the controller's


def traffic(failing: int) -> tuple[NDArray[np.uint8], NDArray[np.uint32]]:
    """Return frames in the order of their time, and a hash of the pair of addresses of each.

    Args:
        failing: one in so many flows sends three SYNs in vain; the others are answered.
    """
    flows = np.arange(FLOWS)
    there = syns(FLOWS, SIZE)
    back = there.copy()
    back[:, 26:30], back[:, 30:34] = there[:, 30:34], there[:, 26:30]
    back[:, 34:36], back[:, 36:38] = there[:, 36:38], there[:, 34:36]
    back[:, 47] = SYN_ACK
    fails = flows % failing == 0
    answered = flows[~fails]
    frames = [there, back[answered], *[there[fails]] * 2]
    times = [flows, answered + 200, *(flows[fails] + wait for wait in (400, 800))]
    order = np.argsort(np.concatenate(times), kind="stable")
    frames = np.concatenate(frames)[order]
    return frames, spread(frames)


def spread(frames: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Return what the kernel's program would return for these frames."""
    zero = np.zeros(len(frames), np.uint64)
    source, target = (
        np.ascontiguousarray(frames[:, at : at + 4]).view(">u4")[:, 0].astype(np.uint64)
        for at in (26, 30)
    )
    return ways(Secret.new(), zero == 0, (zero, source), (zero, target))


class Memory:
    """A ring whose packets are there already."""

    def __init__(self, frames: NDArray[np.uint8]) -> None:
        self._frames, self._at = frames, 0

    @property
    def end(self) -> int:
        """The time of the last packet that was handed out."""
        return START + self._at * STEP

    @property
    def is_empty(self) -> bool:
        return self._at >= len(self._frames)

    def batches(self) -> Iterator:
        for _ in range(128):
            if self.is_empty:
                return
            frames = self._frames[self._at : self._at + BATCH]
            self._at += len(frames)
            number = np.arange(self._at - len(frames), self._at, dtype=np.int64)
            yield as_batch(frames, START + number * STEP)


def detect(share: int, channel: int) -> None:
    """Be a detector whose ring is a file, from the first command on."""
    settings, options, lag = pickle.load(sys.stdin.buffer)
    with os.fdopen(share, "rb", closefd=False) as file:
        file.seek(0)
        ring = Memory(np.load(file))
    connection = Channel(socket.socket(fileno=channel))
    detector = Detector(ring, Engine(settings, **options), connection, lag)
    detector._count(math.inf)  # what starting took
    detector._counted = 0.0
    while not list(connection.frames()):
        connection.flush()
        time.sleep(0.001)
    while not ring.is_empty or connection.queued:
        detector.turn(ring.end, time.monotonic())
        connection.flush()
    detector._count(math.inf)  # so that it is known to be through
    while not any(frame.kind == Kind.FINISH for frame in connection.frames()):
        connection.flush()
        time.sleep(0.001)
    detector._finish()


class Result(NamedTuple):
    """What it took to judge all packets, per packet."""

    seconds: float
    detectors: float  # of processor time
    controller: float


class Controller:
    """What the controller does with what is told, all but OpenFlow's connection."""

    def __init__(self, directory: Path, new_judge=Engine) -> None:
        config = Config(timeout="300ms", idle_timeout="1s", stream={"spool": None})
        switch = Switch(
            dp_id="a1", pipeline="conntrack", logger_port=4,
            candidates={"port": 3, "interface": "none"},
        )  # fmt: skip
        endpoint = Endpoint(f"unix:{directory}/verdicts.sock")
        self._stream = VerdictStream(endpoint, lambda: np.empty(0, FLOW))
        self._tally = Tally(self._stream.send_counts)
        metrics = ControllerMetrics(CollectorRegistry())
        self.probe = Probe(config, switch, self._tell, metrics, new_judge)

    def _tell(self, output: Output) -> None:
        self._stream.send(output.events, output.packets, output.data)
        self._tally.write(ended_flows(output.events))

    def close(self) -> None:
        self._stream.close(timeout=0)


def by_itself(directory: Path, frames: NDArray[np.uint8]) -> Result:
    """Judge in the controller's own process."""
    controller, ring = Controller(directory), Memory(frames)
    wall, cpu = time.perf_counter(), time.process_time()
    while not ring.is_empty:
        for batch in ring.batches():
            controller.probe.judge(batch)
        controller.probe.advance(ring.end)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    controller.close()
    return Result(wall / len(frames), 0.0, cpu / len(frames))


def by_detectors(directory: Path, shares: list[NDArray[np.uint8]]) -> Result:
    """Judge in processes of their own, one for each share."""
    files = []
    for index, share in enumerate(shares):
        file = (directory / f"{index}.npy").open("w+b")
        np.save(file, share)
        file.flush()
        files.append(file)
    packets = sum(map(len, shares))
    with (
        mock.patch.object(detectors, "open_group", return_value=files),
        mock.patch.object(DetectorProcess, "MODULE", "benchmarks.scaling"),
    ):
        new_judge = functools.partial(Detectors, "bench", "none", len(shares), 128, 5, 0, print)
        controller = Controller(directory, new_judge)
    judge = controller.probe.engine
    while judge.working < len(shares):  # until they have started
        controller.probe.advance(0)
        time.sleep(TICK)
    before = judge.cpu_seconds
    wall, cpu = time.perf_counter(), time.process_time()
    judge.set_quality(Direction.TRANSIT, Quality.SOUND)
    while judge.packets < packets:
        controller.probe.advance(0)
        time.sleep(TICK)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    busy = judge.cpu_seconds - before
    list(judge.finish())
    judge.close()
    controller.close()
    return Result(wall / packets, busy / packets, cpu / packets)


def measure(frames: NDArray[np.uint8], hashes: NDArray[np.uint32], number: int) -> Result:
    """Judge in so many detectors; in none, but the controller, where the number is 0."""
    with tempfile.TemporaryDirectory() as name:
        if number == 0:
            return by_itself(Path(name), frames)
        shares = [frames[hashes % number == index] for index in range(number)]
        return by_detectors(Path(name), shares)


def main() -> None:
    print(f"## Detectors\n\n{os.cpu_count()} cores, medians of {ROUNDS} runs of {FLOWS:,} flows.\n")
    print("| flows that fail | judged by | packets/s | x | CPU per packet, us: detectors |", end="")
    print(" controller |\n| --- | --- | ---: | ---: | ---: | ---: |")
    names = {0: "the controller itself", 1: "one detector", 2: "two detectors"}
    for failing, mix in MIXES.items():
        frames, hashes = traffic(failing)
        runs: dict[int, list[Result]] = {number: [] for number in names}
        for _ in range(ROUNDS):
            for number in names:
                runs[number].append(measure(frames, hashes, number))
        base = median(run.seconds for run in runs[0])
        for number, name in names.items():
            seconds, busy, serial = (median(each) for each in zip(*runs[number], strict=True))
            print(
                f"| {mix} | {name} | {1 / seconds:,.0f} | {base / seconds:.2f} |"
                f" {busy * 1e6:.2f} | {serial * 1e6:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    if len(sys.argv) == 3:
        detect(*map(int, sys.argv[1:]))
    else:
        main()
