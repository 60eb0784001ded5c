"""Whatever is restarted, killed or cut: no rule is lost, doubled or left behind, no flow twice."""

import contextlib
import os
import random
import signal
import socket
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from mininet_tests.failing import (
    OTHERS,
    Traffic,
    frame,
    logged,
    others,
    redirects,
    settled,
)
from mininet_tests.harness import (
    CANDIDATE,
    CANDIDATE_PORT,
    LOGGER,
    Controller,
    Logger,
    Network,
    run,
)

KILLS = 20
CONNTRACK = f"pipeline: conntrack, candidates: {{port: {CANDIDATE_PORT}, interface: {CANDIDATE}}}"


@pytest.mark.timeout(900)
def test_killed_twenty_times_no_rule_is_lost_doubled_or_left_and_no_flow_logged_twice(tmp_path):
    dice = random.Random(5)
    extra = (
        "idle_timeout: 8s\n"
        f"logger: {{interface: {LOGGER}, directory: '{tmp_path}/log',"
        " anonymise: {addresses: none}}\n"
    )
    checkpoint = f"{{directory: '{tmp_path}/checkpoint', interval: 200ms}}"
    with (
        Network("single") as network,
        Controller(tmp_path, CONNTRACK, checkpoint=checkpoint, extra=extra) as controller,
    ):
        for rule in OTHERS:
            network.add_rule(rule)
        before = others(network)
        logger = Logger(controller)
        traffic = Traffic(network)
        told = set()
        try:
            for _ in range(KILLS):
                traffic.go()
                time.sleep(dice.uniform(0, 1.2))
                controller.kill()
                traffic.pause()
                controller.start()
                controller.wait_for(lambda: settled(network, controller), 20)
                told |= {(flow["client_port"], flow["first"]) for _, flow, _ in controller.flows}
                controller.flows.clear()
                assert others(network) == before
            traffic.go()
            time.sleep(1)
            traffic.stop()
            controller.wait_for(lambda: controller.total("tracked_flows") == 0, 30)
            assert redirects(network) == Counter()
            told |= {(flow["client_port"], flow["first"]) for _, flow, _ in controller.finished()}
            logger.stop()
        finally:
            traffic.stop()
            logger.kill()
        times = logged(tmp_path / "log")
        assert len(told) > 50
        assert [flow for flow, n in times.items() if n > 1] == []
        assert told - set(times) == set()


def test_detectors_go_on_with_the_flows_of_those_before(tmp_path):
    settings = CONNTRACK.replace(CANDIDATE, f"{CANDIDATE}, detectors: 2", 1)
    checkpoint = f"{{directory: '{tmp_path}/checkpoint', interval: 200ms}}"
    with (
        Network("single") as network,
        Controller(tmp_path, settings, checkpoint=checkpoint) as controller,
    ):
        ports = range(20000, 20040)
        network.send("client", *map(frame, ports))
        controller.wait_for(lambda: controller.total("redirect_rules") == len(ports))
        before = redirects(network)
        controller.kill()
        controller.start()
        controller.wait_for(lambda: controller.total("redirect_rules") == len(ports))
        assert redirects(network) == before
        assert controller.total("restored_flows_total") == len(ports)
        network.send("server", *(frame(port, reply=True) for port in ports))
        controller.wait_for(lambda: controller.total("redirect_rules") == 0)


def restart_switch():
    """Kill Open vSwitch's daemon, which forgets all rules, and start it again."""
    pid = int(Path("/run/openvswitch/ovs-vswitchd.pid").read_text())
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    run("ovs-vswitchd", "--pidfile", "--detach", "--log-file", "unix:/run/openvswitch/db.sock")


class Wire(threading.Thread):
    """A TCP proxy that can stop to carry anything, without a word to either end."""

    def __init__(self, target):
        super().__init__(daemon=True)
        self._target = target
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.cut = threading.Event()
        self.start()

    def run(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._target))
            for source, target in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(source, target), daemon=True).start()

    def _carry(self, source, target):
        with source, target, contextlib.suppress(OSError):
            while data := source.recv(65536):
                while self.cut.is_set():
                    time.sleep(0.05)
                target.sendall(data)


@pytest.fixture
def failed(tmp_path):
    """A network and its controller, with forty flows that have failed, and what their rules are."""
    with Network("single") as network, Controller(tmp_path, "pipeline: reactive") as controller:
        ports = range(20000, 20040)
        network.send("client", *map(frame, ports))
        controller.wait_for(lambda: controller.total("redirect_rules") == len(ports))
        yield network, controller, set(network.rules().splitlines())


def test_a_switch_that_starts_again_gets_all_its_rules(failed):
    network, controller, before = failed
    for rule in OTHERS:
        network.add_rule(rule)
    restart_switch()
    controller.wait_for(lambda: set(network.rules().splitlines()) == before, 30)
    controller.wait_for(lambda: controller.total("redirect_rules") == 40)


@pytest.mark.timeout(120)
def test_a_connection_that_is_cut_without_a_word_is_noticed_and_nothing_changes(failed):
    network, controller, before = failed
    wire = Wire(controller.openflow)
    with wire.listener:
        for rule in OTHERS:
            network.add_rule(rule)
        foreign = others(network)
        target = f"tcp:127.0.0.1:{wire.listener.getsockname()[1]}"
        run("ovs-vsctl", "set", "controller", "s1", f'target="{target}"')
        controller.wait_for(lambda: controller.total("reconciled_rules_total", outcome="kept") > 0)
        kept = controller.total("reconciled_rules_total", outcome="kept")
        wire.cut.set()
        controller.wait_for(lambda: controller.total("switch_connected") == 0, 40)
        assert redirects(network).total() == 40
        wire.cut.clear()
        controller.wait_for(lambda: controller.total("switch_connected") == 1, 40)
        controller.wait_for(lambda: controller.total("redirect_rules") == 40)
        controller.wait_for(
            lambda: controller.total("reconciled_rules_total", outcome="kept") > kept
        )
        assert set(network.rules().splitlines()) - set(foreign) == before
        assert others(network) == foreign
        run("ovs-vsctl", "set-controller", "s1", f"tcp:127.0.0.1:{controller.openflow}")
