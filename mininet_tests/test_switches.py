"""Several switches on one controller: each watches by itself, and none is in the others' way."""

import socket
import threading

import pytest
from scapy.layers.inet import UDP

from chamaleonet.lab.machine import switch_runs
from chamaleonet.switch.rules import COOKIE_PREFIX
from mininet_tests.harness import (
    CANDIDATE_PORT,
    LOGGER_PORT,
    PRIVATE_VLAN,
    Controller,
    packet_socket,
    run,
)
from mininet_tests.scenarios import Ends
from tests.fake_switch import BARRIER_REQUEST, FakeSwitch, packet_in
from tests.traffic import ethernet, udp

# Plant's VLANs overlap with east's in VLAN 11 alone.
SETTINGS = {
    "east": f"pipeline: conntrack, candidates: {{port: {CANDIDATE_PORT}, interface: east-cand,"
    " detectors: 2}, scope: {ports: [1], vlans: [10, 11]}",
    "west": "pipeline: reactive, scope: {ports: [1]}",
    "plant": "pipeline: conntrack, scope: {ports: [1], vlans: [11, 20]}",
}
DP_ID = {"east": "00000000000000a1", "west": "00000000000000a2", "plant": "00000000000000a3"}
FAKE = 0xB1
VLAN = {"east": 10, "west": 0, "plant": 20}


class Bridges:
    """Open vSwitch bridges that are fed by their port 1, as by taps."""

    def __enter__(self):
        assert switch_runs()
        self.sockets = {}
        for name, dp_id in DP_ID.items():
            run("ovs-vsctl", "add-br", name, "--", "set", "bridge", name, "datapath_type=netdev",
                "fail_mode=secure", "protocols=OpenFlow13",
                f"other_config:datapath-id={dp_id}")  # fmt: skip
            for port, kind in ((1, "tap"), (CANDIDATE_PORT, "cand"), (LOGGER_PORT, "log")):
                interface = f"{name}-{kind}"
                run("ovs-vsctl", "add-port", name, interface,
                    *([] if kind == "tap" else [f"tag={PRIVATE_VLAN}"]), "--",
                    "set", "interface", interface, "type=internal",
                    f"ofport_request={port}")  # fmt: skip
                run("ip", "link", "set", interface, "addrgenmode", "none")
                run("ip", "link", "set", interface, "up")
            self.sockets[name] = packet_socket(f"{name}-tap")
        return self

    def __exit__(self, *_):
        for raw in self.sockets.values():
            raw.close()
        for name in DP_ID:
            run("ovs-vsctl", "--if-exists", "del-br", name, check=False)

    def ask(self, name, number, *, vlan=None, answer=False):
        """Have a client ask a server; return their addresses."""
        ends = Ends(4, number, VLAN[name] if vlan is None else vlan)
        self.sockets[name].send(ends.frame(ends.client, UDP(sport=40000, dport=53)))
        if answer:
            self.sockets[name].send(ends.frame(ends.server, UDP(sport=53, dport=40000)))
        return ends

    def asks(self, name):
        """Tell whether the switch sends packet-ins."""
        rules = run("ovs-ofctl", "--protocols=OpenFlow13", "dump-flows", name, "table=2")
        return "CONTROLLER" in rules

    def redirects(self, name, ends):
        """Tell whether the switch redirects what the client sends."""
        rules = run("ovs-ofctl", "--protocols=OpenFlow13", "dump-flows", name, "table=1")
        return f"nw_src={ends.client}," in rules


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    settings = {
        name: f"dp_id: {DP_ID[name]}, forward: none, {each}" for name, each in SETTINGS.items()
    }
    settings["fake"] = f"dp_id: {FAKE:x}, pipeline: reactive"
    directory = tmp_path_factory.mktemp("lab")
    # One test opens thousands of flows at one instant, and hardly anybody is answered.
    extra = "flood: {new_flows: null}\nvisibility: {enabled: false}\n"
    with Bridges() as bridges, Controller(directory, settings, extra=extra) as controller:
        yield bridges, controller


@pytest.fixture
def fake(lab):
    _, controller = lab
    switch = FakeSwitch(("127.0.0.1", controller.openflow), dp_id=FAKE)
    switch.receive_until(BARRIER_REQUEST, 2)
    yield switch
    switch.close()
    controller.wait_for(lambda: controller.total("switch_connected", dp_id=f"{FAKE:016x}") == 0)


def check_all_work(lab, number):
    """Have a flow fail at each switch, and see that this switch alone redirects it."""
    bridges, controller = lab
    ends = {name: bridges.ask(name, number + at) for at, name in enumerate(DP_ID)}
    for name in DP_ID:
        controller.wait_for(lambda name=name: bridges.redirects(name, ends[name]), 30)
        assert not any(bridges.redirects(name, ends[other]) for other in set(DP_ID) - {name})


def test_verdicts_and_metrics_are_kept_apart(lab):
    bridges, controller = lab
    check_all_work(lab, 1)
    for name in DP_ID:
        bridges.ask(name, 10, answer=True)
    controller.wait_for(lambda: controller.total("flows_total", verdict="answered") == 3)
    for dp_id in DP_ID.values():
        controller.wait_for(
            lambda dp_id=dp_id: controller.total("redirect_rules", dp_id=dp_id) == 1
        )
        assert controller.total("switch_connected", dp_id=dp_id) == 1
    assert controller.total("detectors", dp_id=DP_ID["east"]) == 2
    assert controller.total("packet_ins_total", dp_id=DP_ID["east"]) == 0
    for name in ("west", "plant"):
        assert controller.total("packet_ins_total", dp_id=DP_ID[name]) == 3


def test_a_switch_that_floods_does_not_stop_the_others(lab, fake):
    _, controller = lab
    number = 30_000
    flood = packet_in(COOKIE_PREFIX, ethernet(udp("10.9.9.9", "192.0.2.250"))) * number
    sender = threading.Thread(target=fake.socket.sendall, args=(flood,))
    sender.start()
    check_all_work(lab, 20)
    sender.join()
    labels = {"dp_id": f"{FAKE:016x}"}
    controller.wait_for(lambda: controller.total("packet_ins_total", **labels) == number, 60)


def test_a_switch_that_takes_nothing_does_not_stop_the_others(lab, fake):
    # Thousands of rules are wanted in it, but it reads none of them.
    fake.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    for n in range(3000):
        there = ethernet(udp(f"10.8.{n >> 8}.{n & 255}", "192.0.2.251"))
        fake.send(packet_in(COOKIE_PREFIX, there))
    _, controller = lab
    controller.wait_for(lambda: controller.total("flows_total", verdict="unanswered") >= 3000, 30)
    check_all_work(lab, 30)
    assert controller.total("redirect_rules", dp_id=f"{FAKE:016x}") < 10  # of the test before


def test_a_switch_that_goes_leaves_the_others_alone_and_comes_back(lab):
    bridges, controller = lab
    run("ovs-vsctl", "del-controller", "west")
    gone = {"dp_id": DP_ID["west"]}
    controller.wait_for(lambda: controller.total("switch_connected", **gone) == 0)
    for at, name in enumerate(("east", "plant")):
        ends = bridges.ask(name, 40 + at)
        controller.wait_for(lambda name=name, ends=ends: bridges.redirects(name, ends))
    controller.connect("west")
    controller.wait_for(lambda: controller.total("switch_connected", **gone) == 1)
    # Open vSwitch empties its tables when it gets a controller.
    controller.wait_for(lambda: bridges.asks("west"))
    check_all_work(lab, 50)


def verdicts(controller, ends):
    return [
        flow["verdict"]
        for kind, flow, _ in controller.told()
        if kind == "verdict" and flow["client"] in ends.addresses
    ]


def test_a_flow_that_crosses_two_switches_is_judged_by_each_whose_scope_it_is_in(lab):
    bridges, controller = lab
    for name in ("east", "plant"):
        once, twice = (bridges.ask(name, 50 + vlan, vlan=vlan) for vlan in (10, 11))
    controller.wait_for(lambda: verdicts(controller, twice) == ["unanswered"] * 2)
    assert verdicts(controller, once) == ["unanswered"]
    assert bridges.redirects("east", once)
    assert not bridges.redirects("plant", once)
    assert all(bridges.redirects(name, twice) for name in ("east", "plant"))
