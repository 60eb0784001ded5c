"""What really happened: the traces of the border, judged by the offline engine.

It is the engine that also judges live, but it sees every packet, at its own time and in one
stream; how the engine itself is tested has nothing to do with the lab.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from chamaleonet.capture.batch import PacketBatch
from chamaleonet.capture.files import open_capture
from chamaleonet.errors import UserError
from chamaleonet.flows.engine import Engine
from chamaleonet.flows.headers import BIT_REQUEST, HEADERS
from chamaleonet.flows.records import MARK_CLIENT_HIGH, Change, Role
from chamaleonet.flows.transitions import VERDICTS, State
from chamaleonet.log.arrow import arrow_batch

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from chamaleonet.flows.engine import Output, Settings

_COLUMNS: dict[str, Any] = {
    "offset": np.int64, "length": np.int32, "wire_length": np.int32, "time": np.int64,
    "link": np.uint16,
}  # fmt: skip
# A key as decoded packets and flows have it, at the beginning of both records.
KEY_BYTES = HEADERS.fields["vlan"][1] if HEADERS.fields else 0
_NEVER_JUDGED = (State.PENDING, State.MIDSTREAM)


class Key(NamedTuple):
    """What tells flows apart in the flow log; queries of ICMP have no port there."""

    protocol: str
    client: str
    client_port: int | None
    server: str
    server_port: int | None

    @classmethod
    def of(cls, row: dict[str, Any]) -> Key:
        """Return the key of a row of the flow log."""
        return cls(*(row[name] for name in cls._fields))


class Packet(NamedTuple):
    """A packet that the contract captures.

    Attributes:
        time: ns.
        role: why it is captured.
        request: the client asks (a SYN, a datagram, a query).
    """

    time: int
    role: Role
    request: bool


@dataclass(frozen=True)
class Flow:
    """A flow and what became of it.

    Attributes:
        key: as in the flow log.
        name: its key as packets have it.
        client_high: as MARK_CLIENT_HIGH.
        record: FLOW, as it was when it ended.
        first: time of its first packet, ns.
        last: time of its last packet, ns.
        verdict: label of its last state.
        judged: when it came to that, ns; None if it never was judged.
        erred: when its packets began to be captured, ns; None where that never was so.
        attempts: requests of the client.
        packets: those that the contract captures.
    """

    key: Key
    name: bytes
    client_high: bool
    record: np.void
    first: int
    last: int
    verdict: str
    judged: int | None
    erred: int | None
    attempts: int
    packets: tuple[Packet, ...]


@dataclass(frozen=True)
class Truth:
    """What crossed the border.

    Attributes:
        flows: all of them, by their first packet's time.
        summary: counters, as ``chamaleonet replay --json`` prints them.
        begin: time of the first packet, ns; 0 where there is none.
        end: of the last.
    """

    flows: list[Flow]
    summary: dict[str, Any]
    begin: int
    end: int


def truth(traces: Iterable[Path], settings: Settings) -> Truth:
    """Judge traces, which are one stream of packets in the order of time.

    Args:
        traces: capture files, one for each tap.
        settings: the controller's; the table is made as large as need be.

    Raises:
        UserError: there is no trace, or it cannot be read.
    """
    packets = _merged(list(traces))
    settings = type(settings)(
        internal=settings.internal,
        timeout=settings.timeout,
        idle_timeout=settings.idle_timeout,
        capture=settings.capture,
        max_flows=max(1024, len(packets)),  # a packet opens one flow at most
    )
    engine = Engine(settings, judged=settings.capture, ended=VERDICTS, packets=True)
    seen = _Seen(engine)
    if len(packets):
        for output in engine.judge(packets):
            seen.take(output)
    for output in engine.finish():
        seen.take(output)
    times = packets.time
    begin, end = (int(times[0]), int(times[-1])) if len(times) else (0, 0)
    flows = sorted(seen.flows, key=lambda flow: flow.first)
    return Truth(flows, engine.summary(), begin, end)


class _Seen:
    """Puts together what the engine tells of each flow, which it names by row and first packet."""

    def __init__(self, engine: Engine) -> None:
        self.flows: list[Flow] = []
        self._engine = engine
        self._erred: dict[tuple[int, int], int] = {}
        self._packets: dict[tuple[int, int], list[Packet]] = {}

    def take(self, output: Output) -> None:
        # Packets first: no packet of a flow comes after its end.
        self._take_packets(output)
        ended = output.events["change"] == Change.ENDED
        for event in output.events[~ended]:
            name = int(event["row"]), int(event["flow"]["first"])
            self._erred.setdefault(name, int(event["time"]))
        flows = output.events["flow"][ended].copy()
        if not len(flows):
            return
        rows = arrow_batch(flows).select([*Key._fields, "verdict"]).to_pylist()
        for at, flow, row in zip(output.events["row"][ended].tolist(), flows, rows, strict=True):
            name = at, int(flow["first"])
            self.flows.append(
                Flow(
                    key=Key.of(row),
                    name=flow.tobytes()[:KEY_BYTES],
                    client_high=bool(flow["marks"] & MARK_CLIENT_HIGH),
                    record=flow,
                    first=name[1],
                    last=int(flow["last"]),
                    verdict=row["verdict"],
                    judged=None if flow["state"] in _NEVER_JUDGED else int(flow["judged"]),
                    erred=self._erred.pop(name, None),
                    attempts=int(flow["attempts"]),
                    packets=tuple(self._packets.pop(name, ())),
                )
            )

    def _take_packets(self, output: Output) -> None:
        packets = output.packets
        if not len(packets):
            return
        # The engine does not say which of them ask; decoded once more they do.
        headers = self._engine.decoder.decode(
            PacketBatch(
                output.data.copy(),
                packets["offset"].copy(),
                packets["length"].astype(np.int32),
                packets["wire_length"].astype(np.int32),
                packets["time"].copy(),
                packets["link"].copy(),
            )
        )
        for packet, header in zip(packets, headers, strict=True):
            if packet["orphan"]:
                continue
            name = int(packet["row"]), int(packet["flow"]["first"])
            request = bool(header["bits"] & BIT_REQUEST)
            told = Packet(int(packet["time"]), Role(packet["role"]), request)
            self._packets.setdefault(name, []).append(told)


def _merged(traces: list[Path]) -> PacketBatch:
    """Read traces into one batch; those of the lab are small."""
    if not traces:
        raise UserError("no trace of the border (trace-*.pcap)")
    buffers: list[NDArray[np.uint8]] = [np.empty(0, np.uint8)]
    columns: dict[str, list[NDArray[Any]]] = {name: [] for name in _COLUMNS}
    size = 0
    for trace in traces:
        with open_capture(str(trace)) as capture:
            for batch in capture.batches():
                buffers.append(batch.buffer.copy())
                batch.offset = batch.offset + size
                size += len(batch.buffer)
                for name, parts in columns.items():
                    parts.append(getattr(batch, name).copy())
    whole = {
        name: np.concatenate([np.empty(0, kind), *columns[name]]).astype(kind)
        for name, kind in _COLUMNS.items()
    }
    order = np.argsort(whole["time"], kind="stable")
    return PacketBatch(
        np.concatenate(buffers), **{name: column[order] for name, column in whole.items()}
    )
