from chamaleonet.lab import faults
from chamaleonet.lab.inventory import Host, Inventory
from chamaleonet.lab.scenario import Fault

INVENTORY = Inventory([Host.of("www", ["192.0.2.1/24", "2001:db8::1/64"], inside=False)])


def rules(**keys):
    told = faults.begin(3, Fault(at="isp", **keys), INVENTORY)
    assert told.startswith("table inet chamaleonet_lab_3 {")
    lines = [line for line in told.splitlines() if "daddr" in line]
    forward, here = lines[: len(lines) // 2], lines[len(lines) // 2 :]
    assert forward == here
    return forward


def test_each_ip_version_has_a_rule():
    assert rules(action="drop", to="www") == [
        "ip daddr { 192.0.2.1/32 } drop",
        "ip6 daddr { 2001:db8::1/128 } drop",
    ]


def test_what_is_of_one_version_has_one():
    [rule] = rules(action="reject", to=("198.51.100.0/24", "203.0.113.7"), service="udp/53")
    where, how = "198.51.100.0/24, 203.0.113.7/32", "reject with icmpx type admin-prohibited"
    assert rule == f"ip daddr {{ {where} }} udp dport 53 {how}"


def test_only_tcp_is_reset():
    for service, words in ((None, "meta l4proto tcp"), ("tcp/22", "tcp dport 22")):
        [rule] = rules(action="reset", to="192.0.2.1", service=service)
        assert rule == f"ip daddr {{ 192.0.2.1/32 }} {words} reject with tcp reset"


def test_icmp_has_no_port():
    [rule] = rules(action="drop", to="192.0.2.1", service="icmp")
    assert rule == "ip daddr { 192.0.2.1/32 } meta l4proto icmp drop"


def test_what_begins_ends():
    assert faults.end(3) == "delete table inet chamaleonet_lab_3\n"
