import ipaddress

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from chamaleonet.kernels import kernel
from chamaleonet.log.text import (
    ADDRESS_BYTES,
    DECIMAL_BYTES,
    write_address,
    write_bytes,
    write_decimal,
)


@kernel
def _bytes(source, start, length, out, at):
    return write_bytes(source, start, length, out, at)


@kernel
def _decimal(value, out, at):
    return write_decimal(value, out, at)


@kernel
def _address(version, high, low, out, at):
    return write_address(version, high, low, out, at)


def _text(function, room, *arguments):
    out = np.full(room + 8, ord("#"), np.uint8)
    end = function(*arguments, out, 4)
    assert bytes(out[:4]) == b"####", "wrote before its place"
    assert set(bytes(out[end:])) == {ord("#")}, "wrote after its end"
    return bytes(out[4:end]).decode()


def _address_text(address):
    number = int(address)
    return _text(
        _address, ADDRESS_BYTES, address.version,
        np.uint64(number >> 64), np.uint64(number & (2**64 - 1)),
    )  # fmt: skip


@given(st.text(st.characters(max_codepoint=126), max_size=90), st.data())
def test_a_part_of_a_text_is_written(text, data):
    start = data.draw(st.integers(0, len(text)))
    length = data.draw(st.integers(0, len(text) - start))
    source = np.frombuffer(bytearray(text.encode()), np.uint8)
    assert _text(_bytes, 90, source, start, length) == text[start : start + length]


@given(st.integers(0, 2**64 - 1) | st.sampled_from([10**n for n in range(20)]))
def test_a_number_is_written_in_decimal(number):
    assert _text(_decimal, DECIMAL_BYTES, np.uint64(number)) == str(number)


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_dotted(address):
    assert _address_text(address) == str(address)


# Few different groups, so that runs of zeros are common.
_groups = st.lists(st.sampled_from([0, 0, 0, 1, 0x20, 0x300, 0xABCD]), min_size=8, max_size=8)
_sparse = _groups.map(
    lambda groups: ipaddress.IPv6Address(b"".join(group.to_bytes(2, "big") for group in groups))
)


@given(_sparse | st.ip_addresses(v=6))
def test_an_ipv6_address_is_written_as_rfc_5952_says(address):
    text = _address_text(address)
    assert ipaddress.ip_address(text) == address
    if address.ipv4_mapped is None:  # these the standard library writes differently since 3.13
        assert text == str(address)


def test_both_zero_runs_as_long_the_first_is_shortened():
    assert _address_text(ipaddress.ip_address("2001:db8:0:0:1:0:0:1")) == "2001:db8::1:0:0:1"
    assert _address_text(ipaddress.ip_address("::")) == "::"
    assert _address_text(ipaddress.ip_address("1::")) == "1::"
    assert _address_text(ipaddress.ip_address("1:0:2:3:4:5:6:7")) == "1:0:2:3:4:5:6:7"
