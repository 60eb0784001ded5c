"""Run a command and measure what it took.

Linux counts the memory of the process that starts a command as the command's own peak. So what
imports this module should stay small: it makes its captures in a process of their own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

ROOT = Path(__file__).parent.parent


class Run(NamedTuple):
    """What one process, and the children that it waited for, took."""

    seconds: float  # from start to end, starting up included
    cpu_seconds: float
    peak_bytes: int  # resident


class CommandFailedError(Exception):
    """A command ended with an exit status other than 0, or by a signal."""


def run(command: list[str], output: Path | None = None) -> Run:
    """Run a command from the repository's root, its output to a file or nowhere.

    Raises:
        CommandFailedError: the command did.
    """
    with tempfile.TemporaryFile() as errors, Path(output or os.devnull).open("wb") as sink:
        actions = [
            (os.POSIX_SPAWN_DUP2, sink.fileno(), 1),
            (os.POSIX_SPAWN_DUP2, errors.fileno(), 2),
        ]
        begin = time.perf_counter()
        child = os.posix_spawnp(command[0], command, os.environ, file_actions=actions)
        _, status, usage = os.wait4(child, 0)
        seconds = time.perf_counter() - begin
        if status:
            errors.seek(0)
            said = errors.read().decode(errors="replace").strip()
            code = os.waitstatus_to_exitcode(status)
            raise CommandFailedError(f"{command[0]}: exit status {code}: {said}")
    return Run(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def middle(runs: list[Run]) -> Run:
    """Return the medians of times, and the highest peak."""
    return Run(
        median(run.seconds for run in runs),
        median(run.cpu_seconds for run in runs),
        max(run.peak_bytes for run in runs),
    )


def measured(command: list[str]) -> Run:
    """Run a command as ``run`` does, but by a small process, for callers that are large."""
    by = [sys.executable, "-m", "benchmarks.measure", *command]
    done = subprocess.run(by, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise CommandFailedError(done.stderr.strip())
    return Run(*json.loads(done.stdout))


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[1:])))
