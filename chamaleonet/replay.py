"""Offline: capture files through the flow engine into a summary and logs.

Three threads: one reads and decodes, one judges, one writes. Kernels run without Python's global
lock, so two cores are kept busy.
"""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from chamaleonet.flows.headers import HEADERS
from chamaleonet.flows.records import FLOW, ended_flows, raw

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    from chamaleonet.capture.batch import PacketBatch
    from chamaleonet.capture.files import CaptureFile
    from chamaleonet.flows.decode import Decoder
    from chamaleonet.flows.engine import Engine, Output
    from chamaleonet.log.sinks import FlowSink, PacketSink

_PACKETS = 16384  # in a batch, at most
_IN_FLIGHT = 4  # batches that wait for the judge, at most


@dataclass
class Replay:
    """One run over capture files.

    Attributes:
        engine: judges; told to hand out packets if there are packet sinks, and the end of flows
            if there are flow sinks.
        packet_sinks: get every captured packet.
        flow_sinks: get every ended flow that the engine tells of.
        on_progress: called with each batch.
        truncated: names of the captures that ended inside a record.
        stopped: ``stop`` was called.
    """

    engine: Engine
    packet_sinks: list[PacketSink] = field(default_factory=list)
    flow_sinks: list[FlowSink] = field(default_factory=list)
    on_progress: Callable[[], None] = lambda: None
    truncated: list[str] = field(default_factory=list)
    stopped: bool = False

    def __post_init__(self) -> None:
        self._batches: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def stop(self) -> None:
        """End the run at the next batch. May be called from a signal handler."""
        self.stopped = True
        self._batches.put(None)  # SimpleQueue is reentrant; wakes the judge if it waits

    def run(self, captures: Iterable[CaptureFile]) -> None:
        """Judge all packets of the captures, in the order given, and end all flows.

        Raises:
            UserError: a capture is damaged, or an output cannot be written; all before that has
                been judged and written.
        """
        writer = _Writer(self.packet_sinks, self.flow_sinks)
        try:
            for batch, headers in self._decoded(captures):
                writer.put_all(self.engine.judge(batch, headers))
                self.on_progress()
        finally:
            try:
                writer.put_all(self.engine.finish())
            finally:
                writer.close()

    def _decoded(
        self, captures: Iterable[CaptureFile]
    ) -> Iterator[tuple[PacketBatch, NDArray[Any]]]:
        """Yield batches that another thread has read and decoded."""
        places = threading.Semaphore(_IN_FLIGHT)
        reader = threading.Thread(
            target=self._read, args=(captures, places), name="reader", daemon=True
        )
        reader.start()
        while not self.stopped:
            item = self._batches.get()
            if isinstance(item, BaseException):
                raise item
            if item is None:
                return
            yield item
            places.release()

    def _read(self, captures: Iterable[CaptureFile], places: threading.Semaphore) -> None:
        """Read and decode until the end, an error or ``stop``; runs in a thread of its own."""
        try:
            for capture in captures:
                for item in _decode(capture, self.engine.decoder):
                    self._batches.put(item)
                    places.acquire()
                    if self.stopped:
                        return
                if capture.truncated:
                    self.truncated.append(capture.name)
            self._batches.put(None)
        except BaseException as error:  # noqa: BLE001  (raised again in the judging thread)
            self._batches.put(error)


class _Room:
    """Memory for the copy of an output, used again and again: fresh memory costs page faults."""

    def __init__(self) -> None:
        self._rooms: dict[str, NDArray[Any]] = {}
        self.packets = self.data = self.flows = np.empty(0, np.uint8)

    def copy(self, output: Output, *, flows: bool) -> None:
        """Copy the packets of an output and, if asked for, the flows that ended."""
        self.packets = self._copied("packets", output.packets)
        self.data = self._copied("data", output.data)
        self.flows = ended_flows(output.events) if flows else np.empty(0, FLOW)

    def _copied(self, name: str, array: NDArray[Any]) -> NDArray[Any]:
        room = self._rooms.get(name)
        if room is None or len(room) < len(array):
            room = self._rooms[name] = np.empty(2 * len(array), array.dtype)
        copy = room[: len(array)]
        np.copyto(raw(copy), raw(array))
        return copy


class _Writer:
    """Hands outputs to the sinks in a thread of its own."""

    def __init__(self, packet_sinks: list[PacketSink], flow_sinks: list[FlowSink]) -> None:
        self._packet_sinks, self._flow_sinks = packet_sinks, flow_sinks
        self._free: queue.SimpleQueue[_Room] = queue.SimpleQueue()
        self._full: queue.SimpleQueue[_Room | None] = queue.SimpleQueue()
        for _ in range(_IN_FLIGHT):
            self._free.put(_Room())
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._thread.start()

    def put_all(self, outputs: Iterable[Output]) -> None:
        """Take copies of outputs.

        Raises:
            UserError: an output file could not be written.
        """
        for output in outputs:
            if self._error:
                raise self._error
            room = self._free.get()
            room.copy(output, flows=bool(self._flow_sinks))
            self._full.put(room)

    def close(self) -> None:
        """Wait until all is written; raises as ``put_all`` does."""
        self._full.put(None)
        self._thread.join()
        if self._error:
            raise self._error

    def _run(self) -> None:
        while (room := self._full.get()) is not None:
            if not self._error:  # the judge learns of one at its next output
                try:
                    self._write(room)
                except BaseException as error:  # noqa: BLE001  (raised again by the judge)
                    self._error = error
            self._free.put(room)

    def _write(self, room: _Room) -> None:
        for packet_sink in self._packet_sinks:
            packet_sink.write(room.packets, room.data)
        for flow_sink in self._flow_sinks:
            flow_sink.write(room.flows)


def _decode(capture: CaptureFile, decoder: Decoder) -> Iterator[tuple[PacketBatch, NDArray[Any]]]:
    # One is being filled, one is being judged, the others wait.
    rooms = [np.empty(_PACKETS, HEADERS) for _ in range(_IN_FLIGHT + 2)]
    for turn, batch in enumerate(capture.batches(_PACKETS, buffers=len(rooms))):
        yield batch, decoder.decode(batch, rooms[turn % len(rooms)])
