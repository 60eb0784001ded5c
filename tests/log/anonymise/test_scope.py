"""Which addresses are replaced."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chamaleonet.kernels import kernel
from chamaleonet.log.anonymise.scope import EVERYTHING, in_scope, make_scope


@kernel
def _in_scope(scope, versions, words):
    return 1 if in_scope(scope, versions[0], words[0], words[1]) else 0


def replaced(scope, address):
    address = ip_address(address)
    words = np.array([int(address) >> 64, int(address) & (1 << 64) - 1], np.uint64)
    return bool(_in_scope(scope, np.array([address.version], np.uint8), words))


def networks(*texts):
    return tuple(map(ip_network, texts))


INTERNAL = make_scope(networks("10.0.0.0/8", "2001:db8::/32"), networks("10.1.2.0/24"))
ALL = make_scope(EVERYTHING, networks("192.0.2.0/24", "2001:db8:1::/48"))


@pytest.mark.parametrize(
    ("address", "internal", "everything"),
    [
        ("10.0.0.0", True, True),
        ("10.255.255.255", True, True),
        ("9.255.255.255", False, True),
        ("11.0.0.0", False, True),
        ("10.1.1.255", True, True),
        ("10.1.2.0", False, True),  # kept, if only what is internal is replaced
        ("10.1.2.255", False, True),
        ("10.1.3.0", True, True),
        ("192.0.2.1", False, False),
        ("255.255.255.254", False, True),
        ("2001:db8::", True, True),
        ("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", True, True),
        ("2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", False, True),
        ("2001:db9::", False, True),
        ("2001:db8:1::9", True, False),
        # link-local: of the own links
        ("169.254.1.1", True, True),
        ("fe80::211:22ff:fe33:4455", True, True),
        ("fec0::1", False, True),
        # nobody's
        ("0.0.0.0", False, False),
        ("127.0.0.1", False, False),
        ("224.0.0.1", False, False),
        ("239.255.255.255", False, False),
        ("240.0.0.1", False, True),
        ("255.255.255.255", False, False),
        ("::", False, False),
        ("::1", False, False),
        ("::2", False, True),
        ("ff02::1", False, False),
        ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", False, False),
        # groups made of a unicast address
        ("ff02::1:ff00:1234", True, True),
        ("ff02::1:fe00:1234", False, False),
        ("ff3e:40:2001:db8::1", True, True),
        ("ff7e:140:2001:db8::1", True, True),
        # IPv6 made of IPv4
        ("::ffff:10.0.0.1", True, True),
        ("::ffff:10.1.2.1", False, True),
        ("::ffff:192.0.2.1", False, False),
        ("64:ff9b::a00:1", True, True),
        ("64:ff9b::b00:1", False, True),
        ("64:ff9b::c000:201", False, False),
        ("2002:a00:1::1", True, True),
        ("2002:a01:201::1", False, True),
        ("2002:b00:1::1", False, True),
    ],
)
def test_who_is_in(address, internal, everything):
    assert (replaced(INTERNAL, address), replaced(ALL, address)) == (internal, everything)


def test_link_local_addresses_can_be_kept():
    scope = make_scope((), networks("fe80::/10", "169.254.0.0/16"))
    assert not replaced(scope, "fe80::1")
    assert not replaced(scope, "169.254.0.1")


# There is no special address in these.
_ORDINARY = networks("9.0.0.0/8", "2a00::/12")
_NETWORKS = st.lists(
    st.sampled_from(_ORDINARY).flatmap(
        lambda within: st.builds(
            lambda offset, length: type(within)((int(within[0]) + offset, length), strict=False),
            st.integers(0, within.num_addresses - 1),
            st.integers(within.prefixlen, within.max_prefixlen),
        )
    ),
    max_size=4,
)


@given(_NETWORKS, _NETWORKS)
def test_agrees_with_the_definition_around_every_edge(wanted, kept):
    scope = make_scope(wanted, kept)
    for network in [*wanted, *kept, *_ORDINARY]:
        for address in (network[0] - 1, network[0], network[-1], network[-1] + 1):
            expected = any(address in each for each in wanted) and not any(
                address in each for each in kept
            )
            assert replaced(scope, address) == expected
