"""Durations, sizes and networks as people write them."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chamaleonet.units import (
    directed_broadcasts,
    duration,
    duration_text,
    network,
    size,
    size_text,
)


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [("3s", 3 * 10**9), ("500ms", 5 * 10**8), ("2m", 12 * 10**10), ("0.5 s", 5 * 10**8),
     ("1h", 36 * 10**11), ("7us", 7000), ("9ns", 9), ("90d", 90 * 864 * 10**11)],
)  # fmt: skip
def test_durations(text, nanoseconds):
    assert duration(text) == nanoseconds


@given(st.integers(1, 1 << 60))
def test_a_duration_is_written_as_it_is_read(nanoseconds):
    text = duration_text(nanoseconds)
    assert abs(duration(text) - nanoseconds) <= nanoseconds >> 52  # it is read as a float


@pytest.mark.parametrize(
    "text", ["", "3", "s", "-3s", "3 weeks", "0s", "0.1ns", "9999999999h", "x3s"]
)
def test_what_is_no_duration(text):
    with pytest.raises(ValueError, match=r"duration|longer"):
        duration(text)


@pytest.mark.parametrize(
    ("text", "octets"),
    [("512B", 512), ("64MiB", 64 << 20), ("1.5 GiB", 3 << 29), ("2TiB", 2 << 40), ("1KiB", 1024)],
)
def test_sizes(text, octets):
    assert size(text) == octets


@given(st.integers(1, 1 << 50))
def test_a_size_is_written_as_it_is_read(octets):
    assert size(size_text(octets)) == octets


@pytest.mark.parametrize("text", ["", "64", "64MB", "-1KiB", "0B", "0.1B", "9999999999TiB"])
def test_what_is_no_size(text):
    with pytest.raises(ValueError, match="size"):
        size(text)


def test_networks():
    assert network("10.0.0.0/8") == ip_network("10.0.0.0/8")
    for text in ("10.0.0.1/8", "10.0.0.0/33", "campus", "fe80::/129"):
        with pytest.raises(ValueError, match=text):
            network(text)


def test_directed_broadcasts_are_those_of_prefixes_that_have_one():
    prefixes = map(ip_network, ("10.0.0.0/8", "192.0.2.0/31", "192.0.2.4/32", "fc00::/7"))
    assert list(directed_broadcasts(prefixes)) == [ip_address("10.255.255.255")]
