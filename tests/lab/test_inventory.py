from ipaddress import ip_network

import pytest

from chamaleonet.errors import UserError
from chamaleonet.lab.inventory import End, Host, Inventory

INVENTORY = Inventory(
    [
        Host.of(
            "staff",
            ["10.0.0.1/24", "2001:db8::1/64", "10.0.0.2/24", "2001:db8::2/64", "10.0.0.3/24"],
            inside=True,
        ),
        Host.of("www", ["192.0.2.1/24"], inside=False),
    ]
)


def test_a_host_alone_is_its_main_address():
    assert INVENTORY.ends("staff") == [End("staff", {4: "10.0.0.1", 6: "2001:db8::1"})]


def test_a_range_is_inclusive_and_a_version_may_run_out():
    assert INVENTORY.ends("staff:1-2") == [
        End("staff", {4: "10.0.0.2", 6: "2001:db8::2"}),
        End("staff", {4: "10.0.0.3"}),
    ]


def test_an_address_is_of_the_host_that_has_it():
    assert INVENTORY.ends("2001:DB8:0::2") == [End("staff", {6: "2001:db8::2"})]
    assert INVENTORY.ends("203.0.113.9") == [End(None, {4: "203.0.113.9"})]


@pytest.mark.parametrize(
    ("selector", "said"),
    [
        ("nobody", r"neither an address nor a host of the topology \(staff, www\)"),
        ("staff:3", "staff has addresses 0 to 2"),
        ("staff:2-1", "staff has addresses 0 to 2"),
        ("staff:a", "neither an address nor a host"),
        ("", "neither an address nor a host"),
    ],
)
def test_what_names_nothing_is_told(selector, said):
    with pytest.raises(UserError, match=said):
        INVENTORY.ends(selector)


def test_networks():
    assert INVENTORY.networks("192.0.2.0/24") == [ip_network("192.0.2.0/24")]
    assert INVENTORY.networks("staff:0") == [
        ip_network("10.0.0.1/32"), ip_network("2001:db8::1/128"),
    ]  # fmt: skip
    with pytest.raises(UserError, match="has host bits set"):
        INVENTORY.networks("192.0.2.1/24")
