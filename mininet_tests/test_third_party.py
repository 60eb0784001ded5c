"""The logger port carries plain packets: tcpdump sits there, and gets what is erroneous alone."""

import re
import shutil
import signal
import struct
import subprocess
from collections import Counter

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6DestUnreach, IPv6
from scapy.layers.l2 import Ether

from mininet_tests.harness import CANDIDATE, CANDIDATE_PORT, LOGGER
from mininet_tests.scenarios import SECRET, Ends

SNAPLEN = 100
BY_PORT = f"candidates: {{port: {CANDIDATE_PORT}, interface: {CANDIDATE}}}"
LABS = {
    "conntrack": ("single", f"pipeline: conntrack, snaplen: {SNAPLEN}, {BY_PORT}"),
    "reactive": ("single", f"pipeline: reactive, truncate: true, snaplen: {SNAPLEN}"),
}

pytestmark = pytest.mark.skipif(shutil.which("tcpdump") is None, reason="needs tcpdump")


class Tcpdump:
    """Debian's tcpdump on the logger port."""

    def __init__(self, path):
        self._path = path
        self._process = subprocess.Popen(
            ["tcpdump", "-n", "-U", "--immediate-mode", "-i", LOGGER, "-w", "-"],
            stdout=path.open("wb"), stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def __enter__(self):
        while "listening on" not in (said := self._process.stderr.readline()):
            assert said, "tcpdump does not start"
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.communicate()

    def frames(self):
        """Return what it has written so far; the file's format is told in pcap-savefile(5)."""
        data, frames, at = self._path.read_bytes(), [], 24
        while len(data) >= at + 16:
            (length,) = struct.unpack_from("=I", data, at + 8)
            frames.append(data[at + 16 : at + 16 + length])
            at += 16 + length
        return frames

    def finish(self):
        """End it as a person does, and return what it says of packets that it dropped."""
        self._process.send_signal(signal.SIGINT)
        _, said = self._process.communicate(timeout=10)
        return re.findall(r"(\d+) packets? dropped by", said)


def query(ends, payload=SECRET):
    return ends.frame(ends.client, UDP(sport=4001, dport=53) / payload)


def reply(ends):
    return ends.frame(ends.server, UDP(sport=53, dport=4001) / SECRET)


def unreachable(ends):
    quoted = Ether(query(ends)).getlayer(IP if ends.version == 4 else IPv6)
    error = ICMP(type=3, code=3) if ends.version == 4 else ICMPv6DestUnreach(code=4)
    return ends.frame(ends.server, error / quoted)


@pytest.mark.parametrize("lab", LABS.values(), indirect=True, ids=LABS)
@pytest.mark.parametrize("version", [4, 6])
def test_tcpdump_gets_the_redirected_packets_and_no_others(lab, version, tmp_path):
    network, controller = lab
    silent, closed, healthy = (Ends(version, n) for n in range(201, 204))
    early = [query(silent), query(closed)]
    with Tcpdump(tmp_path / "logged.pcap") as tcpdump:
        network.send("client", *early, query(healthy))
        network.send("server", unreachable(closed), reply(healthy))

        def redirected():
            network.send("client", *early)
            return {frame[:SNAPLEN] for frame in early} <= set(tcpdump.frames())

        controller.wait_for(redirected)
        later = [query(silent, b"later" + SECRET), query(closed, b"later" + SECRET)] * 5
        for frame in later:
            network.send("client", query(healthy), frame)
            network.send("server", reply(healthy))
        # Of the same client, but no packet of the flow that failed.
        network.send("client", silent.frame(silent.client, TCP(sport=4001, dport=53)))
        network.send("client", *later[:2])
        later += later[:2]
        # The switch keeps the order in a flow, not that of flows.
        expected = Counter(frame[:SNAPLEN] for frame in (unreachable(closed), *later))
        repeats = {frame[:SNAPLEN] for frame in early}

        def logged():
            return Counter(frame for frame in tcpdump.frames() if frame not in repeats)

        controller.wait_for(lambda: logged().total() >= expected.total())
        assert set(tcpdump.finish()) == {"0"}
        assert logged() == expected
