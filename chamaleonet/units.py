"""Durations, sizes, networks and names as people write them."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

Network = IPv4Network | IPv6Network

# The networks that are private by definition (RFC 1918, RFC 4193).
PRIVATE = tuple(map(ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")))

# Syslog facilities by number (RFC 5424, section 6.2.1, table 1), with the names that syslog(3) and
# its daemons use.
FACILITIES = (
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv",
    "ftp", "ntp", "audit", "alert", "clock",
    *(f"local{number}" for number in range(8)),
)  # fmt: skip

_UNITS = {
    "ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9,
    "m": 60 * 10**9, "h": 3600 * 10**9, "d": 86400 * 10**9,
}  # fmt: skip
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ns|us|ms|s|m|h|d)")
_SIZES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(B|KiB|MiB|GiB|TiB)")


def duration(text: object) -> int:
    """Return a duration such as ``3s``, ``500ms`` or ``2m`` in nanoseconds.

    Raises:
        ValueError: it is none, or is zero.
    """
    match = _DURATION.fullmatch(str(text).strip())
    if match is None:
        raise ValueError(f"{text!r} is not a duration: write it as 3s, 500ms or 2m")
    nanoseconds = round(float(match[1]) * _UNITS[match[2]])
    if nanoseconds <= 0:
        raise ValueError("a duration must be longer than zero")
    if nanoseconds >= 1 << 61:
        raise ValueError(f"{text!r} is longer than any network lives")
    return nanoseconds


def duration_text(nanoseconds: int) -> str:
    """Return nanoseconds as a duration, in the largest unit that keeps them whole."""
    for unit in ("d", "h", "m", "s", "ms", "us"):
        if nanoseconds % _UNITS[unit] == 0 and (unit != "m" or nanoseconds >= 600 * 10**9):
            return f"{nanoseconds // _UNITS[unit]}{unit}"
    return f"{nanoseconds}ns"


def size(text: object) -> int:
    """Return a size such as ``64MiB`` or ``1GiB`` in bytes.

    Raises:
        ValueError: it is none, or is zero.
    """
    match = _SIZE.fullmatch(str(text).strip())
    if match is None:
        raise ValueError(f"{text!r} is not a size: write it as 512KiB, 64MiB or 1GiB")
    octets = round(float(match[1]) * _SIZES[match[2]])
    if not 0 < octets < 1 << 61:
        raise ValueError(f"{text!r}: no disk has this size")
    return octets


def size_text(octets: int) -> str:
    """Return bytes as a size, in the largest unit that keeps them whole."""
    unit = next(unit for unit in reversed(_SIZES) if octets % _SIZES[unit] == 0)
    return f"{octets // _SIZES[unit]}{unit}"


def network(text: object) -> Network:
    """Return a network in CIDR notation, such as ``10.0.0.0/8`` or ``2001:db8::/32``.

    Raises:
        ValueError: it is none, or has host bits set.
    """
    try:
        return ip_network(str(text))
    except ValueError as error:
        raise ValueError(f"{text!r} is not a network in CIDR notation: {error}") from None


def directed_broadcasts(networks: Iterable[Network]) -> set[IPv4Address]:
    """Return the networks' own broadcast addresses; a /31 or /32 has none (RFC 3021)."""
    return {
        each.broadcast_address
        for each in networks
        if isinstance(each, IPv4Network) and each.prefixlen < 31
    }
