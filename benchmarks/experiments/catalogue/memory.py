"""What the flow engine, and the processes around it, hold in memory by the flows that wait."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.engine_memory import SIZE, resident
from benchmarks.experiments.experiment import Chart, Column, Experiment, Published, Row
from benchmarks.live import controller, free_port
from benchmarks.measure import ROOT, measured
from benchmarks.wire import syns
from chamaleonet.switch.rules import COOKIE_PREFIX
from tests.fake_switch import (
    ECHO_REPLY,
    ECHO_REQUEST,
    MULTIPART_REQUEST,
    FakeSwitch,
    message,
    packet_in,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHUNK = 100_000  # frames at a time
BETWEEN_ECHOES = 10_000  # packet-ins; the controller closes a connection that does not answer
SYN_ACK = 18

EXPERIMENT = Experiment(
    title="Memory by concurrent flows",
    question="What does a flow cost in memory, and does memory grow with time?",
    method=(
        "Each number is measured in a process of its own, with a table that has room for just so"
        " many flows. *Engine*: all flows wait for an answer at the same time, the dearest state,"
        " for the first packet waits with them; the table says what the process holds above what"
        " it held before. Then all fail and are forgotten, and as many others come, several times:"
        " the second column is what is added from the second generation on, divided by the flows"
        " that came. `replay` judges a capture in which all flows wait (its peak); `run` gets them"
        " as packet-ins of a switch (what it holds then; more than a million take too long). Memory"
        " is what is resident. The last column is the whole controller over generations of flows,"
        " of which nine in ten are"
        " answered and one gets a rule: the least that it holds in the last third of the time,"
        " compared with the third before."
    ),
    explains=(
        "A flow costs a row of 128 bytes, a first packet of 144, and some 30 of slots and links."
        " With a thousand flows some of that lies in pages that were there before. Nothing is added"
        " with time: tables have a fixed size, and rows are used again. What the whole controller"
        " holds moves by some megabytes, for Python's allocator takes and gives pages as it likes."
    ),
    columns=(
        Column(name="flows", title="flows that wait"),
        Column(name="engine", title="engine", unit="bytes per flow"),
        Column(name="growth", title="engine's growth", unit="bytes per flow that came"),
        Column(name="replay", title="`replay`", unit="MB"),
        Column(name="run", title="`run`", unit="MB"),
        Column(name="run_growth", title="growth of `run`", unit="bytes per flow that came"),
    ),
    chart=Chart(kind="line", x="flows", y="run", log="xy"),
    published=(
        Published(
            what="memory that the first ChamaleoNet does not give back",
            value=88,
            source="told of its code; we found no public page that has it",
            column="growth",
            where={"flows": 10_000},
        ),
    ),
    parameters={
        "flows": (1_000, 10_000, 100_000, 1_000_000, 10_000_000),
        "generations": 4,
        "run_most": 1_000_000,
        "grow_flows": 10_000,
        "grow_generations": 45,
    },
    quick={"flows": (1_000, 10_000), "grow_flows": 1_000, "grow_generations": 6},
)


def run(quick: bool) -> list[Row]:
    """Measure each number of flows."""
    settings = EXPERIMENT.settings(quick)
    rows: list[Row] = []
    for flows in settings["flows"]:
        held = engine(flows, settings["generations"])
        runs = flows <= settings["run_most"]
        grows = flows == settings["grow_flows"]
        rows.append(
            {
                "flows": flows,
                "engine": (held[1] - held[0]) / flows,
                "growth": growth(held[2:], flows),
                "replay": replay(flows) / 1e6,
                "run": run_process(flows) / 1e6 if runs else None,
                "run_growth": run_growth(flows, settings["grow_generations"]) if grows else None,
            }
        )
    return rows


def growth(held: list[int], flows: int) -> float:
    """Return bytes per flow that came between the first measurement and the last."""
    return (held[-1] - held[0]) / ((len(held) - 1) * flows)


def engine(flows: int, generations: int) -> list[int]:
    """Return the bytes that an engine's process holds; see benchmarks.engine_memory."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.engine_memory", str(flows), str(generations)],
        cwd=ROOT, capture_output=True, text=True, check=True,
        # Each array has pages of its own, so that none hides in what was used before.
        env=os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"},
    )  # fmt: skip
    held: list[int] = json.loads(done.stdout)
    return held


def replay(flows: int) -> int:
    """Return the peak of ``chamaleonet replay`` on a capture in which so many flows wait."""
    with tempfile.TemporaryDirectory() as directory:
        capture = Path(directory) / "waiting.pcap"
        with capture.open("wb") as file:
            file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
            for first in range(0, flows, CHUNK):
                frames = syns(min(CHUNK, flows - first), SIZE, first)
                header = np.tile(
                    np.array([1000, 0, SIZE, SIZE], "<u4").view(np.uint8), (len(frames), 1)
                )
                file.write(np.concatenate([header, frames], axis=1))
        command = [sys.executable, "-m", "chamaleonet", "replay", "--json"]
        return measured([*command, "--max-flows", str(flows), str(capture)]).peak_bytes


def packet_ins(frames: NDArray[np.uint8]) -> bytes:
    """Return a packet-in of each frame."""
    head = packet_in(COOKIE_PREFIX, bytes(SIZE))[:-SIZE]
    heads = np.tile(np.frombuffer(head, np.uint8), (len(frames), 1))
    return np.concatenate([heads, frames], axis=1).tobytes()


def run_process(flows: int) -> int:
    """Return the bytes that ``chamaleonet run`` holds while so many flows of a switch wait."""
    port = free_port()
    settings = (
        f"timeout: 1h\nidle_timeout: 2h\nmax_flows: {flows}\n"
        "flood: {new_flows: null}\nvisibility: {enabled: false}\n"
    )
    with controller("conntrack", port, settings) as process:
        switch = FakeSwitch(("127.0.0.1", port))
        switch.receive_until(MULTIPART_REQUEST)  # the handshake's last question
        for first in range(0, flows, BETWEEN_ECHOES):
            frames = syns(min(BETWEEN_ECHOES, flows - first), SIZE, first)
            switch.send(packet_ins(frames) + message(ECHO_REQUEST, b"done"))
            switch.receive_until(ECHO_REPLY)
        time.sleep(0.5)
        held = resident(process.pid)
        switch.close()
        return held


def run_growth(flows: int, generations: int) -> float:
    """Return by how much ``chamaleonet run`` grows per flow that comes and goes, in bytes.

    It is what it holds at least in the last third, compared with the third before: the first one
    warms it up, and what waits to be sent comes and goes.
    """
    port = free_port()
    settings = (
        f"timeout: 100ms\nidle_timeout: 200ms\nmax_flows: {flows}\nflood: {{new_flows: null}}\n"
    )
    held = []
    with controller("conntrack", port, settings) as process:
        switch = FakeSwitch(("127.0.0.1", port))
        switch.receive_until(MULTIPART_REQUEST)
        for generation in range(generations):
            there = syns(flows, SIZE, generation * flows)
            data = packet_ins(there) + packet_ins(replies(there[flows // 10 :]))
            # Else both would wait for the other to read.
            reader = Thread(target=switch.receive_until, args=(ECHO_REPLY,))
            reader.start()
            switch.send(data + message(ECHO_REQUEST, b"done"))
            reader.join()
            time.sleep(1)  # all are forgotten, and rules deleted
            held.append(resident(process.pid))
        switch.close()
    third = generations // 3
    early, late = min(held[third : 2 * third]), min(held[2 * third :])
    return (late - early) / (third * flows)


def replies(there: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the SYN+ACKs that answer these SYNs."""
    back = there.copy()
    back[:, 26:30], back[:, 30:34] = there[:, 30:34], there[:, 26:30]
    back[:, 34:36], back[:, 36:38] = there[:, 36:38], there[:, 34:36]
    back[:, 47] = SYN_ACK
    return back
