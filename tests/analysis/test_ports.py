"""The map of ports is consistent."""

from __future__ import annotations

from collections import Counter

from chamaleonet.analysis.ports import CATEGORIES, OTHER, category


def test_the_eleven_categories_of_the_paper():
    assert sorted(CATEGORIES) == [
        "backup", "bulk", "email", "interactive", "misc", "name", "net-file", "net-mgnt",
        "streaming", "web", "windows",
    ]  # fmt: skip


def test_no_port_is_in_two_categories():
    counted = Counter(
        (protocol, port)
        for by_protocol in CATEGORIES.values()
        for protocol, ports in by_protocol.items()
        for port in ports
    )
    assert [key for key, count in counted.items() if count > 1] == []
    assert all(0 < port < 65536 for _, port in counted)


def test_category():
    assert category("tcp", 443) == category("udp", 443) == "web"
    assert (category("tcp", 514), category("udp", 514)) == ("interactive", "net-mgnt")
    assert category("tcp", 12345) == category("icmp", None) == category("sctp", 80) == OTHER
