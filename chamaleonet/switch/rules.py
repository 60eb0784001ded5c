"""Rules as plain data: what a pipeline wants in a switch, before any byte of OpenFlow.

A match is a tuple of (field, value) in the order of their prerequisites; the names are those of
the OpenFlow 1.3 specification, table 11, and for Open vSwitch's own fields of ovs-fields(7). A
value is an integer, or (value, mask).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

Value = int | tuple[int, int]
Match = tuple[tuple[str, Value], ...]

IPV4 = 0x0800
IPV6 = 0x86DD
ICMP = 1
TCP = 6
UDP = 17
ICMP6 = 58
SCTP = 132

# Bits of ct_state, ovs-fields(7).
NEW, EST, REL, RPL, INV, TRK = (1 << bit for bit in range(6))
_CT_FLAGS = {NEW: "new", EST: "est", REL: "rel", RPL: "rpl", INV: "inv", TRK: "trk"}

# TCP flags, RFC 9293.
FIN, SYN, RST, PSH, ACK, URG = (1 << bit for bit in range(6))
_TCP_FLAGS = {FIN: "fin", SYN: "syn", RST: "rst", PSH: "psh", ACK: "ack", URG: "urg"}

VLAN_PRESENT = 0x1000  # OFPVID_PRESENT


@dataclass(frozen=True, slots=True)
class Output:
    """Send to a port, with ``max_len`` cut to so many bytes (an Open vSwitch extension)."""

    port: int
    max_len: int = 0

    def __str__(self) -> str:
        return f"output(port={self.port},max_len={self.max_len})" if self.max_len else (
            f"output:{self.port}"
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Controller:
    """Send to the controller, at most ``max_len`` bytes of it.

    With ``meter`` no more than that meter lets pass (an Open vSwitch extension); other actions on
    the packet, and its way, are not limited by it.
    """

    max_len: int
    meter: int = 0

    def __str__(self) -> str:
        if self.meter:
            return f"controller(max_len={self.max_len},meter_id={self.meter})"
        return f"CONTROLLER:{self.max_len}"


@dataclass(frozen=True, slots=True)
class Normal:
    """Switch as a learning switch does."""

    def __str__(self) -> str:
        return "NORMAL"


@dataclass(frozen=True, slots=True)
class Track:
    """Look the connection up in a zone, and go on in ``table`` with ct_state filled in."""

    zone: int
    table: int

    def __str__(self) -> str:
        return f"ct(table={self.table},zone={self.zone})"


@dataclass(frozen=True, slots=True)
class Commit:
    """Enter the connection into a zone, and give it ``mark`` if that is not 0."""

    zone: int
    mark: int = 0

    def __str__(self) -> str:
        load = f",exec(set_field:{self.mark:#x}->ct_mark)" if self.mark else ""
        return f"ct(commit,zone={self.zone}{load})"


@dataclass(frozen=True, slots=True)
class Resubmit:
    """Apply the actions of a table as well, then go on here (an Open vSwitch extension)."""

    table: int

    def __str__(self) -> str:
        return f"resubmit(,{self.table})"


Action = Output | Controller | Normal | Track | Commit | Resubmit


class Meter(NamedTuple):
    """A meter that drops what exceeds a rate.

    Attributes:
        number: its identity in the switch.
        rate: packets per second.
        burst: packets that may come at once.
    """

    number: int
    rate: int
    burst: int

    def __str__(self) -> str:
        name = "controller" if self.number == ALL_PACKET_INS else self.number
        return (
            f"meter={name},pktps,burst,stats,bands=type=drop,rate={self.rate},"
            f"burst_size={self.burst}"
        )


ALL_PACKET_INS = 0xFFFFFFFD  # OFPM_CONTROLLER


class Kind(IntEnum):
    """What a rule is for; part of its cookie."""

    STATIC = 0
    REDIRECT = 1
    BYPASS = 2


COOKIE_PREFIX = 0xC4A1 << 48
COOKIE_PREFIX_MASK = 0xFFFF << 48
GENERATIONS = 16


class Cookie(NamedTuple):
    """The 64 bits by which we know our own rules.

    ============  ====  ==========================================================
    bits 63-48    16    0xC4A1, in all our rules and in nobody else's
    bits 47-44     4    generation: rules of an earlier process have another one
    bits 43-40     4    kind
    bits 31-0     32    identity of the rule, 0 in static rules
    ============  ====  ==========================================================
    """

    kind: Kind
    identity: int = 0

    def at(self, generation: int) -> int:
        """Return the cookie's 64 bits in a generation."""
        return COOKIE_PREFIX | generation << 44 | self.kind << 40 | self.identity

    @classmethod
    def of(cls, bits: int) -> Cookie | None:
        """Return the cookie with these bits, or None where they are not ours."""
        if bits & COOKIE_PREFIX_MASK != COOKIE_PREFIX or bits >> 40 & 15 >= len(Kind):
            return None
        return cls(Kind(bits >> 40 & 15), bits & 0xFFFFFFFF)


class Rule(NamedTuple):
    """One flow entry.

    Rules and cookies are named tuples: thousands are made in a second, and a frozen dataclass
    takes five times as long.

    Attributes:
        table: number of its flow table.
        priority: of several rules that match, the highest wins.
        match: what it matches.
        actions: applied at once, in this order.
        goto: the table that the packet goes on to, or None.
        cookie: what it is for.
        idle_timeout: seconds without a packet until the switch removes it; 0: never.
        notify: whether the switch reports its removal.
    """

    table: int
    priority: int
    match: Match = ()
    actions: tuple[Action, ...] = ()
    goto: int | None = None
    cookie: Cookie = Cookie(Kind.STATIC)
    idle_timeout: int = 0
    notify: bool = False

    @property
    def place(self) -> tuple[int, int, Match]:
        """What makes it one and the same entry in a switch."""
        return self.table, self.priority, self.match

    def with_cookie(self, cookie: Cookie) -> Rule:
        """Return the same rule under another cookie."""
        return self._replace(cookie=cookie)


# A protocol's ports in a match, and their name in ovs-ofctl's short forms.
PORTS = {
    TCP: ("tcp_src", "tcp_dst"),
    UDP: ("udp_src", "udp_dst"),
    SCTP: ("sctp_src", "sctp_dst"),
}

_SHORT = {
    (IPV4, ICMP): "icmp", (IPV4, TCP): "tcp", (IPV4, UDP): "udp", (IPV4, SCTP): "sctp",
    (IPV6, ICMP6): "icmp6", (IPV6, TCP): "tcp6", (IPV6, UDP): "udp6", (IPV6, SCTP): "sctp6",
}  # fmt: skip
_NAMES = {
    "ipv4_src": "nw_src", "ipv4_dst": "nw_dst", "ip_proto": "nw_proto",
    "tcp_src": "tp_src", "tcp_dst": "tp_dst", "udp_src": "tp_src", "udp_dst": "tp_dst",
    "sctp_src": "tp_src", "sctp_dst": "tp_dst", "icmpv4_type": "icmp_type",
    "icmpv4_code": "icmp_code", "icmpv6_type": "icmp_type", "icmpv6_code": "icmp_code",
    "vlan_vid": "dl_vlan",
}  # fmt: skip


def _flags(names: dict[int, str], value: int, mask: int) -> str:
    return "".join(
        f"{'+' if value & bit else '-'}{name}" for bit, name in names.items() if mask & bit
    )


def _value_text(field: str, value: Value) -> str:
    number, mask = value if isinstance(value, tuple) else (value, None)
    if field == "ct_state":
        return _flags(_CT_FLAGS, number, 0xFF if mask is None else mask)
    if field == "tcp_flags":
        return _flags(_TCP_FLAGS, number, 0xFFF if mask is None else mask)
    if field == "vlan_vid":
        return str(number & 0xFFF)
    if field.startswith(("ipv4_", "ipv6_")):
        address = IPv4Address if field.startswith("ipv4_") else IPv6Address
        return str(address(number)) + (f"/{address(mask)}" if mask is not None else "")
    return hex(number) if field == "ct_mark" else str(number)


def _match_text(match: Match) -> list[str]:
    fields = dict(match)
    eth_type, ip_proto = fields.pop("eth_type", None), fields.pop("ip_proto", None)
    words = []
    short = _SHORT.get((eth_type, ip_proto))  # type: ignore[arg-type]
    if short:
        words.append(short)
    elif eth_type is not None:
        words.append("ip" if eth_type == IPV4 else "ipv6")
        if ip_proto is not None:
            words.append(f"nw_proto={ip_proto}")
    return words + [
        f"{_NAMES.get(field, field)}={_value_text(field, value)}" for field, value in fields.items()
    ]


def rule_text(rule: Rule, generation: int = 0) -> str:
    """Return a rule in the syntax of ovs-ofctl(8), as ``add-flow`` takes it."""
    words = [
        f"cookie={rule.cookie.at(generation):#x}",
        f"table={rule.table}",
        *([f"idle_timeout={rule.idle_timeout}"] if rule.idle_timeout else []),
        *(["send_flow_rem"] if rule.notify else []),
        f"priority={rule.priority}",
        *_match_text(rule.match),
    ]
    actions = [*map(str, rule.actions)]
    if rule.goto is not None:
        actions.append(f"goto_table:{rule.goto}")
    return f"{','.join(words)} actions={','.join(actions) or 'drop'}"
