"""How numbers and lists are said."""

from __future__ import annotations

import pytest

from chamaleonet.analysis.findings.words import count, duration, listing, who


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (1, "1 second"), (0.25, "0.25 seconds"), (90, "90 seconds"), (300, "5 minutes"),
        (299.7, "5 minutes"), (5400, "90 minutes"), (9000, "2.5 hours"), (86400 * 10, "10 days"),
    ],
)  # fmt: skip
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_count():
    assert [count(1, "host"), count(1234, "host"), count(2, "DNS query")] == [
        "1 host", "1,234 hosts", "2 DNS queries",
    ]  # fmt: skip


def test_listing():
    assert [listing("a"), listing("ab"), listing("abc"), listing("abcde")] == [
        "a", "a and b", "a, b and c", "a, b, c and 2 more",
    ]  # fmt: skip


def test_who():
    assert [who(["10.0.0.1"]), who(["10.0.0.1", "10.0.0.2"])] == ["10.0.0.1", "2 hosts"]
