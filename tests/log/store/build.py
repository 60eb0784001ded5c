"""A store that is fed with numbered records, and what is found in its files."""

from __future__ import annotations

import io
import json
from concurrent.futures import Future

import numpy as np
import pyarrow.parquet as pq
from backports import zstd

from chamaleonet.capture.files import open_capture
from chamaleonet.log.store import Retention, Rotation, Store
from chamaleonet.log.store.layout import Stage, scan
from chamaleonet.log.stream.position import Position
from chamaleonet.log.tally import COUNT, NO_REPLY
from tests.log.build import SECOND, START, captured, flow

HOUR, DAY = 3600 * SECOND, 86400 * SECOND
LABELS = ("packets", "flows", "healthy", "events")

FLOW_OF = flow("tcp", "10.0.0.1", "9.9.9.9", 4000, 80)
PACKET, DATA = captured(FLOW_OF)


def open_store(directory, now=START, *, size=1 << 30, age=None, most=None, **changes):
    settings = {
        "flows": "parquet",
        "compression": "zstd",
        "rotation": Rotation(HOUR, size),
        "retention": Retention(age, most),
    }
    return Store(directory, now, **settings | changes)


def feed(store, numbers):
    """Give a store a packet, a flow, a counter and an event of each number."""
    numbers = np.array(numbers)
    flows, packets = np.repeat(FLOW_OF, len(numbers)), np.repeat(PACKET, len(numbers))
    flows["first"] = packets["time"] = START + numbers
    counts = np.zeros(len(numbers), COUNT)
    counts["kind"], counts["flows"], counts["delay"] = 6 << 8 | 4, numbers, NO_REPLY
    store.flows.write(flows)
    store.healthy.write(counts)
    store.packets.write(packets, DATA)
    store.events.write(b"".join(b'{"number":%d}\n' % number for number in numbers))


def seq(store):
    return store.position.seq if store.position else 0


def step(store, count, now):
    """Feed as many numbers as that, those that follow the position, and commit them."""
    first = seq(store) + 1
    feed(store, range(first, first + count))
    store.commit(Position(1, first + count - 1), now)


def settle(store):
    """Wait until the other thread has done what it was given."""
    store._finisher.call(lambda: None).result()


def numbers(path):
    """Read the numbers in a complete file."""
    if ".pcapng" in path.name:
        with open_capture(str(path)) as capture:
            found = [int(time) for batch in capture.batches() for time in batch.time]
            assert not capture.truncated
        return [time - START for time in found]
    if ".healthy" in path.suffixes:
        return pq.ParquetFile(path).read()["flows"].to_pylist()
    if path.suffix == ".parquet":
        times = pq.read_table(path)["first"].cast("int64").to_pylist()
        return [time - START for time in times]
    data = path.read_bytes()
    lines = io.BytesIO(zstd.decompress(data) if path.suffix == ".zst" else data).readlines()
    if ".events" in path.name:
        return [json.loads(line)["number"] for line in lines]
    return [int(json.loads(line)["first"][-10:-1]) for line in lines]  # START is a whole second


def complete(directory):
    return [
        directory / name.path for name in sorted(scan(directory)) if name.stage is Stage.COMPLETE
    ]


def unfinished(directory):
    return [name.path for name in scan(directory) if name.stage is not Stage.COMPLETE]


def contents(directory):
    """Read all complete files, in the order of their names: numbers by label."""
    found = {label: [] for label in LABELS}
    for path in complete(directory):
        [label] = [
            label
            for label, part in zip(
                LABELS, (".pcapng", ".flows.", ".healthy.", ".events."), strict=True
            )
            if part in path.name
        ]
        found[label] += numbers(path)
    return found


def each_once(last):
    return {label: list(range(1, last + 1)) for label in LABELS}


class Inline:
    """An executor that does at once what it is given: then the order of all steps is known."""

    def __init__(self, *_):
        pass

    def submit(self, function, *arguments):
        future = Future()
        try:
            future.set_result(function(*arguments))
        except Exception as error:  # noqa: BLE001 (as executors do)
            future.set_exception(error)
        return future

    def shutdown(self):
        pass
