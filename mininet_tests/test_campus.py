"""The campus does what docs/topologies.md says."""

from __future__ import annotations

import contextlib
import re
import time

import pytest
from scapy.layers.l2 import Ether

from mininet_tests.harness import packet_socket, received
from mininet_tests.topology import Seen, addresses, built, packed, pings, unreached


@pytest.fixture(scope="module")
def campus():
    with built("campus") as net:
        yield net


def hosts(net, inside):
    return [each.name for each in net.hosts if each.params.get("inside") is inside]


def test_hosts_say_what_they_are(campus):
    own = campus["services"].params["addresses"]
    assert own[:4] == (
        "10.20.40.53/24", "2001:db8:20:40::53/64", "10.20.40.10/24", "2001:db8:20:40::10/64",
    )  # fmt: skip
    for host in hosts(campus, True) + hosts(campus, False):
        own = campus[host].params["addresses"]
        listed = re.findall(r"inet6? (\S+) scope global", campus[host].cmd("ip address show"))
        assert set(own) <= set(listed)
        assert len(set(own)) == len(own)
    sizes = {host: len(campus[host].params["addresses"]) // 2 for host in hosts(campus, True)}
    assert sizes == {
        "staff": 200, "students": 200, "hpc": 50, "services": 50, "monitor": 1, "wifi": 50,
    }  # fmt: skip


def test_whoever_is_inside_reaches_whoever_is_outside_and_back(campus):
    inside, outside = hosts(campus, True), hosts(campus, False)
    pairs = [(here, at) for here in inside for there in outside for at in addresses(campus, there)]
    assert len(pairs) == 6 * 4 * 2
    assert unreached(campus, pairs) == {}
    back = [
        (there, at) for there in outside for here in inside for at in addresses(campus, here, -1)
    ]
    # What is behind the NAT has no address that anyone could ask for.
    assert {target for _, target in unreached(campus, back)} == {"192.168.77.59"}


def test_whoever_is_inside_reaches_each_other_by_way_of_the_border(campus):
    inside = [host for host in hosts(campus, True) if host != "wifi"]
    pairs = [
        (here, at) for here in inside for there in inside if here != there
        for at in addresses(campus, there)
    ]  # fmt: skip
    said = pings(campus, pairs)
    hops = {pair: set(re.findall(r"ttl=(\d+)", text)) for pair, text in said.items()}
    for (host, target), ttls in hops.items():
        together = {host, target} <= {"services", "monitor", *addresses(campus, "services"),
                                      *addresses(campus, "monitor")}  # fmt: skip
        assert ttls == {"64" if together else "63"}, (host, target)


def test_vlans_are_networks_of_their_own(campus):
    names = ["students-eth0", "hpc-eth0", "monitor-eth0", *(f"border-eth{n}" for n in range(6))]
    sockets = {name: packet_socket(name, campus[name.split("-")[0]].pid) for name in names}
    frame = bytes(Ether(src="02:00:00:00:00:99", dst="ff:ff:ff:ff:ff:ff", type=0x88B5)).ljust(60)
    heard = {}
    for host in ("staff", "services"):
        with contextlib.closing(packet_socket(f"{host}-eth0", campus[host].pid)) as sender:
            sender.send(frame)
        time.sleep(0.2)
        heard[host] = {name for name, raw in sockets.items() if frame in received(raw)}
    for raw in sockets.values():
        raw.close()
    assert heard == {"staff": {"border-eth0"}, "services": {"monitor-eth0", "border-eth3"}}


def test_all_that_crosses_the_probe_passes_the_tap_once(campus):
    with Seen(campus, "border-eth6") as tap:
        pings(campus, [("staff", "192.0.2.10"), ("outsider", "2001:db8:20:30::10")])
        (ends,) = tap.ends()
    for pair in (("10.20.10.10", "192.0.2.10"), ("2001:db8:f3::10", "2001:db8:20:30::10")):
        assert ends[packed(*pair)] == 3
        assert ends[packed(*pair[::-1])] == 3


def test_the_nat_hides_ipv4_and_routes_ipv6(campus):
    with Seen(campus, "border-eth6") as tap:
        campus["wifi"].cmd("ping -c 3 -i 0.1 -I 192.168.77.20 192.0.2.11")
        campus["wifi"].cmd("ping -c 3 -i 0.1 -I 2001:db8:20:77::20 2001:db8:f1::11")
        (ends,) = tap.ends()
    assert ends[packed("10.20.50.2", "192.0.2.11")] == 3
    assert ends[packed("192.0.2.11", "10.20.50.2")] == 3
    assert ends[packed("2001:db8:20:77::20", "2001:db8:f1::11")] == 3
    private = packed("192.168.77.20")[0]
    assert not any(private in pair for pair in ends)


def test_the_vpn_is_one_flow_at_the_border_and_another_inside(campus):
    with Seen(campus, "border-eth6", "hpc-eth0") as seen:
        assert (
            unreached(campus, [("remote", "10.20.30.20"), ("remote", "2001:db8:20:30::20")]) == {}
        )
        outer, inner = seen.ends()
    outer = {pair: n for pair, n in outer.items() if len(pair[0]) == 4}
    assert set(outer) == {packed("100.64.5.10", "10.20.60.2"), packed("10.20.60.2", "100.64.5.10")}
    assert inner[packed("10.20.60.10", "10.20.30.20")] == 3
    assert inner[packed("2001:db8:20:60::10", "2001:db8:20:30::20")] == 3
    assert unreached(campus, [("hpc", "10.20.60.10"), ("hpc", "2001:db8:20:60::10")]) == {}


def test_far_is_far_and_loses_packets(campus):
    far, near = pings(campus, [("staff", "198.51.100.20"), ("staff", "192.0.2.20")]).values()
    assert "ttl=62" in far
    shortest = [float(re.search(r"= ([\d.]+)/", said)[1]) for said in (far, near)]
    assert shortest[0] >= 80 > shortest[1]
    said = pings(campus, [("www", f"198.51.100.{n}") for n in range(20, 30)], 100, 0.01).values()
    received = sum(int(re.search(r"(\d+) received", text)[1]) for text in said)
    assert 1 <= 1000 - received <= 40  # 1% both ways together: 10, with a deviation of 3.1


def test_bogons_leave_and_nobody_answers_while_others_are_told(campus):
    bogons = ["10.9.9.9", "172.16.1.1", "192.168.1.1", "fec0::1", "fd00::1"]
    nowhere = ["10.20.10.250", "10.20.99.1", "2001:db8:20:10::250", "2001:db8:20:99::1",
               "192.0.2.250", "2001:db8:f1::250"]  # fmt: skip
    unknown = ["8.8.8.8", "2001:db8:ffff::1"]
    with Seen(campus, "isp-eth0") as seen:
        said = pings(campus, [("students", at) for at in bogons + nowhere + unknown])
        (ends,) = seen.ends()
    for target in bogons + nowhere:
        text = said["students", target]
        assert " 0 received" in text
        assert "nreachable" not in text
        assert "exceeded" not in text  # no router sends it to and fro
    for target in bogons:
        assert ends[packed(addresses(campus, "students")[":" in target], target)] == 3
    for target in unknown:
        assert re.search("Net Unreachable|unreachable: No route", said["students", target])
