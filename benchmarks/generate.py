"""Write a capture for the benchmarks, and what its verdicts are by construction.

    python -m benchmarks.generate [--packets N] [--flows M] [--seconds S] [--seed K]
        [--failing SHARE] [FILE]

Flows begin evenly over S seconds, 10% of them IPv6. They are web-like TCP connections with a
log-normal number of packets, DNS, QUIC-like UDP, pings; and failures, a SHARE of 0.34 by default:
SYNs, datagrams and pings that nobody answers, tried 1 to 4 times at 0, 1, 3 and 7 s, and such that
get an ICMP error.
With the defaults about 170,000 flows are within their idle timeout at any time: S is what to
raise along with N and M for a longer capture with the same number of live flows.

A packet is captured up to 78 bytes, an ICMP error whole, as a probe with a header-only snapshot
length would: 5 M packets are about 450 MB. The same parameters give the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks import frames
from benchmarks.frames import ACK, FIN, PSH, RST, SYN, TCP_PROTOCOL, UDP_PROTOCOL, Packets
from benchmarks.parameters import Parameters

SNAPLEN, ERROR_SNAPLEN = 78, frames.MAX_FRAME  # bytes
SECOND = 1_000_000  # all times are microseconds, as in the file
TIMEOUT = 3 * SECOND  # what the verdicts by construction assume
_BEGIN = 1_700_000_000  # seconds since 1970
_CLIENTS, _SERVERS = 20_000, 50_000
_CHUNK = 200_000  # packets written at a time


class Kind(NamedTuple):
    """One kind of flow."""

    share: float
    protocol: int
    verdict: str

    @property
    def fails(self) -> bool:
        return self.verdict in ("unanswered", "icmp_error")


KINDS = {
    "web": Kind(0.33, TCP_PROTOCOL, "answered"),
    "dns": Kind(0.20, UDP_PROTOCOL, "answered"),
    "quic": Kind(0.06, UDP_PROTOCOL, "answered"),
    "ping": Kind(0.03, 1, "answered"),
    "closed port": Kind(0.025, TCP_PROTOCOL, "refused"),
    "late dns": Kind(0.015, UDP_PROTOCOL, "recovered"),
    "silent tcp": Kind(0.20, TCP_PROTOCOL, "unanswered"),
    "silent udp": Kind(0.06, UDP_PROTOCOL, "unanswered"),
    "silent dns": Kind(0.02, UDP_PROTOCOL, "unanswered"),
    "silent ping": Kind(0.02, 1, "unanswered"),
    "unreachable tcp": Kind(0.015, TCP_PROTOCOL, "icmp_error"),
    "unreachable udp": Kind(0.025, UDP_PROTOCOL, "icmp_error"),
}
_NAMES = list(KINDS)
_FAILING = sum(kind.share for kind in KINDS.values() if kind.fails)


def shares(failing: float) -> dict[str, float]:
    """Return each kind's share of the flows where so many fail, the rest in proportion."""
    of_failing, of_others = failing / _FAILING, (1 - failing) / (1 - _FAILING)
    return {
        name: kind.share * (of_failing if kind.fails else of_others) for name, kind in KINDS.items()
    }


def capture(parameters: Parameters, path: Path) -> dict[str, object]:
    """Write a capture, unless it is there already, and return what replay should print."""
    note = path.with_suffix(".json")
    sources = b"".join(Path(source).read_bytes() for source in (__file__, frames.__file__))
    stamp = {"parameters": parameters._asdict(), "generator": hashlib.sha256(sources).hexdigest()}
    if path.exists() and note.exists():
        found = json.loads(note.read_text())
        if {key: found[key] for key in stamp} == stamp:
            return found["expected"]
    path.parent.mkdir(exist_ok=True)
    note.unlink(missing_ok=True)
    expected = _Maker(parameters).write(path)
    note.write_text(json.dumps({**stamp, "expected": expected}, indent=1))
    return expected


class _Maker:
    """Draws flows, lays out their packets in time and writes them."""

    def __init__(self, parameters: Parameters) -> None:
        self.random = random = np.random.default_rng(parameters.seed)
        self.flows = count = parameters.flows
        if count > _CLIENTS * 60_000:
            raise SystemExit("too many flows: the clients' ports are used up")

        # Flows. Largest remainders would be exact; rounding and filling up with web is enough.
        sizes = {name: round(share * count) for name, share in shares(parameters.failing).items()}
        sizes["web"] += count - sum(sizes.values())
        kind = random.permutation(np.repeat(np.arange(len(KINDS)), list(sizes.values())))
        number = np.arange(count)
        self.kind = kind
        self.version = np.where(random.random(count) < 0.1, 6, 4).astype(np.uint8)
        self.client = number % _CLIENTS + 1
        self.client_port = 1024 + number // _CLIENTS  # with the client, no key comes twice
        self.server = (random.random(count) ** 3 * _SERVERS).astype(np.int64) + 1
        self.server_port = np.where(random.random(count) < 0.8, 443, 8080)
        self.server_port[self._is("dns", "late dns", "silent dns")] = 53
        self.start = np.sort(random.integers(0, parameters.seconds * SECOND, count))
        self.rtt = random.integers(5_000, 100_000, count)
        self.sizes = self._draw_sizes(parameters.packets)

        # Packets, flow by flow.
        self.flow = np.repeat(number, self.sizes)
        ends = np.cumsum(self.sizes)
        self.index = np.arange(len(self.flow)) - np.repeat(ends - self.sizes, self.sizes)
        self.left = np.repeat(self.sizes, self.sizes) - 1 - self.index
        self.of_kind = kind[self.flow]
        self.from_server = self._senders()
        self.error = self._is("unreachable tcp", "unreachable udp", packets=True) & (self.left == 0)
        self.flags = self._flags()
        self.time = self._times(ends)
        self.wire_length = self._wire_lengths()

    def _is(self, *names: str, packets: bool = False) -> np.ndarray:
        """Return which flows, or packets, are of these kinds."""
        table = np.zeros(len(KINDS), np.bool_)
        table[[_NAMES.index(name) for name in names]] = True
        return table[self.of_kind if packets else self.kind]

    def _draw_sizes(self, packets: int) -> np.ndarray:
        """Return packets per flow: short ones by kind, the rest to web and QUIC."""
        random, count = self.random, self.flows
        sizes = np.full(count, 2)  # dns, late dns, closed port
        attempts = random.choice([1, 2, 3, 4], count, p=[0.35, 0.2, 0.15, 0.3])
        silent = self._is("silent tcp", "silent udp", "silent dns", "silent ping")
        sizes[silent] = attempts[silent]
        unreachable = self._is("unreachable tcp", "unreachable udp")
        sizes[unreachable] = attempts[unreachable] + 1
        ping = self._is("ping")
        sizes[ping] = 2 * attempts[ping]
        web, quic = self._is("web"), self._is("quic")
        sizes[web], sizes[quic] = 7, 2
        long = np.flatnonzero(web | quic)
        spare = packets - sizes.sum()
        if spare < 0:
            raise SystemExit(f"{count} flows need at least {sizes.sum()} packets")
        weights = random.lognormal(0, 1.2, len(long))
        more = (weights * (spare / weights.sum())).astype(np.int64)
        sizes[long] += more
        sizes[long[: spare - more.sum()]] += 1
        return sizes

    def _senders(self) -> np.ndarray:
        """Return which packets come from the server: of most kinds, every other."""
        index, left = self.index, self.left
        nobody = [name for name in KINDS if name.startswith(("silent", "unreachable"))]
        from_server = (index % 2 == 1) & ~self._is(*nobody, packets=True)
        web = self._is("web", packets=True)
        data = (web | self._is("quic", packets=True)) & (index > 2) & (left > 2)
        from_server[data] = self.random.random(data.sum()) < 0.6
        from_server[web & ((index == 2) | (left == 2) | (left == 0))] = False
        from_server[web & (left == 1)] = True
        return from_server

    def _flags(self) -> np.ndarray:
        web, index, left = self._is("web", packets=True), self.index, self.left
        flags = np.full(len(index), PSH | ACK, np.uint8)
        flags[~web | (index == 0)] = SYN
        flags[web & (index == 1)] = SYN | ACK
        flags[web & ((index == 2) | (left == 0))] = ACK
        flags[web & ((left == 1) | (left == 2))] = FIN | ACK
        flags[self._is("closed port", packets=True) & (index == 1)] = RST | ACK
        return flags

    def _times(self, ends: np.ndarray) -> np.ndarray:
        """Return each packet's time since the capture's begin: its flow's start and all gaps."""
        random, index, flow = self.random, self.index, self.flow
        rtt = self.rtt[flow]
        # Chatter: 20 ms apart, but no flow lasts much longer than 20 s.
        pause = np.minimum(20_000, 20 * SECOND // self.sizes)[flow]
        gap = (random.exponential(1.0, len(flow)) * pause).astype(np.int64) + 1
        retry = SECOND << np.clip(index - 1, 0, 3)
        retry += (retry * random.random(len(flow)) * 0.02).astype(np.int64)
        waits = ~self._is("web", "quic", packets=True) & ~self.from_server & ~self.error
        gap[waits] = retry[waits]
        answers = (
            (self.from_server & (index == 1))
            | self.error
            | self._is("ping", packets=True) & self.from_server
        )
        gap[answers] = rtt[answers]
        late = self._is("late dns", packets=True) & self.from_server
        gap[late] = random.integers(TIMEOUT + SECOND // 2, 2 * TIMEOUT, late.sum())
        gap[index == 0] = 0
        total = np.cumsum(gap)
        before = np.concatenate([[0], total[ends[:-1] - 1]])
        return self.start[flow] + total - before[flow]

    def _wire_lengths(self) -> np.ndarray:
        random, count = self.random, len(self.flow)
        protocol = np.array([kind.protocol for kind in KINDS.values()])[self.of_kind]
        header = np.full(count, 32)
        header[self.flags & SYN > 0] = 40
        header[self.flags & RST > 0] = 20
        header[protocol != TCP_PROTOCOL] = 8
        data = np.where(random.random(count) < 0.5, 1448, random.integers(1, 1000, count))
        data[random.random(count) < 0.3] = 0
        data[(protocol == TCP_PROTOCOL) & (self.flags != PSH | ACK)] = 0
        udp = protocol == UDP_PROTOCOL
        data[udp] = np.minimum(data[udp], 1200) + 36
        data[protocol == 1] = 56
        ip = np.where(self.version[self.flow] == 4, 20, 40)
        data[self.error] = (ip + 8)[self.error]
        header[self.error] = 8
        return frames.ETHERNET_HEADER + ip + header + data

    def write(self, path: Path) -> dict[str, object]:
        """Write the capture and return the summary that it should give."""
        order = np.argsort(self.time, kind="stable")
        with path.open("wb") as file:
            file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, ERROR_SNAPLEN, 1))
            for begin in range(0, len(order), _CHUNK):
                file.write(self._records(order[begin : begin + _CHUNK]))
        return self._expected()

    def _records(self, rows: np.ndarray) -> np.ndarray:
        flow = self.flow[rows]
        protocol = np.array([kind.protocol for kind in KINDS.values()], np.uint8)
        packets = Packets(
            self.version[flow], protocol[self.of_kind[rows]], self.error[rows],
            self.from_server[rows], self.client[flow], self.server[flow], self.client_port[flow],
            self.server_port[flow], self.flags[rows], self.wire_length[rows], self.index[rows],
        )  # fmt: skip
        records = np.zeros((len(rows), 16 + frames.MAX_FRAME), np.uint8)
        frames.fill(records[:, 16:], packets)
        captured = np.minimum(packets.wire_length, np.where(packets.error, ERROR_SNAPLEN, SNAPLEN))
        seconds, micros = np.divmod(self.time[rows], SECOND)
        header = np.stack([seconds + _BEGIN, micros, captured, packets.wire_length], axis=1)
        records[:, :16] = header.astype("<u4").view(np.uint8)
        return records[np.arange(records.shape[1]) < 16 + captured[:, None]]

    def _expected(self) -> dict[str, object]:
        """Count what the summary should say, by the contract in docs/verdicts.md."""
        verdict = np.array([kind.verdict for kind in KINDS.values()])[self.kind]
        deadline = self.start + TIMEOUT
        verdict[(verdict == "unanswered") & (deadline > self.time.max())] = "pending"
        names = ("answered", "recovered", "refused", "icmp_error", "unanswered", "pending")
        verdicts = {
            name: int((verdict == name).sum()) for name in (*names, "midstream", "unsolicited")
        }
        # Once unanswered, a flow's later requests are captured; its first packet always is.
        failed = np.isin(verdict, ["unanswered", "icmp_error", "recovered"])
        later = failed[self.flow] & ~self.from_server & ~self.error & (self.index > 0)
        later &= self.time >= deadline[self.flow]
        errors = int(self.error.sum())
        return {
            "packets": len(self.flow),
            "bytes": int(self.wire_length.sum()),
            "non_ip": 0, "malformed": 0, "fragments": 0, "excluded": 0,
            "icmp_errors": errors,
            "icmp_info": 0, "orphans": 0,
            "flow_packets": len(self.flow) - errors,
            "flows": self.flows,
            "verdicts": verdicts,
            "captured_packets": int(failed.sum()) + int(later.sum()) + errors,
        }  # fmt: skip


def main() -> None:
    """Write a capture and print what replay should say of it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    for name, default in Parameters()._asdict().items():
        parser.add_argument(f"--{name}", type=type(default), default=default)
    parser.add_argument(
        "file", nargs="?", type=Path, help="default: one in benchmarks/.data, reused"
    )
    arguments = vars(parser.parse_args())
    file = arguments.pop("file")
    parameters = Parameters(**arguments)
    print(json.dumps(capture(parameters, file or parameters.path), indent=1))


if __name__ == "__main__":
    main()
