"""Aggregated redirect rules on a real switch, and another controller that finds them there."""

import time

from scapy.layers.inet import TCP

from mininet_tests.harness import CANDIDATE, LOGGER, Controller, Network
from mininet_tests.test_budget import BUDGET, CONNTRACK, TARGETS, say, servers, syn, there


def test_a_restarted_controller_keeps_its_aggregates_and_these_copy_probes_too(tmp_path):
    probe = TCP(flags="", seq=100, sport=40000, dport=80)  # to the tracker it is invalid
    frames = [there(each, probe if n % 2 else syn()) for n, each in enumerate(TARGETS)]
    saved = f"{{directory: '{tmp_path}', interval: 1s}}"
    with (
        Network("single") as network,
        Controller(tmp_path, f"{CONNTRACK}, {BUDGET}", checkpoint=saved) as controller,
    ):
        say(network, *(("client", each) for each in frames))
        controller.wait_for(lambda: controller.total("redirect_aggregate_rules") == 1)
        controller.wait_for(lambda: controller.total("flows_total", verdict="unanswered") == 20)
        before = [line for line in network.rules().splitlines() if "send_flow_rem" in line]
        assert len(before) == 1
        controller.finished()
        controller.kill()
        controller.start()
        after = [line for line in network.rules().splitlines() if "send_flow_rem" in line]
        assert after == before  # its cookie as well: nobody touched it
        ways = LOGGER, CANDIDATE, "server"
        for way in ways:
            network.received(way)
        say(network, *(("client", each) for each in frames))
        time.sleep(0.2)
        for way in ways:
            assert servers(network.received(way)) == list(range(1, 21)), way
