import pytest
from hypothesis import given
from hypothesis import strategies as st

from chamaleonet.switch.rules import (
    INV,
    IPV4,
    IPV6,
    SYN,
    TRK,
    Commit,
    Controller,
    Cookie,
    Kind,
    Normal,
    Output,
    Rule,
    Track,
    rule_text,
)

STATIC = "cookie=0xc4a1000000000000"


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (Rule(0, 0), f"{STATIC},table=0,priority=0 actions=drop"),
        (Rule(3, 0, actions=(Normal(),)), f"{STATIC},table=3,priority=0 actions=NORMAL"),
        (
            Rule(2, 0, actions=(Controller(128),), goto=3),
            f"{STATIC},table=2,priority=0 actions=CONTROLLER:128,goto_table:3",
        ),
        (
            Rule(2, 9, (("eth_type", IPV4),), (Track(7, 2),)),
            f"{STATIC},table=2,priority=9,ip actions=ct(table=2,zone=7)",
        ),
        (
            Rule(2, 9, (("eth_type", IPV6), ("ct_state", (TRK, TRK | INV))), (Commit(7, 1),), 3),
            (
                f"{STATIC},table=2,priority=9,ipv6,ct_state=-inv+trk"
                " actions=ct(commit,zone=7,exec(set_field:0x1->ct_mark)),goto_table:3"
            ),
        ),
        (
            Rule(2, 9, (("eth_type", IPV4), ("ip_proto", 6), ("tcp_flags", (SYN, SYN | 16)))),
            f"{STATIC},table=2,priority=9,tcp,tcp_flags=+syn-ack actions=drop",
        ),
        (
            Rule(0, 9, (("in_port", 1), ("eth_type", IPV4), ("vlan_vid", 0x1000 | 10))),
            f"{STATIC},table=0,priority=9,ip,in_port=1,dl_vlan=10 actions=drop",
        ),
        (
            Rule(0, 9, (("eth_type", IPV6), ("ipv6_dst", (0xFF << 120, 0xFF << 120)))),
            f"{STATIC},table=0,priority=9,ipv6,ipv6_dst=ff00::/ff00:: actions=drop",
        ),
        (
            Rule(
                1, 100, (("eth_type", IPV4), ("ip_proto", 47), ("ipv4_src", 0x0A000001)),
                (Output(4), Output(5, 96)), 2, Cookie(Kind.REDIRECT, 9), 60, True,
            ),
            (
                "cookie=0xc4a1010000000009,table=1,idle_timeout=60,send_flow_rem,priority=100,ip,"
                "nw_proto=47,nw_src=10.0.0.1"
                " actions=output:4,output(port=5,max_len=96),goto_table:2"
            ),
        ),
    ],
)  # fmt: skip
def test_rules_read_as_ovs_ofctl_writes_them(rule, text):
    assert rule_text(rule) == text


@given(st.sampled_from(Kind), st.integers(0, 2**32 - 1), st.integers(0, 15))
def test_a_cookie_is_known_again(kind, identity, generation):
    cookie = Cookie(kind, identity)
    assert Cookie.of(cookie.at(generation)) == cookie


@pytest.mark.parametrize("bits", [0, 0xC4A2 << 48, 0xC4A1 << 48 | 15 << 40, 0xC4A1])
def test_other_cookies_are_nobody_of_ours(bits):
    assert Cookie.of(bits) is None
