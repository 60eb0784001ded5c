"""The map of addresses: Crypto-PAn behind a cache."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import numpy as np
import pytest

from chamaleonet.log.anonymise import addresses as module
from chamaleonet.log.anonymise.addresses import ADDRESS, AddressMap
from chamaleonet.log.anonymise.cryptopan import CryptoPan
from chamaleonet.log.anonymise.scope import EVERYTHING, make_scope
from tests.log.anonymise.anonymous import KEY, mapped


def records(*texts):
    """Return addresses as ADDRESS records; an empty text is none."""
    result = np.zeros(len(texts), ADDRESS)
    for record, text in zip(result, texts, strict=True):
        if text:
            address = ip_address(text)
            record["version"] = address.version
            record["hi"], record["lo"] = int(address) >> 64, int(address) & (1 << 64) - 1
    return result


def replaced(mapping, *texts):
    result = records(*texts)
    mapping.replace(result)
    return result.tolist()


def expected(*texts):
    return records(*texts).tolist()


def test_what_is_in_scope_is_mapped_and_all_else_stays():
    mapping = AddressMap(KEY, make_scope([ip_network("10.0.0.0/8"), ip_network("2001:db8::/32")]))
    texts = ("10.0.0.1", "192.0.2.1", "", "2001:db8::1", "2001:db9::1", "10.0.0.1")
    for _ in range(2):  # unknown, and then known
        assert replaced(mapping, *texts) == expected(
            mapped("10.0.0.1"), "192.0.2.1", "", mapped("2001:db8::1"), "2001:db9::1",
            mapped("10.0.0.1"),
        )  # fmt: skip


def test_an_ipv6_address_is_not_taken_for_the_ipv4_address_of_the_same_number():
    mapping = AddressMap(KEY, make_scope(EVERYTHING))
    for texts in (("1.2.3.4", "::102:304"), ("::102:305", "1.2.3.5")):
        assert replaced(mapping, *texts) == expected(*map(mapped, texts))


def test_no_addresses():
    assert replaced(AddressMap(KEY, make_scope(EVERYTHING))) == []


def everyone(number, start=1):
    """Return as many IPv4 addresses that follow each other."""
    addresses = np.zeros(number, ADDRESS)
    addresses["version"], addresses["lo"] = 4, np.arange(start, start + number)
    return addresses


def test_more_addresses_than_the_cache_holds(monkeypatch):
    monkeypatch.setattr(module, "_CAPACITY", 3000)
    monkeypatch.setattr(module, "_CHUNK", 1000)
    mapping = AddressMap(KEY, make_scope(EVERYTHING))
    right = CryptoPan(KEY).ipv4(np.arange(1, 20_001, dtype=np.uint64))
    for _ in range(2):
        addresses = everyone(20_000)
        mapping.replace(addresses)
        assert (addresses["lo"] == right).all()
        assert not addresses["hi"].any()


def test_addresses_that_share_a_slot(monkeypatch):
    mapping = AddressMap(KEY, make_scope(EVERYTHING))
    monkeypatch.setattr(mapping, "_keys", np.zeros(6, np.uint64))  # all of them do
    addresses = everyone(500)
    for _ in range(2):
        again = addresses.copy()
        mapping.replace(again)
        assert (again["lo"] == CryptoPan(KEY).ipv4(addresses["lo"])).all()


def test_nobody_else_knows_where_an_address_is_kept():
    one, two = (AddressMap(KEY, make_scope(EVERYTHING)) for _ in range(2))
    assert (one._keys != two._keys).all()


@pytest.mark.parametrize("length", [0, 31])
def test_the_key_must_have_its_length(length):
    with pytest.raises(ValueError, match="32 bytes"):
        AddressMap(bytes(length), make_scope(EVERYTHING))
