import base64
import hashlib
import ipaddress
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chamaleonet.flows.records import Query
from chamaleonet.flows.transitions import State
from chamaleonet.kernels import kernel
from chamaleonet.log.community_id import COMMUNITY_ID_BYTES, SHA1_WORDS, write_community_id
from tests.log.build import flow


@kernel
def _write(flows, words, out):
    return write_community_id(flows[0], words, out, 0)


def community_id(record):
    out = np.zeros(COMMUNITY_ID_BYTES, np.uint8)
    # What was hashed before must not matter.
    words = np.full(SHA1_WORDS, 0xDEADBEEF, np.uint32)
    assert _write(record, words, out) == COMMUNITY_ID_BYTES
    return out.tobytes().decode()


# From the specification's baseline/baseline_deflt.json, those that can be a flow here.
@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (
            flow("tcp", "128.232.110.120", "66.35.250.204", 34855, 80),
            "1:LQU9qZlK+B5F3KDmev6m5PMibrg=",
        ),
        (flow("udp", "192.168.1.52", "8.8.8.8", 54585, 53), "1:d/FP5EW3wiY1vCndhwleRRKHowQ="),
        (flow("sctp", "192.168.170.8", "192.168.170.56", 7, 7), "1:MP2EtRCAUIZvTw6MxJHLV7N7JDs="),
        (flow(46, "10.1.12.1", "10.1.12.2"), "1:KHlLkgoJW7ifUTyTSgyVfkFHzKw="),
        (
            flow("icmp", "192.168.0.89", "192.168.0.1", 77, 77, query=Query.ECHO),
            "1:X0snYXpgwiv9TZtqg64sgzUn6Dk=",
        ),
        (
            flow(
                "tcp", "2001:470:e5bf:dead:4957:2174:e82c:4887", "2607:f8b0:400c:c03::1a",
                63943, 25,
            ),
            "1:/qFaeAR+gFe1KYjMzVDsMv+wgU4=",
        ),
        (
            flow(
                "icmpv6", "3ffe:507:0:1:200:86ff:fe05:80da", "3ffe:501:0:1001::2",
                9, 9, query=Query.ECHO,
            ),
            "1:+TW+HtLHvV1xnGhV1lv7XoJrqQg=",
        ),
    ],
)  # fmt: skip
def test_published_vectors(record, expected):
    assert community_id(record) == expected


def independent(protocol, source, target, ports):
    """The specification's pseudo code, for a packet from source to target."""
    one = (ipaddress.ip_address(source).packed, ports[0] if ports else 0)
    two = (ipaddress.ip_address(target).packed, ports[1] if ports else 0)
    one, two = min(one, two), max(one, two)
    message = struct.pack(">H", 0) + one[0] + two[0] + bytes([protocol, 0])
    if ports:
        message += struct.pack(">HH", one[1], two[1])
    return "1:" + base64.b64encode(hashlib.sha1(message).digest()).decode()


_addresses = st.sampled_from([4, 6]).flatmap(
    lambda version: (
        st.tuples(*[st.ip_addresses(v=version).map(str)] * 2)
        | st.ip_addresses(v=version).map(lambda address: (str(address), str(address)))
    )
)


@given(st.sampled_from([6, 17, 132, 33, 136, 47, 50]), _addresses, st.integers(0, 2**32 - 1))
def test_agrees_with_an_independent_implementation(protocol, ends, ports):
    ports = ports >> 16, ports & 0xFFFF
    has_ports = protocol in (6, 17, 132)  # UDP-Lite and DCCP are not in the specification
    expected = independent(protocol, *ends, ports if has_ports else None)
    assert community_id(flow(protocol, *ends, *ports)) == expected
    assert community_id(flow(protocol, *ends[::-1], *ports[::-1])) == expected


_QUERIES = {
    (1, Query.ECHO): (8, 0),
    (1, Query.TIMESTAMP): (13, 14),
    (1, Query.INFORMATION): (15, 16),
    (1, Query.ADDRESS_MASK): (17, 18),
    (58, Query.ECHO): (128, 129),
}


@given(st.sampled_from(list(_QUERIES)), _addresses, st.integers(0, 0xFFFF))
def test_icmp_queries_use_both_types_and_not_the_identifier(query, ends, identifier):
    types = _QUERIES[query]
    expected = independent(query[0], *ends, types)
    asked = flow(query[0], *ends, identifier, identifier, query=query[1])
    assert community_id(asked) == expected
    # The same exchange seen from its reply on: the client of that flow is the one that replies.
    replied = flow(
        query[0], *ends[::-1], identifier, identifier, query=query[1], state=State.UNSOLICITED
    )
    assert community_id(replied) == expected
