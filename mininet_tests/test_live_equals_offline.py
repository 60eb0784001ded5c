"""A capture through the switch gives the verdicts that ``replay`` gives for it."""

import json
import random
import shutil
import socket
import subprocess
import sys

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.utils import wrpcap

from chamaleonet.log.columns import protocol_name
from mininet_tests.harness import CANDIDATE, CANDIDATE_PORT, ROOT
from mininet_tests.scenarios import CLIENT_MAC, SERVER_MAC, scenarios

TAP = "forward: none, scope: {ports: [1]}"
# So long that no packet is late because the machine is busy, and so much later if it is to be.
TIMEOUT, LATE = 1.5, 0.75  # s
PORT = f"port: {CANDIDATE_PORT}, interface: {CANDIDATE}"
LABS = {
    name: ("fed", f"pipeline: {pipeline}, {TAP}", {"timeout": f"{TIMEOUT}s"})
    for name, pipeline in {
        "conntrack": f"conntrack, candidates: {{{PORT}}}",
        "reactive": "reactive",
        "2 detectors": f"conntrack, candidates: {{{PORT}, detectors: 2}}",
        "3 detectors": f"conntrack, candidates: {{{PORT}, detectors: 3}}",
    }.items()
}
LAST = "10.9.9.9"  # client of the last packet

pytestmark = pytest.mark.skipif(shutil.which("tcpreplay") is None, reason="needs tcpreplay")


def mix(flows, seed):
    """Yield (time, frame) of flows to many servers, about every third of them failing."""
    draw = random.Random(seed)
    for number in range(flows):
        v6, start = draw.random() < 0.3, draw.uniform(0, 2)
        client, server = (
            (f"fd00::{number % 7:x}", f"2001:db8::{number:x}")
            if v6
            else (f"10.1.0.{number % 7}", f"203.0.113.{number % 250}")
        )
        there = Ether(src=CLIENT_MAC, dst=SERVER_MAC) / (IPv6 if v6 else IP)(src=client, dst=server)
        back = Ether(src=SERVER_MAC, dst=CLIENT_MAC) / (IPv6 if v6 else IP)(src=server, dst=client)
        port, size = 20000 + number, b"x" * draw.randrange(500)
        fate = draw.choice(["answered", "answered", "silent", "late", "refused"])
        if draw.random() < 0.5:
            request, reply = UDP(sport=port, dport=53) / size, UDP(sport=53, dport=port) / size
        else:
            request = TCP(sport=port, dport=443, flags="S", seq=1)
            flags = "RA" if fate == "refused" else "SA"
            reply = TCP(sport=443, dport=port, flags=flags, seq=9, ack=2)
        attempts = draw.randrange(1, 4)
        for nth in range(attempts):
            yield start + nth * 0.05, bytes(there / request)
        delay = {"answered": 0.2, "refused": 0.2, "late": TIMEOUT + LATE}.get(fate)
        if delay:
            yield start + delay, bytes(back / reply)


def capture(path, *, with_reuse):
    """Write the scenarios and a mix of flows as a capture of some seconds."""
    packets = list(mix(300, seed=1))
    steps = [each for each in scenarios() if with_reuse or not each.name.startswith("reused")]
    for nth, scenario in enumerate(steps):
        start = 0.02 * nth
        packets += [(start + 0.005 * n, frame) for n, (_, frame) in enumerate(scenario.first)]
        late = start + TIMEOUT + LATE
        packets += [(late + 0.005 * n, frame) for n, (_, frame) in enumerate(scenario.late)]
    end = max(at for at, _ in packets) + TIMEOUT + 0.2
    last = Ether(src=CLIENT_MAC, dst=SERVER_MAC) / IP(src=LAST, dst="10.9.9.8", proto=89)
    packets.append((end, bytes(last / b"end.")))
    frames = []
    for at, data in sorted(packets):
        frame = Ether(data)
        frame.time = 1_700_000_000 + at
        frames.append(frame)
    wrpcap(str(path), frames)


def of_replay(path, config):
    rows = path.with_suffix(".jsonl")
    subprocess.run(
        [sys.executable, "-m", "chamaleonet", "replay", path, "--config", config, "--flows", rows],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    return sorted(
        (row["verdict"], row["protocol"], row["client"], row["client_port"], row["server"],
         row["server_port"], row["attempts"])
        for row in map(json.loads, rows.read_text().splitlines())
    )  # fmt: skip


def of_stream(told):
    def text(address):
        return socket.inet_ntop(socket.AF_INET if len(address) == 4 else socket.AF_INET6, address)

    return sorted(
        (flow["verdict"], protocol_name(flow["protocol"]), text(flow["client"]),
         flow["client_port"], text(flow["server"]), flow["server_port"], flow["attempts"])
        for kind, flow, _ in told
        if kind == "flow" and text(flow["client"]) != LAST
    )  # fmt: skip


def all_is_judged(controller):
    """Tell whether the last packet's flow is, which the capture's end leaves pending."""
    last = socket.inet_aton(LAST)
    return (
        any(flow["client"] == last for _, flow, _ in controller.told())
        and controller.total("pending_flows") == 0
    )


@pytest.mark.parametrize(("pipeline", "lab"), LABS.items(), indirect=["lab"], ids=LABS)
def test_live_equals_offline(pipeline, lab, tmp_path):
    network, controller = lab
    path = tmp_path / "mix.pcap"
    # A port that is used again while its bypass lives goes unseen by plain OpenFlow 1.3.
    capture(path, with_reuse=pipeline != "reactive")
    offline = of_replay(path, controller.config)
    assert len(offline) > 100
    mirror = network.host("mirror")
    out, err, status = mirror.pexec(["tcpreplay", "-q", "-i", "mirror-eth0", str(path)])
    assert status == 0, out + err
    controller.wait_for(lambda: all_is_judged(controller))
    live = controller.finished()
    assert of_stream(live) == offline
