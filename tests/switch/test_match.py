import pytest

from chamaleonet.switch.match import FlowKey
from tests.switch.build import PlayedProbe
from tests.traffic import SYN, ethernet, ip, ping, pong, sctp, tcp, udp

C4, S4 = "10.0.0.1", "192.0.2.9"
C6, S6 = "fc00::1", "2001:db8::9"


def key_of(packet):
    """Return the key of the flow that a packet opens."""
    probe = PlayedProbe().probe
    frame = ethernet(packet)
    probe.packet_ins.append(memoryview(frame), len(frame), 1)
    list(probe.engine.judge(probe.packet_ins.take()))
    return FlowKey.of(probe.engine._table.flows[0])


def ends(match):
    fields = dict(match)
    return {name: fields[name] for name in fields if name.endswith(("_src", "_dst"))}


@pytest.mark.parametrize(("client", "server", "version"), [(C4, S4, 4), (S4, C4, 4), (C6, S6, 6)])
@pytest.mark.parametrize(("build", "name"), [(udp, "udp"), (sctp, "sctp")])
def test_ports_and_addresses_are_matched_both_ways(client, server, version, build, name):
    key = key_of(build(client, server, sport=1000, dport=53))
    there, back = ends(key.client_to_server()), ends(key.server_to_client())
    assert there[f"{name}_src"] == back[f"{name}_dst"] == 1000
    assert there[f"{name}_dst"] == back[f"{name}_src"] == 53
    assert there[f"ipv{version}_src"] == back[f"ipv{version}_dst"] == key.client
    assert there[f"ipv{version}_dst"] == back[f"ipv{version}_src"] == key.server
    assert key.is_exact


def test_tcp_is_exact():
    key = key_of(tcp(C4, S4, SYN))
    assert dict(key.client_to_server())["tcp_dst"] == 80
    assert key.is_exact


@pytest.mark.parametrize(
    ("packet", "field", "there", "back"),
    [
        (ping(C4, S4), "icmpv4_type", 8, 0),
        (pong(S4, C4), "icmpv4_type", 0, 8),  # unsolicited: the "client" is who replied
        (ping(C6, S6), "icmpv6_type", 128, 129),
    ],
)
def test_an_icmp_query_is_matched_by_its_type_alone(packet, field, there, back):
    key = key_of(packet)
    assert dict(key.client_to_server())[field] == there
    assert dict(key.server_to_client())[field] == back
    assert not key.is_exact


@pytest.mark.parametrize(("protocol", "exact"), [(47, True), (50, True), (33, False), (136, False)])
def test_protocols_without_matchable_ports(protocol, exact):
    key = key_of(ip(C4, S4, protocol, b"\0\1\0\2" + bytes(20)))
    assert dict(key.client_to_server())["ip_proto"] == protocol
    assert set(ends(key.client_to_server())) == {"ipv4_src", "ipv4_dst"}
    assert key.is_exact is exact
