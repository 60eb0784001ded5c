"""Addresses as text, in the engine, against Python's ipaddress."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import ibis
import pytest

from chamaleonet.analysis.addresses import aggregate, cidr, longest_match, within

ADDRESSES = [
    "0.0.0.1", "9.255.255.255", "10.0.0.0", "10.255.255.255", "11.0.0.0", "100.64.0.1",
    "172.31.255.255", "172.32.0.0", "255.255.255.254",
    "::1", "1::", "2001:db8::1", "2001:db8:1::", "2001:db8:0:1::1", "2001:db8:1:2:3:4:5:6",
    "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::", "fbff:ffff::1", "fd00::", "fe80::a:b",
    "::2:3:4:5:6:7", "1:0:0:4:5:6:7:8", "64:ff9b:1::a00:1",
]  # fmt: skip
NETWORKS = [
    "0.0.0.0/0", "10.0.0.0/8", "172.16.0.0/12", "10.0.0.0/32", "100.64.0.0/10",
    "::/0", "fc00::/7", "2001:db8::/32", "2001:db8::1/128", "2001:db8::/47",
]  # fmt: skip


def _evaluate(function):
    table = ibis.memtable({"address": ADDRESSES})
    rows = ibis.duckdb.connect().to_pyarrow(table.mutate(result=function(table.address)))
    return dict(zip(rows["address"].to_pylist(), rows["result"].to_pylist(), strict=True))


@pytest.mark.parametrize("text", NETWORKS)
def test_within_a_network(text):
    net = ip_network(text)
    assert _evaluate(lambda address: within(address, [net])) == {
        address: ip_address(address) in net for address in ADDRESSES
    }


def test_within_any_of_several():
    nets = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]
    found = _evaluate(lambda address: within(address, nets))
    assert {address for address, inside in found.items() if inside} == {
        "10.0.0.0", "10.255.255.255", "fd00::",
    }  # fmt: skip


def test_within_none():
    assert not any(_evaluate(lambda address: within(address, [])).values())


def test_aggregates():
    assert {a: cidr(key) for a, key in _evaluate(aggregate).items()} == {
        a: str(ip_network(f"{a}/{48 if ':' in a else 24}", strict=False)) for a in ADDRESSES
    }


def test_no_address_lies_nowhere():
    table = ibis.memtable({"address": [None]}, schema={"address": "string"})
    found = table.filter(within(table.address, [ip_network("::/0"), ip_network("0.0.0.0/0")]))
    assert ibis.duckdb.connect().execute(found.count()) == 0


def test_the_longest_match():
    nets = [ip_network(text) for text in NETWORKS if text != "10.0.0.0/32"]
    table = ibis.memtable({"address": [*ADDRESSES, None]})
    rows = ibis.duckdb.connect().to_pyarrow(longest_match(table, nets)).to_pylist()
    assert {row["address"]: row["network"] for row in rows} == {
        address: str(
            max(
                (net for net in nets if ip_address(address) in net),
                key=lambda net: net.prefixlen,
            )
        )
        for address in ADDRESSES
    }


def test_addresses_that_match_nothing_are_left_out():
    table = ibis.memtable({"address": ADDRESSES})
    backend = ibis.duckdb.connect()
    for nets in ([], [ip_network("10.0.0.0/32")]):
        rows = backend.to_pyarrow(longest_match(table, nets)).to_pylist()
        assert [row["address"] for row in rows] == ["10.0.0.0"] * len(nets)
