"""The redirect rules' budget on a real switch: aggregation, what it spares, a full table."""

import time

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import Ether

from mininet_tests.harness import (
    CANDIDATE,
    CANDIDATE_PORT,
    LOGGER,
    ends_of,
    run,
)
from mininet_tests.scenarios import CLIENT_MAC, SERVER_MAC

CONNTRACK = f"pipeline: conntrack, candidates: {{port: {CANDIDATE_PORT}, interface: {CANDIDATE}}}"
REACTIVE = "pipeline: reactive, truncate: true"
BUDGET = "redirect: {max_rules: 8}"
LABS = {name: ("single", f"{text}, {BUDGET}") for name, text in (
    ("conntrack", CONNTRACK), ("reactive", REACTIVE),
)}  # fmt: skip
CLIENT, HEALTHY = "10.77.0.1", "192.0.2.200"
TARGETS = [f"192.0.2.{n}" for n in range(1, 21)]


def there(server, content, client=CLIENT):
    return bytes(Ether(src=CLIENT_MAC, dst=SERVER_MAC) / IP(src=client, dst=server) / content)


def back(server, content, client=CLIENT):
    return bytes(Ether(src=SERVER_MAC, dst=CLIENT_MAC) / IP(src=server, dst=client) / content)


def syn(sport=40000):
    return TCP(flags="S", seq=100, sport=sport, dport=80)


def say(network, *steps):
    for host, frame in steps:
        network.send(host, frame)
        time.sleep(0.02)  # as on a network: a reply comes after what it answers


def shake_hands(network, server, sport):
    answer = TCP(flags="SA", seq=500, ack=101, sport=80, dport=sport)
    say(
        network,
        ("client", there(server, syn(sport))),
        ("server", back(server, answer)),
        ("client", there(server, TCP(flags="A", seq=101, ack=501, sport=sport, dport=80))),
    )


def talk(network, server, sport):
    for n in range(5):
        data = TCP(flags="PA", seq=101 + 4 * n, ack=501, sport=sport, dport=80) / b"data"
        say(network, ("client", there(server, data)))


def servers(frames):
    """Return the last number of the server's address of each frame from the client."""
    client = bytes(map(int, CLIENT.split(".")))
    return sorted(ends_of(frame)[1][3] for frame in frames if ends_of(frame)[0] == client)


@pytest.mark.parametrize("lab", LABS.values(), indirect=True, ids=LABS)
def test_an_aggregate_spares_answered_flows_of_the_same_client_and_port(lab):
    network, controller = lab
    shake_hands(network, HEALTHY, 50000)
    say(network, *(("client", there(target, syn())) for target in TARGETS))
    controller.wait_for(lambda: controller.total("flows_total", verdict="unanswered") == 20)
    controller.wait_for(lambda: controller.total("redirect_rules") == 1)
    assert controller.total("redirect_aggregate_rules") == 1
    assert controller.total("dropped_total", cause="redirect_rules_full") == 0
    redirects = [line for line in network.rules().splitlines() if "send_flow_rem" in line]
    (rule,) = [line for line in redirects if "output" in line]
    assert "tcp,nw_src=10.77.0.1,tp_dst=80" in rule.replace("ct_state=-est+trk,", "")

    network.received(LOGGER)
    talk(network, HEALTHY, 50000)
    say(network, *(("client", there(target, syn())) for target in TARGETS))
    shake_hands(network, HEALTHY, 50001)  # begins while the rule is there
    controller.wait_for(lambda: controller.total("flows_total", verdict="answered") == 2)
    time.sleep(0.2)
    # Of an answered flow nothing after its reply; what is unanswered once each.
    seen = servers(network.received(LOGGER))
    assert seen[:20] == list(range(1, 21))
    # The ACK may overtake the bypass; then the logger drops it, as it does the first SYN.
    assert seen[20:] in ([200], [200, 200])
    talk(network, HEALTHY, 50001)
    talk(network, HEALTHY, 50000)
    time.sleep(0.2)
    assert servers(network.received(LOGGER)) == []


@pytest.mark.parametrize(
    ("lab", "ping_seen"),
    [
        (("single", f"{CONNTRACK}, redirect: {{max_rules: 9}}"), []),
        # OpenFlow cannot tell pings apart, so they have no bypass: the logger drops them.
        (("single", f"{REACTIVE}, redirect: {{max_rules: 9}}"), [200]),
    ],
    indirect=["lab"],
    ids=LABS,
)
def test_a_clients_aggregate_spares_what_is_answered_of_any_protocol(lab, ping_seen):
    network, controller = lab
    query = UDP(sport=40000, dport=53) / b"query"
    answer = UDP(sport=53, dport=40000) / b"answer"
    say(
        network,
        ("client", there(HEALTHY, query)), ("server", back(HEALTHY, answer)),
        ("client", there(HEALTHY, ICMP(id=7))), ("server", back(HEALTHY, ICMP(type=0, id=7))),
    )  # fmt: skip
    lost = [UDP(sport=40000, dport=1000 + n) for n in range(20)]
    for target, datagram in zip(TARGETS, lost, strict=True):
        say(network, ("client", there(target, datagram)))
    unreachable = ICMP(type=3, code=3) / (IP(src=CLIENT, dst=TARGETS[1]) / lost[1])
    say(network, ("server", back(TARGETS[1], unreachable)))
    controller.wait_for(lambda: controller.total("flows_total", verdict="unanswered") >= 19)
    controller.wait_for(lambda: controller.total("flows_total", verdict="icmp_error") == 1)
    controller.wait_for(lambda: controller.total("redirect_rules") == 1)
    (rule,) = [
        line for line in network.rules().splitlines()
        if "send_flow_rem" in line and "output" in line
    ]  # fmt: skip
    assert "ip,nw_src=10.77.0.1 actions=" in rule
    network.received(LOGGER)
    say(
        network,
        ("client", there(HEALTHY, query)), ("client", there(HEALTHY, ICMP(id=7, seq=2))),
        ("client", there(TARGETS[0], lost[0])), ("client", there(TARGETS[1], lost[1])),
    )  # fmt: skip
    time.sleep(0.2)
    assert servers(network.received(LOGGER)) == [1, 2, *ping_seen]


@pytest.mark.parametrize("lab", [("single", CONNTRACK)], indirect=True)
def test_a_table_that_is_full_is_believed_and_its_flows_are_aggregated(lab):
    network, controller = lab
    assert controller.total("redirect_budget_rules") == 10_000  # the switch says a million
    limit = "flow_limit=5"  # one of them is the static rule's
    run(
        "ovs-vsctl", "--id=@table", "create", "Flow_Table", limit, "--",
        "set", "bridge", "s1", "flow_tables:1=@table",
    )  # fmt: skip
    say(network, *(("client", there(target, syn())) for target in TARGETS))
    controller.wait_for(lambda: controller.total("flows_total", verdict="unanswered") == 20)
    controller.wait_for(lambda: controller.total("redirect_aggregate_rules") == 1)
    assert controller.total("redirect_rule_changes_total", change="failed") > 0
    controller.wait_for(lambda: controller.total("redirect_uncovered_flows") == 0)
    assert controller.total("redirect_budget_rules") <= 20
    network.received(LOGGER)
    say(network, *(("client", there(target, syn())) for target in TARGETS))
    time.sleep(0.2)
    assert servers(network.received(LOGGER)) == list(range(1, 21))

    # A controller that connects now is told at once.
    controller.kill()
    controller.start()
    controller.wait_for(lambda: controller.total("redirect_budget_rules") == 4)
    controller.wait_for(lambda: controller.total("switch_table_rules", table="redirect") == 1)
    assert controller.total("switch_table_max_rules", table="redirect") == 5
