"""The packet logger against tcpdump: ``python -m benchmarks.logger``, as root.

Prints Markdown tables. What is compared gets the same packets in the same run, alternating; medians
count. All packets belong to erroneous flows that the logger knows, so that it has to write them
all: cut, with a comment, and with other addresses where it is told to anonymise.
"""

from __future__ import annotations

import os
import socket
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from benchmarks.measure import run as run_measured
from benchmarks.receivers import SENDER_CPU, Logger, Receiver, Tcpdump
from benchmarks.wire import Sender, as_batch, in_disorder, syns, unanswered
from chamaleonet.flows.decode import Decoder
from chamaleonet.lab.machine import switch_runs
from chamaleonet.log.anonymise.anonymiser import Anonymiser
from chamaleonet.log.anonymise.keyfile import read_key, write_key
from chamaleonet.log.collector import Collector, warm_up
from chamaleonet.log.pcapng import open_pcapng
from chamaleonet.log.store.convert import compress
from chamaleonet.units import PRIVATE
from mininet_tests.harness import missing, run
from tests.capture.build import Packet, pcap
from tests.namespace import Namespace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

ROUNDS = 3
FLOWS = 10_000
PACKETS = 1_000_000  # in a run
SIZES = {74: "74 bytes", 128: "128 bytes, 54 of them payload"}
ADDRESSES = ("none", "internal", "all")
BASE = "tcpdump"
SENDING, RECEIVING, FORWARDING = "chsend", "chreceive", "chforward"
BRIDGE = "chbench"
_BATCH = 4096  # packets; about as many as a block of the ring holds
_BURST = 100_000  # packets; they have room in the logger's ring
_REST = 0.5  # seconds until what was received is written
_MILLION = 1_000_000


class Result(NamedTuple):
    """What one run of a contender came to."""

    rate: float  # packets a second
    dropped: int
    cpu: float  # seconds per million packets


def print_results(title: str, results: dict[str, list[Result]]) -> None:
    base = median(result.cpu for result in results[BASE])
    print(f"\n{title}:\n")
    print("| contender | packets/s | dropped | CPU s per million packets | of tcpdump's speed |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, runs in results.items():
        rate = median(result.rate for result in runs)
        cpu = median(result.cpu for result in runs)
        dropped = sum(result.dropped for result in runs)
        print(f"| {name} | {rate:,.0f} | {dropped:,} | {cpu:.3f} | {base / cpu:.2f} |", flush=True)


def contender(addresses: str) -> str:
    return f"logger, anonymise {addresses}"


# From memory, as fast as it goes.


def collector_alone(
    frames: NDArray[np.uint8], addresses: str, key: Path, directory: Path
) -> tuple[Result, Path]:
    """Run packets through the logger's packet path into a file, in this process."""
    decoder = Decoder(PRIVATE)
    anonymiser = Anonymiser(read_key(key), addresses=addresses, internal=PRIVATE)
    warm_up(anonymiser.packet_sink(open_pcapng(os.devnull)), decoder)
    path = directory / "alone.pcapng"
    file = open_pcapng(path)
    collector = Collector(anonymiser.packet_sink(file), file, decoder)
    begin = 10**18
    for flow in unanswered(syns(FLOWS, frames.shape[1]), begin):
        collector.known.put(flow.reshape(1), True)
    times = begin + 1000 * np.arange(len(frames), dtype=np.int64)
    batches = [
        as_batch(frames[first : first + _BATCH], times[first : first + _BATCH])
        for first in range(0, len(frames), _BATCH)
    ]
    cpu, wall = time.process_time(), time.perf_counter()
    for batch in batches:
        now = int(batch.time[0])
        collector.hold(batch, now)
        collector.release(now)
    collector.flush()
    file.close()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    assert collector.written["unanswered"] == len(frames), (collector.written, collector.dropped)
    return Result(len(frames) / wall, 0, cpu * _MILLION / len(frames)), path


def tcpdump_alone(capture: Path, directory: Path) -> Result:
    path = directory / "alone.pcap"
    took = run_measured(["tcpdump", "-Z", "root", "-r", str(capture), "-w", str(path)])
    path.unlink()
    return Result(PACKETS / took.seconds, 0, took.cpu_seconds * _MILLION / PACKETS)


def compressing(path: Path) -> float:
    """Return the processor's seconds that it takes to compress a million packets."""
    cpu = time.process_time()
    with path.open("rb") as source, Path(os.devnull).open("wb") as target:
        compress(source, path.stat().st_size, target)
    return (time.process_time() - cpu) * _MILLION / PACKETS


def bench_alone(directory: Path, key: Path) -> None:
    print("### From memory into a file\n")
    print("The logger's packet path in one process; `tcpdump -r F -w G` on the same packets:")
    print("what either could take if nothing else were to be done.")
    for size, title in SIZES.items():
        frames = in_disorder(syns(FLOWS, size), PACKETS)
        capture = directory / "packets.pcap"
        capture.write_bytes(
            pcap([Packet(frame.tobytes(), size, 1000 * n) for n, frame in enumerate(frames)])
        )
        results: dict[str, list[Result]] = {}
        for _ in range(ROUNDS):
            results.setdefault(BASE, []).append(tcpdump_alone(capture, directory))
            for addresses in ADDRESSES:
                result, path = collector_alone(frames, addresses, key, directory)
                results.setdefault(contender(addresses), []).append(result)
        capture.unlink()
        print_results(title, results)
    print(
        "\nTo compress complete files, a thread that yields to all others takes"
        f" {compressing(path):.3f} CPU s per million packets, later."
    )
    path.unlink()


# From a cable.


@contextmanager
def at_processor(number: int) -> Iterator[None]:
    """Run here, where there are several processors."""
    before = os.sched_getaffinity(0)
    with suppress(OSError):
        os.sched_setaffinity(0, {number})
    yield
    os.sched_setaffinity(0, before)


def receive(receiver: Receiver, sender: Sender) -> Result:
    """Have packets sent as fast as it goes, and return what the receiver made of it."""
    with receiver, at_processor(SENDER_CPU):
        cpu = receiver.cpu_seconds()
        seconds = sender.send(PACKETS)
        time.sleep(_REST)
        cpu = receiver.cpu_seconds() - cpu
        received = receiver.finish()
        return Result(
            received.packets / seconds, received.dropped, cpu * _MILLION / received.packets
        )


def receive_bursts(receiver: Receiver, sender: Sender) -> Result:
    """Have its ring filled again and again, so that it always has as much to do as it can.

    Returns:
        What it made of it; as the rate, what it could take if it had nothing to wait for.
    """
    with receiver, at_processor(SENDER_CPU):
        cpu = receiver.cpu_seconds()
        for _ in range(PACKETS // _BURST // 2):
            with receiver.paused():
                sender.send(_BURST)
            time.sleep(_REST)
        cpu = receiver.cpu_seconds() - cpu
        received = receiver.finish()
        return Result(received.packets / cpu, received.dropped, cpu * _MILLION / received.packets)


def receivers(
    interface: str, directory: Path, call: Callable, key: Path, flows: NDArray
) -> Iterator[tuple[str, Receiver]]:
    """Yield the contenders, one after the other."""
    with tempfile.TemporaryDirectory(dir=directory) as folder:
        yield BASE, Tcpdump(interface, Path(folder), call)
    for addresses in ADDRESSES:
        with tempfile.TemporaryDirectory(dir=directory) as folder:
            yield (
                contender(addresses),
                Logger(interface, Path(folder), call, addresses=addresses, key=key, flows=flows),
            )


def bench_cable(directory: Path, key: Path) -> None:
    with Namespace() as namespace:
        namespace.ip("link", "set", "lo", "up")
        namespace.veth(SENDING, RECEIVING)
        connection = namespace.call(socket.socket, socket.AF_PACKET, socket.SOCK_RAW, 0)
        connection.bind((SENDING, 0))

        def compare(way: Callable[[Receiver, Sender], Result]) -> None:
            for size, title in SIZES.items():
                sender = Sender(connection, in_disorder(syns(FLOWS, size), 10 * FLOWS))
                results: dict[str, list[Result]] = {}
                for _ in range(ROUNDS):
                    flows = unanswered(syns(FLOWS, size), time.time_ns())
                    for name, each in receivers(RECEIVING, directory, namespace.call, key, flows):
                        results.setdefault(name, []).append(way(each, sender))
                print_results(title, results)

        print("\n### From a cable\n")
        print("The whole processes. Their rings are filled while they are stopped, so that they")
        print("work at their limit. Packets a second are what one processor could take.")
        compare(receive_bursts)
        print("\nThe other end sends all the time, as fast as it can, on another processor. That")
        print(
            "sets the rate, and a receiver that is faster does the same for fewer packets at once."
        )
        compare(receive)
        connection.close()


# From the switch.


@contextmanager
def switch() -> Iterator[None]:
    """Make a switch that redirects all TCP, cut, to a logger port, and forwards it too."""
    if not switch_runs():
        sys.exit("benchmarks.logger: Open vSwitch cannot be started")
    here = ("ip", "link")
    run(*here, "add", SENDING, "type", "veth", "peer", "name", "chswitch")
    run("ovs-vsctl", "add-br", BRIDGE, "--", "set", "bridge", BRIDGE, "datapath_type=netdev",
        "fail_mode=secure", "protocols=OpenFlow13")  # fmt: skip
    try:
        run("ovs-vsctl", "add-port", BRIDGE, "chswitch", "--", "set", "interface", "chswitch",
            "ofport_request=1")  # fmt: skip
        for port, name in ((2, FORWARDING), (4, RECEIVING)):
            run("ovs-vsctl", "add-port", BRIDGE, name, "--", "set", "interface", name,
                "type=internal", f"ofport_request={port}")  # fmt: skip
        for name in (SENDING, "chswitch", FORWARDING, RECEIVING):
            run(*here, "set", name, "addrgenmode", "none")
            run(*here, "set", name, "up")
        run("ovs-ofctl", "--protocols=OpenFlow13", "add-flow", BRIDGE,
            "in_port=1,tcp,actions=output(port=4,max_len=96),output:2")  # fmt: skip
        yield
    finally:
        run("ovs-vsctl", "del-br", BRIDGE)
        run(*here, "del", SENDING)


def bench_switch(directory: Path, key: Path) -> None:
    print("\n### From the switch\n")
    print("Open vSwitch forwards 128 bytes, and redirects the first 96 of them to the logger port.")
    with switch(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as connection:
        connection.bind((SENDING, 0))
        sender = Sender(connection, in_disorder(syns(FLOWS, 128), 10 * FLOWS))
        results: dict[str, list[Result]] = {}
        for _ in range(ROUNDS):
            flows = unanswered(syns(FLOWS, 128), time.time_ns())
            for name, receiver in receivers(RECEIVING, directory, call, key, flows):
                results.setdefault(name, []).append(receive(receiver, sender))
        print("\n| receiver | packets/s redirected | dropped by it |\n| --- | ---: | ---: |")
        for name, runs in results.items():
            rate = median(result.rate for result in runs)
            print(f"| {name} | {rate:,.0f} | {sum(result.dropped for result in runs):,} |")


def call(function: Callable, *arguments: object, **named: object) -> object:
    return function(*arguments, **named)


def main() -> None:
    reason = missing()
    if reason:
        sys.exit(f"benchmarks.logger: {reason}")
    version = run("tcpdump", "--version").splitlines()[0]
    print(f"## Packet logger\n\n{os.cpu_count()} cores, medians of {ROUNDS} runs of {PACKETS:,}")
    print(f"packets of {FLOWS:,} flows; {version}.\n")
    with tempfile.TemporaryDirectory() as name:
        directory, key = Path(name), Path(name) / "key"
        write_key(key)
        bench_alone(directory, key)
        bench_cable(directory, key)
        bench_switch(directory, key)


if __name__ == "__main__":
    main()
