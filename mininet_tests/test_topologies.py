"""The smaller topologies do what docs/topologies.md says, and plain Mininet runs all of them."""

from __future__ import annotations

import ipaddress
import os
import re
import subprocess
from functools import partial

import pytest

from mininet_tests.harness import ROOT, mininet, run, switch_runs
from mininet_tests.topology import Seen, addresses, built, packed, topologies, unreached
from tests import doc_commands

ECHO, REPLY = "icmp,icmp_type=8", "icmp,icmp_type=0"
ECHO6, REPLY6 = "icmp6,icmp_type=128", "icmp6,icmp_type=129"


def counted(probe):
    """Return the packets that each rule of a probe has seen."""
    run("ovs-appctl", "revalidator/wait")  # until they are counted
    rules = run("ovs-ofctl", "--protocols=OpenFlow13", "dump-flows", probe)
    return {
        match: int(packets)
        for packets, match in re.findall(r"n_packets=(\d+), .*(icmp6?,icmp_type=\d+) act", rules)
    }


def test_the_mirror_port_feeds_both_directions_to_the_probe():
    rules = [f"{match} actions=drop" for match in (ECHO, REPLY, ECHO6, REPLY6)]
    remote = partial(mininet().node.RemoteController, port=1)  # where nobody listens
    with built("tap", rules, controller=remote) as net:
        pairs = [("staff", "192.0.2.10"), ("outsider", "2001:db8:20:40::53")]
        assert unreached(net, pairs) == {}
        assert counted("s1") == {ECHO: 3, REPLY: 3, ECHO6: 3, REPLY6: 3}
        # What is no probe has no controller, even where Mininet has one for all.
        controllers = {switch.name: run("ovs-vsctl", "get-controller", switch.name).strip()
                       for switch in net.switches}  # fmt: skip
        assert controllers == {"s1": "tcp:127.0.0.1:1", "core": "", "edge": ""}


def test_one_border_for_what_leaves_and_one_for_what_comes():
    with built("asymmetric") as net, Seen(net, "border1-eth1", "border2-eth1", "isp-eth0") as seen:
        assert unreached(net, [("staff", "192.0.2.10"), ("services", "2001:db8:f3::10")]) == {}
        leaving, coming, both = seen.ends()
    for pair in (
        packed("10.20.10.10", "192.0.2.10"), packed("2001:db8:20:40::53", "2001:db8:f3::10"),
    ):  # fmt: skip
        assert [each[pair] for each in (leaving, coming, both)] == [3, 0, 3]
        assert [each[pair[::-1]] for each in (leaving, coming, both)] == [0, 3, 3]


def test_two_probes_of_which_neither_sees_both_directions():
    rules = [f"{match} actions=NORMAL" for match in (ECHO, REPLY, ECHO6, REPLY6)]
    with built("asymmetric_split", ["priority=0,actions=NORMAL", *rules]) as net:
        pairs = [("staff", "192.0.2.10"), ("services", "2001:db8:f3::10")]
        assert unreached(net, pairs) == {}
        assert counted("s1") == {ECHO: 3, REPLY: 0, ECHO6: 3, REPLY6: 0}
        assert counted("s2") == {ECHO: 0, REPLY: 3, ECHO6: 0, REPLY6: 3}


def test_the_single_switch_has_neighbours_on_it():
    with built("single") as net:
        pairs = [("client", at) for at in addresses(net, "server", -1)]
        pairs += [("server", at) for at in addresses(net, "client", -1)]
        assert unreached(net, pairs) == {}


def test_a_probe_without_controller_forwards_only_if_told_so():
    with built("single", rules=[]) as net:
        assert len(unreached(net, [("client", "192.0.2.1")])) == 1


def test_chamaleonet_watches_it_as_documented(tmp_path):
    name = "docs/topologies.md: deploy/ovs-setup --dp-id 00000000000000a1 inline s1"
    (block,) = [each for each in doc_commands.blocks() if each.name == name]
    setup, run_it = block.commands[0].splitlines()
    doc_commands.checkout(tmp_path)
    with built("single", rules=[]) as net, doc_commands.Shell(tmp_path, private=True) as shell:
        try:
            shell.run(setup, run_it)
            assert unreached(net, [("client", "192.0.2.1"), ("server", "2001:db8:10::1")]) == {}
            rules = run("ovs-ofctl", "--protocols=OpenFlow13", "dump-flows", "s1")
            assert "cookie=0xc4a1" in rules
        finally:
            for port in ("cand0", "log0"):
                run("ovs-vsctl", "--if-exists", "del-port", "s1", port)


NAMES = {
    "single": "single", "tap": "tap", "campus": "campus", "asymmetric": "asymmetric",
    "asymmetric_split": "asymmetric", "fed": "fed", "feds": "fed",
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_plain_mininet_runs_it(name):
    assert switch_runs()
    test = "pingall" if name == "single" else "none"
    script = f"""
        mount --bind {ROOT} /mnt
        mount -t tmpfs tmpfs /tmp
        cd /mnt/topologies
        exec mn --custom {NAMES[name]}.py --topo {name},failMode=standalone --test {test}
    """
    # Where it fails, it kills whatever looks like Mininet's, and empties /tmp: let it have its own.
    alone = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    done = subprocess.run(
        [*alone, "sh", "-ec", script],
        cwd="/", capture_output=True, text=True, timeout=60,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
    )  # fmt: skip
    assert "completed in" in done.stderr, done.stderr
    assert "Caught exception" not in done.stderr
    if test == "pingall":
        assert "0% dropped (2/2 received)" in done.stdout + done.stderr


def test_every_topology_says_what_is_inside_and_where_to_look():
    assert set(topologies()) == set(NAMES)
    for topo in topologies().values():
        plan = topo(datapath="user")
        internal = [ipaddress.ip_network(prefix) for prefix in plan.internal]
        assert set(plan.probes) <= set(plan.switches())
        for node, interface in plan.taps:
            ports = [port for port in plan.ports[node] if f"{node}-eth{port}" == interface]
            assert len(ports) == 1
        for host, params in plan.g.nodes(data=True):
            for address in map(ipaddress.ip_interface, params.get("addresses", ())):
                nets = [net for net in internal if address.version == net.version]
                watched = any(address.ip in net for net in nets)
                natted = address in ipaddress.ip_network("192.168.77.0/24")
                assert params["inside"] is (watched or natted), (host, address)
