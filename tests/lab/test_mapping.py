"""Which host's address stands for which address of a capture."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chamaleonet.errors import UserError
from chamaleonet.lab.inventory import Host, Inventory
from chamaleonet.lab.mapping import Choice, Mapping, choice
from chamaleonet.units import PRIVATE

INVENTORY = Inventory(
    [
        Host.of("staff", ["10.20.10.10/24", "fd00:10::10/64", "10.20.10.11/24"], inside=True),
        Host.of("hpc", ["10.20.30.10/24", "fd00:30::10/64"], inside=True),
        Host.of("www", ["192.0.2.10/29", "2001:db8:f1::10/64"], inside=False),
        Host.of("outsider", ["203.0.113.10/30"], inside=False),
        Host.of("far", ["198.51.100.10/24"], inside=False),
    ]
)
NEAR = ("staff", "hpc", "www", "outsider")


def mapping(**changes):
    arguments = {"hosts": NEAR, "internal": PRIVATE} | changes
    return Mapping(INVENTORY, **arguments)


def packed(*addresses):
    return tuple(ip_address(each).packed for each in addresses)


def taken(made, *addresses):
    """Have a packet between addresses mapped; return what they get, or why they do not."""
    cause = made.take(packed(*addresses))
    return cause or tuple(str(ip_address(made.new[each])) for each in packed(*addresses))


def test_inside_goes_inside_and_outside_outside():
    made = mapping()
    for source, target in (("10.1.1.1", "8.8.8.8"), ("fc00::1", "2606:4700::1111")):
        client, server = taken(made, source, target)
        assert made.hosts[ip_address(client).packed] in ("staff", "hpc")
        assert made.hosts[ip_address(server).packed] in ("www", "outsider")
        assert taken(made, target, source) == (server, client)


@settings(deadline=None)
@given(
    st.lists(st.tuples(*[st.ip_addresses(v=4)] * 2) | st.tuples(*[st.ip_addresses(v=6)] * 2)),
    st.integers(0, 3),
)
def test_no_two_get_the_same(pairs, seed):
    made, again = mapping(seed=seed), mapping(seed=seed)
    for pair in pairs:
        assert taken(made, *pair) == taken(again, *pair)
    assert len(set(made.new.values())) == len(made.new)
    for before, after in made.new.items():
        assert len(before) == len(after)
        inside = any(ip_address(before) in prefix for prefix in PRIVATE)
        assert INVENTORY.hosts[made.hosts[after]].inside == inside
    added = [address for each in made.added.values() for address in each]
    assert len(set(added)) == len(added)


def test_hosts_own_addresses_come_first_and_then_others_of_their_subnets():
    made = mapping(hosts=["staff", "outsider"])
    own = [taken(made, f"10.1.1.{n}", "8.8.8.8")[0] for n in range(1, 5)]
    assert own == ["10.20.10.10", "10.20.10.11", "10.20.10.1", "10.20.10.2"]
    assert made.added == {"staff": ["10.20.10.1/24", "10.20.10.2/24"]}


def test_addresses_that_somebody_has_are_not_added():
    made = mapping(hosts=["staff", "outsider"], taken=["10.20.10.1", "10.20.10.2"])
    assert [taken(made, f"10.1.1.{n}", "8.8.8.8")[0] for n in range(1, 4)][-1] == "10.20.10.3"


def test_reserved_addresses_are_given_by_choices_only():
    made = mapping(
        hosts=["staff", "outsider"], reserved=["10.20.10.10"], choices=[choice("8.8.8.8=far")]
    )
    assert taken(made, "10.1.1.1", "8.8.8.8") == ("10.20.10.11", "198.51.100.10")
    assert taken(made, "10.1.1.2", "8.8.8.8")[0] == "10.20.10.1"


def test_what_finds_no_place_is_told():
    made = mapping(hosts=["staff", "outsider"])
    # 203.0.113.8/30 has two addresses.
    assert [len(taken(made, "10.1.1.1", f"8.8.8.{n}")) for n in (1, 2)] == [2, 2]
    assert taken(made, "10.1.1.1", "8.8.8.3") == "no_address"
    assert len(taken(made, "10.1.1.1", "8.8.8.2")) == 2
    assert taken(made, "fd00::1", "2001:db8::1") == "no_address"


def test_neighbours_stay_neighbours_but_not_if_they_speak():
    made = mapping()
    first = taken(made, "10.1.1.1", "8.8.8.1")[0]
    taken(made, "10.1.2.1", "8.8.8.1")
    second = taken(made, "10.1.1.2", "8.8.8.1")[0]
    hosts = [made.hosts[ip_address(each).packed] for each in (first, second)]
    assert hosts[0] == hosts[1]
    assert made.hosts[made.new[packed("10.1.2.1")[0]]] != hosts[0]
    one, other = taken(made, "10.1.9.1", "10.1.9.2")
    assert made.hosts[packed(one)[0]] != made.hosts[packed(other)[0]]


def test_what_a_host_says_to_itself_is_on_no_wire():
    made = mapping()
    assert taken(made, "10.1.1.1", "10.1.1.1") == "same_host"
    assert mapping(hosts=["staff"]).take(packed("10.1.1.1", "10.1.1.2")) == "same_host"


@pytest.mark.parametrize(
    ("addresses", "cause"),
    [
        (("169.254.1.1", "10.1.1.1"), "link_local"),
        (("fe80::1", "fe80::2"), "link_local"),
        (("8.8.8.8", "10.1.1.1", "10.1.1.1", "224.0.0.251"), "excluded"),
        (("8.8.8.8", "10.1.1.1", "10.1.1.1", "255.255.255.255"), "excluded"),
        (("2001:db8::1", "fd00::1", "fd00::1", "ff02::1"), "excluded"),
        (("2001:db8::1", "fd00::1", "::", "2001:db8::2"), "excluded"),
    ],
)
def test_what_is_no_hosts_address_is_left_out(addresses, cause):
    made = mapping()
    assert taken(made, *addresses) == cause
    assert not made.new


def test_quoted_addresses_are_mapped_too():
    made = mapping()
    before = taken(made, "10.1.1.1", "8.8.8.8")
    router, client, *quoted = taken(made, "9.9.9.9", "10.1.1.1", "10.1.1.1", "8.8.8.8")
    assert (client, *quoted) == (before[0], *before)
    assert router not in before


def test_choices_come_first_and_keep_their_addresses_to_themselves():
    made = mapping(
        choices=[choice("10.1.1.0/24=hpc"), choice("8.8.8.8=far"), choice("9.0.0.0/8=192.0.2.10")]
    )
    assert taken(made, "10.1.1.7", "8.8.8.8") == ("10.20.30.10", "198.51.100.10")
    assert made.unused == {ip_network("9.0.0.0/8")}
    assert taken(made, "10.1.1.8", "8.8.8.8") == "no_address"  # hpc: its main address alone
    others = [taken(made, "10.2.2.2", f"7.7.{n}.7") for n in range(7)]
    assert all(len(each) == 2 for each in others)
    assert "192.0.2.10" not in {address for each in others for address in each}
    assert taken(made, "10.2.2.2", "9.9.9.9")[1] == "192.0.2.10"


@pytest.mark.parametrize("text", ["10.0.0.0/8", "10.0.0.1/8=staff", "staff=10.0.0.1", "=staff"])
def test_a_choice_must_be_one(text):
    with pytest.raises(ValueError, match="not CIDR=SELECTOR or ADDRESS=SELECTOR"):
        choice(text)


def test_a_choice_is_a_network_and_a_selector():
    assert choice("10.0.0.0/8=staff:0-1") == Choice(ip_network("10.0.0.0/8"), "staff:0-1")


@pytest.mark.parametrize(
    ("selector", "says"),
    [("198.18.0.1", "no host has this address"), ("nobody", "nobody: neither")],
)
def test_a_choice_needs_a_host(selector, says):
    with pytest.raises(UserError, match=says):
        mapping(choices=[Choice(ip_network("10.0.0.0/8"), selector)])
