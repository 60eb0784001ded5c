"""Resident memory of a flow engine: ``python -m benchmarks.engine_memory FLOWS GENERATIONS``.

As a controller has it: first packets wait for their verdicts. So many flows wait at the same time,
then fail, are forgotten, and as many others come. Prints as JSON what the process holds, in bytes:
before the first flow, and while each generation waits.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from benchmarks.wire import as_batch, syns
from chamaleonet.flows.engine import Engine, Settings
from chamaleonet.flows.transitions import State

SIZE = 74
BATCH = 16_384
SECOND = 10**9


def resident(process: int | str = "self") -> int:
    """Return the bytes that a process has in memory."""
    pages = Path(f"/proc/{process}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGESIZE")


def engine(flows: int) -> Engine:
    judged = tuple(state for state in State if state > State.PENDING)
    return Engine(Settings(max_flows=flows), judged=judged, ended=judged, packets=True)


def wait(judge: Engine, flows: int, first: int, now: int) -> None:
    """Have so many flows begin."""
    for at in range(0, flows, BATCH):
        some = min(BATCH, flows - at)
        for _ in judge.judge(as_batch(syns(some, SIZE, first + at), now)):
            pass


def forget(judge: Engine, now: int) -> None:
    """Let all flows fail and be forgotten."""
    for _ in judge.advance(now + 1000 * SECOND):
        pass
    assert judge.tracked_flows == 0


def main(flows: int, generations: int) -> list[int]:
    small = engine(BATCH)
    wait(small, BATCH, 0, 0)  # what making packets and compiled code take
    forget(small, 0)
    judge = engine(flows)
    held = [resident()]
    for generation in range(generations):
        now = generation * 2000 * SECOND
        wait(judge, flows, generation * flows, now)
        assert judge.pending_flows == flows
        held.append(resident())
        forget(judge, now)
    return held


if __name__ == "__main__":
    print(json.dumps(main(*map(int, sys.argv[1:]))))
