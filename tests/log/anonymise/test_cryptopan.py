"""Crypto-PAn against the vectors of its reference implementation and of others."""

from __future__ import annotations

import ipaddress

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given, settings
from hypothesis import strategies as st

from chamaleonet.log.anonymise.cryptopan import CryptoPan

# The key and, with duplicates removed, all of sample_trace_raw.dat and sample_trace_sanitized.dat
# in the distribution of the reference implementation; then vectors of its ports to Go, C# and Perl.
REFERENCE_KEY = bytes(
    [21, 34, 23, 141, 51, 164, 207, 128, 19, 10, 91, 22, 73, 144, 125, 16,
     216, 152, 143, 131, 121, 121, 101, 39, 98, 87, 76, 45, 42, 132, 34, 2]
)  # fmt: skip
REFERENCE = """
128.11.68.132 135.242.180.132    129.118.74.4 134.136.186.123     130.132.252.244 133.68.164.234
141.223.7.43 141.167.8.160       141.233.145.108 141.129.237.235  152.163.225.39 151.140.114.167
156.29.3.236 147.225.12.42       165.247.96.84 162.9.99.234       166.107.77.190 160.132.178.185
192.102.249.13 252.138.62.131    192.215.32.125 252.43.47.189     192.233.80.103 252.25.108.8
192.41.57.43 252.222.221.184     193.150.244.223 253.169.52.216   195.205.63.100 255.186.223.5
198.200.171.101 249.199.68.213   198.26.132.101 249.36.123.202    198.36.213.5 249.7.21.132
198.51.77.238 249.18.186.254     199.217.79.101 248.38.184.213    202.49.198.20 245.206.7.234
203.12.160.252 244.248.163.4     204.184.162.189 243.192.77.90    204.202.136.230 243.178.4.198
204.29.20.4 243.33.20.123        205.178.38.67 242.108.198.51     205.188.147.153 242.96.16.101
205.188.248.25 242.96.88.27      205.245.121.43 242.21.121.163    207.105.49.5 241.118.205.138
207.135.65.238 241.202.129.222   207.155.9.214 241.220.250.22     207.188.7.45 241.255.249.220
207.25.71.27 241.33.119.156      207.33.151.131 241.1.233.131     208.147.89.59 227.237.98.191
208.234.120.210 227.154.67.17    208.28.185.184 227.39.94.90      208.52.56.122 227.8.63.165
209.12.231.7 226.243.167.8       209.238.72.3 226.6.119.243       209.246.74.109 226.22.124.76
209.68.60.238 226.184.220.233    209.85.249.6 226.170.70.6        212.120.124.31 228.135.163.231
212.146.8.236 228.19.4.234       212.186.227.154 228.59.98.98     212.204.172.118 228.71.195.169
212.206.130.201 228.69.242.193   216.148.237.145 235.84.194.111   216.157.30.252 235.89.31.26
216.184.159.48 235.96.225.78     216.227.10.221 235.28.253.36     216.254.18.172 235.7.16.162
216.32.132.250 235.192.139.38    216.35.217.178 235.195.157.81    24.0.250.221 100.15.198.226
24.13.62.231 100.2.192.247       24.14.213.138 100.1.42.141       24.5.0.80 100.9.15.210
24.7.198.88 100.10.6.25          24.94.26.44 100.88.228.35        38.15.67.68 64.3.66.187
4.3.88.225 124.60.155.63         63.14.55.111 95.9.215.7          63.195.241.44 95.179.238.44
63.97.7.140 95.97.9.123          64.14.118.196 0.255.183.58       64.34.154.117 0.221.154.117
64.39.15.238 0.219.7.41          10.185.25.118 117.161.29.118

129.69.205.36 134.182.53.212     127.0.0.1 33.0.243.129           0.0.0.0 120.255.240.1
10.0.1.128 117.15.1.129          169.254.100.50 169.251.68.45     255.255.255.255 206.120.97.255
::1 78ff:f001:9fc0:20df:8380:b1f1:704:ed
::2 78ff:f001:9fc0:20df:8380:b1f1:704:ef
::ffff 78ff:f001:9fc0:20df:8380:b1f1:704:f838
2001:db8::1 4401:2bc:603f:d91d:27f:ff8e:e6f1:dc1e
2001:db8::2 4401:2bc:603f:d91d:27f:ff8e:e6f1:dc1c
"""
# libanon
LIBANON_KEY = bytes.fromhex("d1c056a983786a38ca76a05cda240c7b86d7713693544000a0e6c4dd5b3dabdd")
LIBANON = """
1.2.3.4 236.157.211.10           1.2.3.3 236.157.211.12           0.0.0.0 237.113.211.225
255.255.255.254 0.0.127.6        255.255.255.255 0.0.127.7        112.28.3.2 136.126.15.210
31d6:1be5:41bd:663c:3e9e:1005:1eec:6f01 cc29:fb1a:b9fd:613c:e68:a03b:1efd:961f
827:7f95:2fe6:531f:d63:7bdf:323f:3ef6 e527:7fea:c099:b4df:4e9d:73ac:2d3f:eb06
fffe:638:709:861::3 1:ce05:ee9:971:7f1f:1f8:ec7:c05b
ffff:638:709:861::1 0:e9f8:3928:f76e:3f:3fc6:135:ffa6
2001:638:709:861::1 d0f1:f603:8e9:98c:3f5f:1f9:ffcf:bf9f
2001:638:709:861::2 d0f1:f603:8e9:98c:3f5f:1f9:ffcf:bf9d
2001:638:709:4::1 d0f1:f603:8e9:6cb:803f:3e39:f134:3fbe
"""
# yacryptopan and IP::Anonymous
COUNTED_KEY = bytes(range(32))
COUNTED = """
192.0.2.1 2.90.93.17             0.0.0.0 254.152.65.220           10.0.1.128 246.35.190.47
165.254.100.50 90.1.157.13       148.88.132.153 106.38.130.153    148.88.133.200 106.38.131.223
2001:db8::1 dd92:2c44:3fc0:ff1e:7ff9:c7f0:8180:7e00
"""
VECTORS = [
    pytest.param(key, *pair, id=pair[0])
    for key, text in ((REFERENCE_KEY, REFERENCE), (LIBANON_KEY, LIBANON), (COUNTED_KEY, COUNTED))
    for pair in zip(text.split()[::2], text.split()[1::2], strict=True)
]


def batch(key, addresses):
    """Return what CryptoPan makes of addresses of one version, all at once."""
    numbers = [int(address) for address in addresses]
    if addresses[0].version == 4:
        mapped = CryptoPan(key).ipv4(np.array(numbers, np.uint64)).tolist()
        return list(map(ipaddress.IPv4Address, mapped))
    words = np.array([(number >> 64, number & (1 << 64) - 1) for number in numbers], np.uint64)
    mapped = CryptoPan(key).ipv6(words).tolist()
    return [ipaddress.IPv6Address(high << 64 | low) for high, low in mapped]


def slow(key, address):
    """The scheme of the paper, one AES block after the other."""
    encryptor = Cipher(algorithms.AES(key[:16]), modes.ECB()).encryptor()
    bits = address.max_prefixlen
    text = f"{int(address):0{bits}b}"
    padding = "".join(f"{octet:08b}" for octet in encryptor.update(key[16:]))
    result = ""
    for n in range(bits):
        block = int(text[:n] + padding[n:], 2).to_bytes(16, "big")
        flip = encryptor.update(block)[0] >> 7
        result += str(int(text[n]) ^ flip)
    return type(address)(int(result, 2))


@pytest.mark.parametrize(("key", "address", "expected"), VECTORS)
def test_published_vectors(key, address, expected):
    address = ipaddress.ip_address(address)
    expected = ipaddress.ip_address(expected)
    assert batch(key, [address]) == [expected]
    assert slow(key, address) == expected


@pytest.mark.parametrize("version", [4, 6])
def test_all_vectors_of_a_key_at_once(version):
    pairs = [
        (ipaddress.ip_address(address), ipaddress.ip_address(expected))
        for key, address, expected in (vector.values for vector in VECTORS)
        if key == REFERENCE_KEY
    ]
    pairs = [pair for pair in pairs if pair[0].version == version]
    assert batch(REFERENCE_KEY, [pair[0] for pair in pairs]) == [pair[1] for pair in pairs]


_several = st.sampled_from([4, 6]).flatmap(
    lambda version: st.lists(st.ip_addresses(v=version), min_size=1, max_size=5)
)


@settings(deadline=None)
@given(st.binary(min_size=32, max_size=32), _several)
def test_agrees_with_a_slow_implementation(key, addresses):
    assert batch(key, addresses) == [slow(key, address) for address in addresses]


def shared_bits(one, two):
    return one.max_prefixlen - (int(one) ^ int(two)).bit_length()


@st.composite
def _pairs(draw):
    one = draw(st.ip_addresses())
    flipped = draw(st.integers(0, (1 << draw(st.integers(0, one.max_prefixlen))) - 1))
    return one, type(one)(int(one) ^ flipped)


@given(st.binary(min_size=32, max_size=32), _pairs())
def test_exactly_as_many_leading_bits_are_shared(key, pair):
    assert shared_bits(*batch(key, pair)) == shared_bits(*pair)


@pytest.mark.parametrize("network", ["10.1.2.0/24", "2001:db8::7:0/120"])
def test_a_network_becomes_a_network(network):
    network = ipaddress.ip_network(network)
    mapped = batch(COUNTED_KEY, list(network))
    [onto] = {type(network)((int(address), network.prefixlen), strict=False) for address in mapped}
    assert set(mapped) == set(onto)


@pytest.mark.parametrize("version", [4, 6])
def test_batches_of_any_size_give_the_same(version):
    generator = np.random.default_rng(version)
    bits = 32 if version == 4 else 128
    kind = ipaddress.IPv4Address if version == 4 else ipaddress.IPv6Address
    addresses = [kind(int.from_bytes(generator.bytes(bits // 8))) for _ in range(600)]
    together = batch(COUNTED_KEY, addresses)
    assert together[:3] + together[-3:] == [
        slow(COUNTED_KEY, address) for address in addresses[:3] + addresses[-3:]
    ]
    assert [batch(COUNTED_KEY, [address])[0] for address in addresses] == together


def test_no_addresses():
    assert CryptoPan(COUNTED_KEY).ipv4(np.empty(0, np.uint64)).shape == (0,)
    assert CryptoPan(COUNTED_KEY).ipv6(np.empty((0, 2), np.uint64)).shape == (0, 2)


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_a_key_has_32_bytes(length):
    with pytest.raises(ValueError, match=f"32 bytes, not {length}"):
        CryptoPan(bytes(length))
