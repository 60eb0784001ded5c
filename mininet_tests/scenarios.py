"""One flow for each way that a flow can go, and what must come of it.

Each scenario has addresses of its own, so that packets tell whose they are, and frames between
two MAC addresses that no host has: the hosts' own stacks take no part.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    IPv6,
)
from scapy.layers.l2 import Dot1Q, Ether

if TYPE_CHECKING:
    from scapy.packet import Packet

CLIENT_MAC, SERVER_MAC = "02:00:00:00:0c:01", "02:00:00:00:0c:02"
SECRET = b"planted payload " * 60


@dataclass(frozen=True)
class Ends:
    """A client and a server that one scenario alone uses."""

    version: int
    number: int
    vlan: int = 0

    @property
    def client(self) -> str:
        return f"10.77.{self.number}.1" if self.version == 4 else f"fd00:77::{self.number:x}:1"

    @property
    def server(self) -> str:
        return f"192.0.2.{self.number}" if self.version == 4 else f"2001:db8:77::{self.number:x}:2"

    @property
    def addresses(self) -> set[bytes]:
        family = socket.AF_INET if self.version == 4 else socket.AF_INET6
        return {socket.inet_pton(family, self.client), socket.inet_pton(family, self.server)}

    def frame(self, source: str, content: Packet) -> bytes:
        target = self.server if source == self.client else self.client
        there = source == self.client
        ether = Ether(
            src=CLIENT_MAC if there else SERVER_MAC, dst=SERVER_MAC if there else CLIENT_MAC
        )
        if self.vlan:
            ether /= Dot1Q(vlan=self.vlan)
        network = IP if self.version == 4 else IPv6
        return bytes(ether / network(src=source, dst=target) / content)


Step = tuple[str, bytes]  # "client" or "server", frame; or "wait", nothing


@dataclass(frozen=True)
class Scenario:
    """What is sent, and what is to be seen.

    Attributes:
        name: what happens.
        ends: between whom.
        first: sent at once.
        late: sent after the timeout.
        verdicts: those that the stream tells of, in order.
        rule: whether there is a redirect rule at the end.
        again: a packet of the client, sent at the end; with ``rule`` it reaches the logger.
        errors: ICMP errors that reach the logger in any case.
        healthy: whether the switch must keep all but two of its packets to itself.
    """

    name: str
    ends: Ends
    first: tuple[Step, ...]
    verdicts: tuple[str, ...]
    rule: bool
    again: bytes
    late: tuple[Step, ...] = ()
    errors: int = 0
    healthy: bool = False


def scenarios() -> list[Scenario]:
    """Return all scenarios, for IPv4 and IPv6, untagged and tagged."""
    number = iter(range(1, 250))
    return [
        scenario
        for version in (4, 6)
        for vlan in (0, 10)
        for scenario in _scenarios(version, vlan, number)
    ]


def _scenarios(version: int, vlan: int, number) -> list[Scenario]:
    found: list[Scenario] = []

    def ends() -> Ends:
        return Ends(version, next(number), vlan)

    def add(name: str, at: Ends, first, again, verdicts=(), **more) -> None:
        found.append(
            Scenario(
                f"{name}, IPv{version}{', tagged' if at.vlan else ''}", at, tuple(first),
                tuple(verdicts), more.pop("rule", bool(verdicts)), again, **more,
            )
        )  # fmt: skip

    def c(at: Ends, content: Packet) -> Step:
        return "client", at.frame(at.client, content)

    def s(at: Ends, content: Packet) -> Step:
        return "server", at.frame(at.server, content)

    def tcp(flags: str, seq: int, ack: int = 0, *, reply: bool = False) -> TCP:
        ports = {"sport": 80, "dport": 40000} if reply else {"sport": 40000, "dport": 80}
        return TCP(flags=flags, seq=seq, ack=ack, **ports)

    query = UDP(sport=40000, dport=53) / SECRET
    answer = UDP(sport=53, dport=40000) / SECRET
    echo = (lambda n: ICMP(type=8, id=7, seq=n)) if version == 4 else (
        lambda n: ICMPv6EchoRequest(id=7, seq=n)
    )  # fmt: skip
    echoed = (lambda n: ICMP(type=0, id=7, seq=n)) if version == 4 else (
        lambda n: ICMPv6EchoReply(id=7, seq=n)
    )  # fmt: skip

    def unreachable(at: Ends, content: Packet) -> Step:
        quoted = Ether(at.frame(at.client, content)).getlayer(IP if version == 4 else IPv6)
        error = ICMP(type=3, code=3) if version == 4 else ICMPv6DestUnreach(code=4)
        return s(at, error / quoted)

    at = ends()
    data = tcp("PA", 101, 501) / SECRET
    add("answered tcp", at, [
        c(at, tcp("S", 100)), s(at, tcp("SA", 500, 101, reply=True)), c(at, tcp("A", 101, 501)),
        *[c(at, data), s(at, tcp("A", 501, 101 + len(SECRET), reply=True))] * 5,
    ], c(at, data)[1], healthy=True)  # fmt: skip
    at = ends()
    add("answered udp", at, [c(at, query), *[s(at, answer), c(at, query)] * 5], c(at, query)[1],
        healthy=True)  # fmt: skip
    at = ends()
    # A switch without connection tracking cannot tell pings apart: all of them are candidates.
    add("answered ping", at, [
        step for n in range(5) for step in (c(at, echo(n)), s(at, echoed(n)))
    ], c(at, echo(9))[1], healthy=True)  # fmt: skip
    at = ends()
    add("unanswered tcp", at, [c(at, tcp("S", 100))] * 3, c(at, tcp("S", 100))[1], ["unanswered"])
    at = ends()
    add("unanswered udp", at, [c(at, query)], c(at, query)[1], ["unanswered"])
    at = ends()
    add("unanswered ping", at, [c(at, echo(1))], c(at, echo(2))[1], ["unanswered"])
    # A scanner's: the tracker calls queries of another code than 0 invalid.
    odd, odd_reply = echo(1), echoed(1)
    odd.code = odd_reply.code = 9
    at = ends()
    add("answered ping of code 9", at, [c(at, odd), s(at, odd_reply)], c(at, odd)[1])
    at = ends()
    add("unanswered ping of code 9", at, [c(at, odd)], c(at, odd)[1], ["unanswered"])
    at = ends()
    add("NULL probe", at, [c(at, tcp("", 100))], c(at, tcp("", 100))[1], ["unanswered"])
    at = ends()
    add("unreachable udp", at, [c(at, query), unreachable(at, query)], c(at, query)[1],
        ["icmp_error"], errors=1)  # fmt: skip
    at = ends()
    add("late unreachable tcp", at, [c(at, tcp("S", 100))], c(at, tcp("S", 100))[1],
        ["unanswered", "icmp_error"], late=(unreachable(at, tcp("S", 100)),), errors=1)  # fmt: skip
    at = ends()
    add("refused tcp", at, [c(at, tcp("S", 100)), s(at, tcp("RA", 0, 101, reply=True))],
        c(at, tcp("A", 101))[1], ["refused"])  # fmt: skip
    at = ends()
    add("recovered udp", at, [c(at, query)], c(at, query)[1], ["unanswered", "recovered"],
        late=(s(at, answer),), rule=False)  # fmt: skip
    at = ends()
    add("unsolicited tcp", at, [s(at, tcp("SA", 500, 101, reply=True))],
        s(at, tcp("SA", 500, 101, reply=True))[1], ["unsolicited"])  # fmt: skip
    at = ends()
    add("midstream tcp", at, [c(at, tcp("A", 100, 500)), s(at, tcp("A", 500, 100, reply=True))],
        c(at, tcp("A", 100, 500))[1], healthy=True)  # fmt: skip
    at = ends()
    # The port is used again after a reset: the second flow of the same key fails.
    add("reused port", at, [
        c(at, tcp("S", 100)), s(at, tcp("SA", 500, 101, reply=True)), c(at, tcp("A", 101, 501)),
        s(at, tcp("R", 501, reply=True)), c(at, tcp("S", 700000)),
    ], c(at, tcp("S", 700000))[1], ["unanswered"])  # fmt: skip
    return found
