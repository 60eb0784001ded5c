"""Redirect rules as a scan of many addresses makes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chamaleonet.switch.rules import IPV4, Cookie, Kind, Match, Output, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

RULES = 5000


def redirects() -> Iterator[Rule]:
    for n in range(RULES):
        match: Match = (
            ("eth_type", IPV4), ("ip_proto", 6),
            ("ipv4_src", 0x0A000000 | n), ("ipv4_dst", 0xC0000201),
            ("tcp_src", 1024 + n), ("tcp_dst", 80),
        )  # fmt: skip
        cookie = Cookie(Kind.REDIRECT, n)
        yield Rule(1, 100, match, (Output(4, 128),), 2, cookie, idle_timeout=60, notify=True)
