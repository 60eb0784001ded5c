"""Addresses at which nothing can be."""

from __future__ import annotations

import pytest

from chamaleonet.analysis.findings.bogons import bogon


@pytest.mark.parametrize(
    "address", ["127.0.0.53", "10.0.0.1", "192.168.1.1", "0.1.2.3", "255.1.2.3", "::1", "fec0::1",
                "fd00::1", "fe80::1"],
)  # fmt: skip
def test_bogons(address):
    assert bogon(address)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "192.0.2.53", "100.64.0.1", "2001:4860:4860::8888", "2001:db8::1"]
)
def test_others(address):
    assert bogon(address) is None
