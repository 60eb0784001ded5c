"""What the logger promises whatever happens to it: each flow once, and nothing damaged."""

import contextlib
import random
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from chamaleonet.capture.files import open_capture
from chamaleonet.flows.records import Change
from chamaleonet.log.stream.endpoint import Endpoint
from chamaleonet.log.stream.producer import VerdictStream
from chamaleonet.log.stream.spool import Spool
from tests.log.build import START, captured, event, flow
from tests.log.stream.test_producer import NO_FLOWS, until
from tests.log.test_logger import RUN, free_port

KILLS = 50
BATCH = 10


class Load(threading.Thread):
    """Sends flows, each by two records and with a packet.

    A flow's number is in the time of its first packet, and so is its packet's.
    """

    def __init__(self, stream, pause):
        super().__init__(daemon=True)
        self._stream, self._pause, self._end = stream, pause, threading.Event()
        self.sent = 0

    def run(self):
        while not self._end.wait(self._pause):
            numbers = range(self.sent, self.sent + BATCH)
            flows = [flow("udp", "10.0.0.1", "192.0.2.9", 40000 + n % 20000, 53, first=START + n)
                     for n in numbers]  # fmt: skip
            packets = [captured(each, b"h" * 42, time=START + n, row=n, offset=42 * (n % BATCH))[0]
                       for n, each in zip(numbers, flows, strict=True)]  # fmt: skip
            judged = [event(each, row=n) for n, each in zip(numbers, flows, strict=True)]
            ended = [
                event(each, Change.ENDED, row=n) for n, each in zip(numbers, flows, strict=True)
            ]
            self._stream.send(
                np.concatenate(judged + ended), np.concatenate(packets),
                np.frombuffer(b"h" * 42 * BATCH, np.uint8),
            )  # fmt: skip
            self.sent += BATCH

    def stop(self):
        self._end.set()
        self.join()


def configure(directory, port, *, files=None, rotation="{time: 1s, size: 64KiB}"):
    path = directory / "chamaleonet.yaml"
    path.write_text(
        f"logger: {{directory: '{files or directory / 'files'}', anonymise: {{addresses: none}},"
        f" rotation: {rotation}}}\n"
        f"stream: {{address: 'unix:{directory}/verdicts'}}\n"
        f"metrics: {{logger: '127.0.0.1:{port}'}}\n"
    )
    return path


def metric(port, name):
    try:
        answer = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5)
    except OSError:
        return None
    found = re.search(rf"^chamaleonet_{name} (\S+)$", answer.read().decode(), re.M)
    return float(found[1]) if found else None


@pytest.fixture
def start():
    """Start a logger; none outlives the test."""
    started = []

    def start(configuration):
        started.append(
            subprocess.Popen(
                [sys.executable, "-c", RUN, str(configuration)],
                cwd=Path(__file__).parents[2],
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return started[-1]

    yield start
    for process in started:
        with process:  # closes its pipe
            process.kill()


def stop(process):
    """Stop a logger; return what it said."""
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0
    return said


def flows_in(directory):
    return sorted(
        first.value - START
        for path in directory.rglob("*.parquet")
        for first in pq.ParquetFile(path).read(["first"])["first"]
    )


def packets_in(directory):
    times = []
    for path in directory.rglob("*.pcapng*"):
        with open_capture(str(path)) as capture:
            for batch in capture.batches(4096):
                times += (batch.time - START).tolist()
    return sorted(times)


@pytest.mark.parametrize("seed", [1])
def test_killed_fifty_times_it_has_logged_each_flow_once(tmp_path, start, seed):
    dice = random.Random(seed)
    configuration = configure(tmp_path, free_port())
    stream = VerdictStream(
        Endpoint(f"unix:{tmp_path}/verdicts"), lambda: NO_FLOWS,
        capacity=500, spool=Spool(tmp_path / "spool", 256 << 20),
    )  # fmt: skip
    load = Load(stream, 0.02)
    load.start()
    for _ in range(KILLS):
        process = start(configuration)
        if dice.random() < 0.8:  # else it may be killed while it starts
            until(lambda process=process: stream.consumers == 1 or process.poll() is not None)
        time.sleep(dice.uniform(0, 0.4))
        process.kill()
        _, errors = process.communicate()
        assert errors == ""
    load.stop()
    process = start(configuration)
    for _ in range(10):  # all that waits is a lot
        with contextlib.suppress(AssertionError):
            until(lambda: stream.queued == stream.spooled == 0)
            break
    stream.close()
    assert stop(process) == ""
    assert sum(stream.dropped.values()) == 0
    assert flows_in(tmp_path / "files") == list(range(load.sent))
    assert packets_in(tmp_path / "files") == list(range(load.sent))
    assert not [*(tmp_path / "files").rglob("*.partial")]


@pytest.mark.root
def test_on_a_full_disk_it_waits_and_goes_on_by_itself(tmp_path, start, small_disk):
    port = free_port()
    files = small_disk / "files"
    stream = VerdictStream(
        Endpoint(f"unix:{tmp_path}/verdicts"), lambda: NO_FLOWS,
        capacity=500, spool=Spool(tmp_path / "spool", 64 << 20),
    )  # fmt: skip
    configuration = configure(tmp_path, port, files=files, rotation="{time: 1h, size: 512KiB}")
    process = start(configuration)
    load = Load(stream, 0.05)
    load.start()
    until(lambda: stream.acknowledged > 100)
    with (small_disk / "hog").open("wb", buffering=0) as hog, contextlib.suppress(OSError):
        while True:
            hog.write(bytes(4096))
    until(lambda: metric(port, "logger_disk_full") == 1)
    sent = load.sent
    until(lambda: load.sent > sent + 100)
    load.stop()
    assert process.poll() is None
    (small_disk / "hog").unlink()
    until(lambda: metric(port, "logger_disk_full") == 0)
    until(lambda: stream.queued == stream.spooled == 0)
    stream.close()
    stopped, went_on = stop(process).splitlines()
    assert stopped.endswith("No space left on device: writing stops until it is possible again")
    assert went_on.endswith("writing goes on")
    assert sum(stream.dropped.values()) == 0
    assert flows_in(files) == packets_in(files) == list(range(load.sent))
