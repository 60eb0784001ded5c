"""Floods through a real switch: who fails meanwhile is judged still, and memory stays bounded."""

import random
import struct
import time
from collections import Counter

import pytest

from mininet_tests.harness import CANDIDATE, CANDIDATE_PORT, run
from tests.traffic import SYN, ethernet, icmp_error, tcp, udp

NEW_FLOWS, TIMEOUT = 500, 2.0  # flows a second, s
BOUNDED = {"extra": f"flood: {{new_flows: {NEW_FLOWS}}}\n", "timeout": f"{TIMEOUT:.0f}s"}
BY_PORT = f"candidates: {{port: {CANDIDATE_PORT}, interface: {CANDIDATE}}}"
LABS = {
    "conntrack": ("single", f"pipeline: conntrack, {BY_PORT}", BOUNDED),
    "conntrack-packet-in": ("single", "pipeline: conntrack, meters: {rate: 2000}", BOUNDED),
    "reactive": ("single", "pipeline: reactive, meters: {by: action, rate: 2000}", BOUNDED),
}
PACKETS, SECONDS = 8_000, 3.0
HOSTS = 8
SERVER, FAILING, HEALTHY = "192.0.2.1", 53, 5353


def with_checksums(packet):
    """Return an IPv4 packet whose checksums are right: the tracker looks at them."""
    header = packet[:10] + b"\0\0" + packet[12:20]
    header = header[:10] + struct.pack("!H", checksum(header)) + header[12:]
    content, protocol = packet[20:], packet[9]
    at = {1: 2, 6: 16, 17: None}[protocol]
    if at is not None:
        content = content[:at] + b"\0\0" + content[at + 2 :]
        pseudo = packet[12:20] + struct.pack("!HH", protocol, len(content))
        total = checksum((b"" if protocol == 1 else pseudo) + content)
        content = content[:at] + struct.pack("!H", total) + content[at + 2 :]
    return header + content


def checksum(data):
    total = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + bytes(len(data) % 2)))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def anywhere(random_):
    return f"{random_.randrange(11, 100)}.{random_.randrange(256)}.{random_.randrange(256)}.7"


def syn(random_):
    return tcp(anywhere(random_), "10.9.9.9", SYN, sport=random_.randrange(1024, 65536))


def datagram(random_):
    return udp(anywhere(random_), "10.9.9.9", sport=random_.randrange(1024, 65536))


def error(random_):
    """Return an ICMP error whose quote comes near the flows of an ordinary host."""
    quoted = udp("10.7.0.1", SERVER, sport=random_.randrange(1024, 30000))
    return icmp_error(anywhere(random_), with_checksums(quoted))


FLOODS = {"SYN": syn, "UDP": datagram, "ICMP errors": error}


class Flooded:
    """A flood from outside, and eight hosts inside that have a healthy and a failing flow each."""

    def __init__(self, network, controller, kind):
        self.controller, random_ = controller, random.Random(kind)
        flood = [self._frame(FLOODS[kind](random_), back=True) for _ in range(PACKETS)]
        self.port = 30000 + 1000 * [*FLOODS].index(kind)
        told_before, memory = len(controller.told()), controller.resident_bytes
        network.received("client")
        begin, step = time.monotonic(), PACKETS // 100
        for n in range(100):
            network.send("server", *flood[n * step : (n + 1) * step])
            if n % 10 == 5:
                self._talk(network, n // 10)
            time.sleep(max(0.0, begin + SECONDS * (n + 1) / 100 - time.monotonic()))
        self.seconds = time.monotonic() - begin
        # An overloaded switch may lose what a host says: such a flow is not healthy.
        self.answered = {
            (frame[30:34], int.from_bytes(frame[36:38]))  # whom an answer was for
            for frame in network.received("client")
            if frame[34:36] == HEALTHY.to_bytes(2)
        }
        self.told = self._all_told(told_before)
        self.memory = controller.resident_bytes - memory

    def _all_told(self, begin):
        """Wait until the hosts' failing flows are told, or none is left to be; return what was."""
        deadline = time.monotonic() + 40
        while time.monotonic() < deadline:
            time.sleep(0.5)
            told = self.controller.told()[begin:]
            self.told = [flow for kind, flow, _ in told if kind == "verdict"]
            if self.verdicts(FAILING)["unanswered"] == 10 * HOSTS:
                break
        return self.told

    @staticmethod
    def _frame(packet, *, back=False):
        frame = ethernet(with_checksums(packet))
        return frame[6:12] + frame[:6] + frame[12:] if back else frame

    def _talk(self, network, turn):
        for host in range(HOSTS):
            client, port = f"10.7.{host}.1", self.port + turn
            network.send("client", self._frame(udp(client, SERVER, sport=port)))  # nobody answers
            network.send("client", self._frame(udp(client, SERVER, sport=port, dport=HEALTHY)))
        time.sleep(0.01)
        for host in range(HOSTS):
            answer = udp(SERVER, f"10.7.{host}.1", sport=HEALTHY, dport=self.port + turn)
            network.send("server", self._frame(answer, back=True))

    def false_alarms(self):
        """Return the verdicts on flows whose answer came in time."""
        return [
            flow["verdict"]
            for flow in self.told
            if (flow["client"], flow["client_port"]) in self.answered
            and flow["server_port"] == HEALTHY
        ]

    def verdicts(self, server_port):
        """Return how often a service of the eight hosts got each verdict."""
        server = bytes([192, 0, 2, 1])
        return Counter(
            flow["verdict"]
            for flow in self.told
            if (flow["server"], flow["server_port"]) == (server, server_port)
        )

    def dropped(self, cause):
        return self.controller.total("dropped_total", cause=cause)


@pytest.fixture(params=FLOODS)
def kind(request):
    return request.param


def pytest_generate_tests(metafunc):
    if "lab" in metafunc.fixturenames and "name" in metafunc.fixturenames:
        metafunc.parametrize(
            ("name", "lab"), list(LABS.items()), indirect=["lab"], ids=LABS, scope="module"
        )


def test_ordinary_hosts_are_judged_during_a_flood(name, lab, kind):
    network, controller = lab
    if name != "conntrack":
        run("ovs-vsctl", "set", "bridge", "s1", "other_config:controller-queue-size=512")
    flooded = Flooded(network, controller, kind)
    outbound = {flow["quality"] for flow in flooded.told if flow["direction"] == "outbound"}
    inbound = [flow["quality"] for flow in flooded.told if flow["direction"] == "inbound"]
    if name == "conntrack":
        assert flooded.verdicts(FAILING) == {"unanswered": 10 * HOSTS}
        assert flooded.false_alarms() == []
        assert len(flooded.answered) >= 8 * HOSTS
        assert outbound == {"sound"}
    else:  # packet-ins may be lost on their way, and then it is said
        assert flooded.verdicts(FAILING)["unanswered"] >= 9 * HOSTS
        assert flooded.dropped("metered") > 0
    # What the flood itself leads to is bounded, and whatever was shed or held back is counted.
    assert flooded.memory < 64 << 20
    assert controller.total("tracked_flows") <= 10_000
    assert len(inbound) <= NEW_FLOWS * (flooded.seconds + 1) * 1.5
    if kind == "ICMP errors":
        assert inbound == []
        assert flooded.verdicts(FAILING)["icmp_error"] == 0
        assert controller.total("flows_total", verdict="icmp_error") == 0
    else:
        assert "degraded" in inbound
        assert flooded.dropped("shed") + flooded.dropped("metered") > 0


ZONE = {"conntrack": ", datapath: netdev, limit: 300"}


@pytest.mark.parametrize(
    "lab", [("single", f"pipeline: conntrack, {BY_PORT}", ZONE)], indirect=True
)
def test_the_tracking_zone_has_our_limits_and_when_it_is_full_all_goes_on(lab):
    network, controller = lab
    zone = f"zone={controller.zone}"
    try:
        limits = ("ovs-appctl", "dpctl/ct-get-limits", "netdev@ovs-netdev", zone)
        controller.wait_for(lambda: f"{zone},limit=300," in run(*limits))
        policy = run("ovs-vsctl", "list-zone-tp", "netdev")
        assert f"Zone:{controller.zone}, " in policy
        assert "udp_first=180 udp_multiple=180 udp_single=180" in policy
        flooded = Flooded(network, controller, "SYN")
        assert f"{zone},limit=300,count=300" in run(*limits)
        assert controller.total("tracked_connections") == 300
        assert flooded.verdicts(FAILING) == {"unanswered": 10 * HOSTS}
        assert flooded.false_alarms() == []
    finally:
        run("ovs-vsctl", "--if-exists", "del-zone-tp", "netdev", zone)
        run("ovs-appctl", "dpctl/ct-del-limits", "netdev@ovs-netdev", zone)
