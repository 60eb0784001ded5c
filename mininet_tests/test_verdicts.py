"""Every verdict, both pipelines, inline and tap, IPv4 and IPv6, tagged and not."""

import socket
import time
from collections import Counter

import pytest

from mininet_tests.harness import CANDIDATE, CANDIDATE_PORT, LOGGER, ends_of
from mininet_tests.scenarios import SECRET, scenarios

BY_PORT = f"candidates: {{port: {CANDIDATE_PORT}, interface: {CANDIDATE}}}"
CONNTRACK = f"pipeline: conntrack, {BY_PORT}"
TAP = "forward: none, scope: {ports: [1]}"
LABS = {
    "conntrack-inline": ("single", CONNTRACK),
    "conntrack-tap": ("fed", f"{CONNTRACK}, {TAP}"),
    "conntrack-packet-in": ("single", "pipeline: conntrack, snaplen: 100"),
    "reactive-inline": ("single", "pipeline: reactive, truncate: true"),
    "reactive-tap": ("fed", f"pipeline: reactive, {TAP}"),
}
SNAPLEN = {"conntrack-packet-in": 100, "reactive-tap": 65535}  # plain OpenFlow cannot cut at ports
TIMEOUT, LAG = 0.5, 0.1  # s


def blind(name, scenario):
    """Tell what a pipeline cannot see, by its documentation."""
    return name.startswith("reactive") and scenario.name.startswith("reused port")


class Played:
    """All scenarios, played once, and what was seen."""

    def __init__(self, name, network, controller):
        self.name, self.controller, self.network = name, controller, network
        self.all = [each for each in scenarios() if not blind(name, each)]
        inline = name.endswith(("inline", "packet-in"))
        self._host = {end: end if inline else "mirror" for end in ("client", "server")}
        for raw in network.sockets:
            network.received(raw)
        for scenario in self.all:
            self._send(scenario.first)
        time.sleep(TIMEOUT + LAG)
        for scenario in self.all:
            self._send(scenario.late)
        expected = sum(len(each.verdicts) for each in self.all)
        controller.wait_for(lambda: len(controller.told()) >= expected)
        time.sleep(LAG)
        self.rules = network.rules()
        self.candidates = network.received(CANDIDATE)
        self.logged = network.received(LOGGER)
        for scenario in self.all:
            at = "server" if scenario.name.startswith("unsolicited") else "client"
            self._send(((at, scenario.again),))
        time.sleep(LAG)
        self.candidates_again = network.received(CANDIDATE)
        self.logged_again = network.received(LOGGER)

    def _send(self, steps):
        for end, frame in steps:
            self.network.send(self._host[end], frame)
            time.sleep(0.004)  # as on a network: a reply comes after what it answers

    def flows(self, scenario):
        family = socket.AF_INET if scenario.ends.version == 4 else socket.AF_INET6
        client = socket.inet_pton(family, scenario.ends.client)
        return [
            (kind, flow, packets)
            for kind, flow, packets in self.controller.flows
            if client in (flow["client"], flow["server"])
        ]


@pytest.fixture(scope="module")
def played(request, lab):
    return Played(request.getfixturevalue("name"), *lab)


def pytest_generate_tests(metafunc):
    if "lab" in metafunc.fixturenames:
        metafunc.parametrize(
            ("name", "lab"), list(LABS.items()), indirect=["lab"], ids=LABS, scope="module"
        )


def of(scenario, frames):
    return [frame for frame in frames if set(ends_of(frame)) == scenario.ends.addresses]


def test_the_stream_tells_each_verdict_with_the_first_packet(name, played):
    for scenario in played.all:
        told = played.flows(scenario)
        assert [flow["verdict"] for _, flow, _ in told] == list(scenario.verdicts), scenario.name
        for nth, (kind, flow, packets) in enumerate(told):
            assert kind == "verdict"
            assert len(packets) == (nth == 0), scenario.name
            assert flow["vlan"] == (scenario.ends.vlan or None)
            assert not any(b"planted" in packet for packet in packets)


def test_each_erroneous_flow_has_its_rule_and_no_other_flow_has(name, played):
    for scenario in played.all:
        mine = [
            line
            for line in played.rules.splitlines()
            if "cookie=0xc4a1" in line and scenario.ends.client in line and "table=1" in line
        ]
        assert len(mine) == scenario.rule, (scenario.name, mine)
        for line in mine:
            sender = "server" if scenario.name.startswith("unsolicited") else "client"
            source = "nw_src" if scenario.ends.version == 4 else "ipv6_src"
            assert f"{source}={getattr(scenario.ends, sender)}," in line
            assert "idle_timeout=60, send_flow_rem" in line
            assert line.endswith("goto_table:2")


def test_erroneous_flows_reach_the_logger_and_others_do_not(name, played):
    for scenario in played.all:
        errors = of(scenario, played.logged)
        late = 0 if scenario.rule or not scenario.verdicts else len(errors)
        assert len(errors) - late == scenario.errors, scenario.name
        assert len(of(scenario, played.logged_again)) == scenario.rule, scenario.name


def test_healthy_flows_leave_the_switch_by_two_packets_at_most(name, played):
    if not name.startswith("conntrack") or name == "conntrack-packet-in":
        pytest.skip("candidates come as packet-ins")
    for scenario in played.all:
        if scenario.healthy:
            assert len(of(scenario, played.candidates)) == 2, scenario.name
            assert of(scenario, played.candidates_again) == [], scenario.name
    assert played.controller.total("candidate_packets_total", source="packet_in") == 0


def test_no_packet_leaves_beyond_the_snaplen(name, played):
    snaplen = SNAPLEN.get(name, 128)
    frames = played.candidates + played.logged + played.candidates_again + played.logged_again
    assert frames
    tag = 4  # the kernel may strip a VLAN tag before we see the frame
    assert max(map(len, frames)) <= snaplen
    if snaplen < 1000:
        assert max(map(len, frames)) >= snaplen - tag  # some were cut
        assert not any(SECRET in frame for frame in frames)


def test_metrics_count_every_verdict(name, played):
    expected = Counter(verdict for each in played.all for verdict in each.verdicts)
    healthy = [each.name.split()[0] for each in played.all if not each.verdicts]
    expected += Counter(healthy)
    reused = sum(each.name.startswith("reused") for each in played.all)
    expected["answered"] += reused
    for verdict, number in expected.items():
        assert played.controller.total("flows_total", verdict=verdict) == number, verdict
    assert played.controller.total("dropped_total") == 0
    assert played.controller.total("redirect_rules") == sum(each.rule for each in played.all)
