from ipaddress import ip_address, ip_network

import pytest

from chamaleonet.flows.records import Query
from chamaleonet.switch.aggregate import Aggregate, Lattice, Prefix, Want, wider
from chamaleonet.switch.rules import ICMP, IPV4, IPV6, TCP, UDP, Rule
from tests.switch.build import flow_key

INSIDE = Prefix.of(ip_network("10.0.0.0/8"))


def key(client="10.0.0.1", server="192.0.2.9", protocol=UDP, *, dport=53, **more):
    return flow_key(client, server, protocol, dport=dport, **more)


def matches(key, inside=None, *, of_one_protocol=False):
    return [each.match for each in wider(key, inside, of_one_protocol=of_one_protocol)]


def test_above_a_flow_stand_its_service_by_either_end_and_either_end_alone():
    ip = ("eth_type", IPV4)
    source, target = ("ipv4_src", 0x0A000001), ("ipv4_dst", 0xC0000209)
    assert matches(key()) == [
        (ip, ("ip_proto", UDP), source, ("udp_dst", 53)),
        (ip, ("ip_proto", UDP), target, ("udp_dst", 53)),
        (ip, source),
        (ip, target),
    ]


def test_a_service_of_an_internal_prefix_is_the_widest():
    *_, widest = matches(key("192.0.2.9", "10.0.0.1"), INSIDE)
    prefix = ("ipv4_dst", (0x0A000000, 0xFF000000))
    assert widest == (("eth_type", IPV4), ("ip_proto", UDP), prefix, ("udp_dst", 53))


def test_a_pings_type_stands_for_its_port_and_other_protocols_have_none():
    assert matches(key(protocol=ICMP, query=Query.ECHO))[0][-1] == ("icmpv4_type", 8)
    assert matches(key(protocol=47))[0] == (
        ("eth_type", IPV4), ("ip_proto", 47), ("ipv4_src", 0x0A000001),
    )  # fmt: skip


def test_an_end_may_be_bound_to_one_protocol():
    found = matches(key("fc00::1", "2001:db8::9", TCP), of_one_protocol=True)
    assert all(match[:2] == (("eth_type", IPV6), ("ip_proto", TCP)) for match in found)


class Filled:
    """A lattice that wants with rules have entered."""

    def __init__(self, *keys):
        self.lattice = Lattice()
        self.wants = [Want(each) for each in keys]
        for want in self.wants:
            self.lattice.enter(want, wider(want.key, INSIDE, of_one_protocol=False))
            want.rule = Rule(1, 100)
            self.lattice.weigh(want, 1)

    def heaviest(self, saving=1):
        group = self.lattice.heaviest(saving)
        return group and group.aggregate


def test_the_group_that_saves_most_comes_first_and_narrow_ones_before_wide_ones():
    scan = [key(server=f"192.0.2.{n}", dport=22) for n in range(5)]
    swarm = [key(client=f"10.1.0.{n}", server="192.0.2.200", dport=25) for n in range(9)]
    ports = [key("10.2.0.1", "192.0.2.201", dport=n) for n in range(30)]
    filled = Filled(*scan, *swarm, *ports)
    server = int(ip_address("192.0.2.200"))
    assert filled.heaviest() == Aggregate(0, 4, UDP, server=server, service=("udp_dst", 25))
    assert filled.heaviest(saving=8) == filled.heaviest()
    # No port is worth so much, but the client of many ports is.
    assert filled.heaviest(saving=9) == Aggregate(1, 4, None, client=int(ip_address("10.2.0.1")))
    assert filled.heaviest(saving=29) == filled.heaviest(saving=9)
    assert filled.heaviest(saving=30) is None


def test_one_rule_saves_nothing():
    assert Filled(key()).heaviest() is None


def test_a_group_in_force_counts_as_one_rule_of_the_wider_ones():
    ports = [key("192.0.2.1", "10.0.0.1", dport=port, sport=n) for port in (1, 2) for n in range(3)]
    filled = Filled(*ports)
    for _ in range(2):
        group = filled.lattice.heaviest(1)
        assert group.aggregate.rank == 0
        for want in list(group.below):
            filled.lattice.weigh(want, -1)
            filled.lattice.leave(want)
            group.under[want] = None
        filled.lattice.activate(group)
        filled.lattice.weigh(group, 1)
    assert filled.heaviest() == Aggregate(1, 4, None, client=int(ip_address("192.0.2.1")))
    assert [each.aggregate.rank for each in filled.lattice.heaviest(1).below] == [0, 0]


def test_a_shape_that_the_switch_does_not_take_is_offered_no_more():
    filled = Filled(*[key(server=f"192.0.2.{n}") for n in range(5)])
    filled.lattice.bar(filled.heaviest())
    assert filled.heaviest() == Aggregate(1, 4, None, client=int(ip_address("10.0.0.1")))


def test_nothing_is_left_of_what_has_left():
    filled = Filled(*[key(server=f"192.0.2.{n}") for n in range(5)])
    for want in filled.wants:
        filled.lattice.weigh(want, -1)
        filled.lattice.leave(want)
    assert len(filled.lattice) == 0
    assert filled.heaviest() is None


@pytest.mark.parametrize("number", [1, 100])
def test_the_narrowest_group_of_a_want_that_another_one_shares(number):
    filled = Filled(*[key(server=f"192.0.2.{n}", dport=n) for n in range(number)])
    late = Want(key(server="192.0.2.250", dport=7))
    filled.lattice.enter(late, wider(late.key, None, of_one_protocol=False))
    assert filled.lattice.own(late).aggregate.rank == (0 if number > 7 else 1)
