"""Detectors that die, and a controller that does."""

import os
import signal
from pathlib import Path

import pytest
from scapy.layers.inet import UDP

from mininet_tests.harness import CANDIDATE, CANDIDATE_PORT
from mininet_tests.scenarios import Ends

SETTINGS = (
    f"pipeline: conntrack, candidates: {{port: {CANDIDATE_PORT}, interface: {CANDIDATE},"
    " detectors: 2}, forward: none, scope: {ports: [1]}"
)
FLOWS = 30

# Nobody is ever answered here: that replies are out of sight is not what is tried.
BLIND = {"extra": "visibility: {enabled: false}\n"}

pytestmark = pytest.mark.parametrize("lab", [("fed", SETTINGS, BLIND)], indirect=True)


def detectors(controller):
    """Return the process ids of a controller's detectors."""
    threads = Path(f"/proc/{controller._process.pid}/task").glob("*/children")
    return sorted(int(pid) for thread in threads for pid in thread.read_text().split())


def runs(pid):
    """Tell whether a process runs, and does not only wait for somebody to ask how it ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False
    return "State:\tZ" not in status


def fail(network, port):
    """Have many clients ask servers that never answer."""
    for number in range(1, FLOWS + 1):
        ends = Ends(4, number)
        network.send("mirror", ends.frame(ends.client, UDP(sport=port, dport=53)))


def test_a_detector_that_dies_takes_its_rules_along_and_comes_again(lab):
    network, controller = lab
    controller.wait_for(lambda: controller.total("detectors") == 2)
    fail(network, 1)
    controller.wait_for(lambda: controller.total("redirect_rules") == FLOWS)
    os.kill(detectors(controller)[0], signal.SIGKILL)
    controller.wait_for(lambda: controller.total("detector_restarts_total") == 1)
    controller.wait_for(lambda: 0 < controller.total("redirect_rules") < FLOWS)
    controller.wait_for(lambda: controller.total("detectors") == 2)
    assert len(detectors(controller)) == 2
    fail(network, 2)
    controller.wait_for(lambda: controller.total("flows_total", verdict="unanswered") == 2 * FLOWS)
    assert controller.total("dropped_total", cause="ring_full") == 0
    assert controller.total("candidate_packets_total", source="ring") >= 2 * FLOWS
    assert controller.total("detector_cpu_seconds_total") > 0
    ended = [kind for kind, _, _ in controller.told()].count("flow")
    assert 0 < ended < FLOWS


def test_detectors_end_with_a_controller_that_is_killed(lab):
    _, controller = lab
    children = detectors(controller)
    assert len(children) == 2
    controller.kill()
    controller.wait_for(lambda: not any(map(runs, children)))
    controller.start()
    controller.wait_for(lambda: controller.total("detectors") == 2)


def test_detectors_end_with_a_controller_that_is_stopped(lab):
    network, controller = lab
    children = detectors(controller)
    fail(network, 3)
    controller.wait_for(lambda: controller.total("redirect_rules") == FLOWS)
    told = controller.finished()
    assert sum(kind == "flow" and flow["client_port"] == 3 for kind, flow, _ in told) == FLOWS
    assert not any(map(runs, children))
