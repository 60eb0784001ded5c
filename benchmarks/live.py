"""Live, on this machine's Open vSwitch: ``python -m benchmarks.live``, as root.

Prints Markdown tables. What is compared runs in the same run, alternating; medians count.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from threading import Thread

from benchmarks.experiments.catalogue.controller_share import shares
from benchmarks.experiments.catalogue.redirect_delay import delays
from benchmarks.measure import ROOT
from benchmarks.pipelines import PIPELINES
from benchmarks.rules import RULES, redirects
from benchmarks.segments import ACK, SYN, address, tcp_frame
from chamaleonet.lab.machine import switch_runs
from chamaleonet.switch.rules import COOKIE_PREFIX, rule_text
from mininet_tests.harness import missing, run
from tests.fake_switch import (
    ECHO_REPLY,
    ECHO_REQUEST,
    MULTIPART_REQUEST,
    FakeSwitch,
    message,
    packet_in,
)

ROUNDS = 5
PACKET_INS = 40_000
BRIDGE = "chbench"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def app(name: str, port: int, **options):
    command = [sys.executable, "-m", "benchmarks.live_app", name, str(port)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL, **options) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def controller(pipeline: str, port: int, settings: str = ""):
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "bench.yaml"
        path.write_text(
            f"openflow: {{listen: '127.0.0.1:{port}'}}\n"
            f"metrics: {{controller: '127.0.0.1:{free_port()}'}}\n"
            f"stream: {{address: 'unix:{directory}/v.sock', spool: null, queue: 1000}}\n"
            f"checkpoint: {{directory: '{directory}/checkpoint'}}\n{settings}"
            f"switches:\n  - {{dp_id: a1, pipeline: {pipeline}, logger_port: 4}}\n"
        )
        command = [sys.executable, "-m", "chamaleonet", "run", "--config", str(path)]
        with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as process:
            try:
                yield process
            finally:
                process.kill()


# Packet-ins a second.


def handshakes(number: int) -> bytes:
    """Return packet-ins of half as many flows: their SYN and their SYN+ACK."""
    messages = []
    for n in range(number // 2):
        client, server = address(10, n), address(198, n)
        there = tcp_frame(client, server, 40000, 443, SYN, 1, 0)
        back = tcp_frame(server, client, 443, 40000, SYN | ACK, 1, 2, back=True)
        messages += [packet_in(COOKIE_PREFIX, frame) for frame in (there, back)]
    return b"".join(messages)


def packet_ins_per_second(start, data: bytes) -> float:
    """Let a switch say all that at once; the controller answers its echo when it is through."""
    port = free_port()
    with start(port):
        switch = FakeSwitch(("127.0.0.1", port))
        switch.receive_until(MULTIPART_REQUEST)  # the handshake's last question
        # Answers have to be read meanwhile, or the controller would wait for us.
        reader = Thread(target=switch.receive_until, args=(ECHO_REPLY,))
        reader.start()
        time.sleep(1)  # rules are installed, and all is quiet
        begin = time.perf_counter()
        switch.send(data + message(ECHO_REQUEST, b"done"))
        reader.join()
        seconds = time.perf_counter() - begin
        switch.close()
        return PACKET_INS / seconds


def bench_packet_ins() -> None:
    data = handshakes(PACKET_INS)
    starts = {
        "no-op app": lambda port: app("noop", port),
        "learning switch, packet library": lambda port: app("learning", port),
        "ChamaleoNet, conntrack": lambda port: controller("conntrack", port),
        "ChamaleoNet, reactive (bypass rules too)": lambda port: controller("reactive", port),
    }
    rates: dict[str, list[float]] = {name: [] for name in starts}
    for _ in range(ROUNDS):
        for name, start in starts.items():
            rates[name].append(packet_ins_per_second(start, data))
    medians = {name: median(values) for name, values in rates.items()}
    print("### Packet-ins handled per second\n")
    print("| app | packet-ins/s | of no-op | of learning switch |\n| --- | ---: | ---: | ---: |")
    for name, rate in medians.items():
        noop, learning = medians["no-op app"], medians["learning switch, packet library"]
        print(f"| {name} | {rate:,.0f} | {rate / noop:.2f} | {rate / learning:.2f} |")


# Flow-mods a second.


def add_bridge() -> None:
    run("ovs-vsctl", "add-br", BRIDGE, "--", "set", "bridge", BRIDGE, "datapath_type=netdev",
        "fail_mode=secure", "protocols=OpenFlow13")  # fmt: skip


def by_ovs_ofctl(file: Path) -> float:
    add_bridge()
    begin = time.perf_counter()
    run("ovs-ofctl", "--protocols=OpenFlow13", "add-flows", BRIDGE, str(file))
    rate = RULES / (time.perf_counter() - begin)
    run("ovs-vsctl", "del-br", BRIDGE)
    return rate


def by_rulebook(rules: int = RULES) -> float:
    """Return how many rules a second a new bridge confirms when our rulebook sends them."""
    add_bridge()
    port = free_port()
    environment = os.environ | {"BENCH_RULES": str(rules)}
    with app("rules", port, stdout=subprocess.PIPE, text=True, env=environment) as process:
        run("ovs-vsctl", "set-controller", BRIDGE, f"tcp:127.0.0.1:{port}", "--", "set",
            "controller", BRIDGE, "max_backoff=1000")  # fmt: skip
        rate = float(process.stdout.readline())
    run("ovs-vsctl", "del-br", BRIDGE)
    return rate


def bench_flow_mods() -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(map(rule_text, redirects())))
        file.flush()
        pairs = [(by_ovs_ofctl(Path(file.name)), by_rulebook()) for _ in range(ROUNDS)]
    theirs, ours = (median(values) for values in zip(*pairs, strict=True))
    print(f"\n### Flow-mods confirmed per second ({RULES:,} redirect rules)\n")
    print("| by | flow-mods/s | of ovs-ofctl |\n| --- | ---: | ---: |")
    print(f"| ovs-ofctl add-flows | {theirs:,.0f} | 1.00 |")
    print(f"| ChamaleoNet's rulebook over os-ken | {ours:,.0f} | {ours / theirs:.2f} |")


# What reaches the controller, and how soon a rule is there.


def bench_share() -> None:
    lengths = (5, 10, 25, 50, 100)
    print("\n### Share of the traffic that reaches the controller\n")
    print("90% of the flows are answered, 10% send three SYNs in vain.\n")
    print(f"| of | packets per flow: {' | '.join(map(str, lengths))} |")
    print(f"| --- |{' ---: |' * len(lengths)}")
    for name, settings in PIPELINES.items():
        found = shares(settings, lengths, 200)
        for part in ("packets", "bytes"):
            values = (f"{getattr(each, part):.1%}" for each in found)
            print(f"| {part}, {name} | {' | '.join(values)} |", flush=True)


def bench_delay() -> None:
    print("\n### From a verdict's deadline until the switch confirmed its redirect rule\n")
    print("| pipeline | rules | p50, ms | p99, ms |\n| --- | ---: | ---: | ---: |")
    for name, settings in PIPELINES.items():
        ((p50, _, p99),) = delays(settings, {200: 500})
        print(f"| {name} | 500 | {p50:.1f} | {p99:.1f} |", flush=True)


def main() -> None:
    reason = missing()
    if reason:
        sys.exit(f"benchmarks.live: {reason}")
    print(f"## Live\n\n{os.cpu_count()} cores, medians of {ROUNDS} runs.\n")
    bench_packet_ins()
    if not switch_runs():
        sys.exit("benchmarks.live: Open vSwitch does not run")
    bench_flow_mods()
    bench_share()
    bench_delay()


if __name__ == "__main__":
    main()
