import pytest

from tests.traffic import udp
from topologies.tunnel import is_multicast


@pytest.mark.parametrize(
    ("server", "is_for_many"),
    [
        ("192.0.2.1", False), ("224.0.0.22", True), ("239.255.255.250", True), ("240.0.0.1", False),
    ],
)  # fmt: skip
def test_groups_of_ipv4(server, is_for_many):
    assert is_multicast(udp("10.0.0.1", server)) == is_for_many


@pytest.mark.parametrize(
    ("server", "is_for_many"),
    [("2001:db8::1", False), ("fe80::1", False), ("ff02::16", True), ("ff05::2", True)],
)
def test_groups_of_ipv6(server, is_for_many):
    assert is_multicast(udp("2001:db8::2", server)) == is_for_many
