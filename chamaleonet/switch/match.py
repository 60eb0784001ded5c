"""Flows as matches: which packets of a flow a switch can tell from others.

OpenFlow 1.3 matches the ports of TCP, UDP and SCTP. Of an ICMP query it matches the type but not
the identifier, of DCCP and UDP-Lite only the protocol: there a match covers all such flows
between two hosts, and whoever receives the packets has to look again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from chamaleonet.flows.records import FLOW, MARK_CLIENT_HIGH, Query
from chamaleonet.flows.transitions import State
from chamaleonet.switch.rules import ICMP, IPV4, IPV6, PORTS, Match

if TYPE_CHECKING:
    import numpy as np

# (version, query kind) -> (type of the query, type of its reply)
_ICMP_TYPES = {
    (4, Query.ECHO): (8, 0),
    (4, Query.TIMESTAMP): (13, 14),
    (4, Query.INFORMATION): (15, 16),
    (4, Query.ADDRESS_MASK): (17, 18),
    (6, Query.ECHO): (128, 129),
}
# Their key is protocol and ports, but OpenFlow 1.3 cannot match the ports.
_PORTS_UNMATCHED = (33, 136)

_UNSOLICITED = int(State.UNSOLICITED)
# What FlowKey reads of a FLOW; one call for all is several times faster than one for each.
assert FLOW.names is not None
assert FLOW.names[:8] == (
    "low_hi", "low_lo", "high_hi", "high_lo", "ports", "kind", "state", "marks",
)  # fmt: skip


class FlowKey(NamedTuple):
    """A flow's key, read from its record.

    Attributes:
        version: 4 or 6.
        protocol: IP protocol number.
        query: kind of ICMP query.
        client: the client's address as an integer.
        client_port: its port, or an ICMP query's identifier, or 0.
        server: the server's address as an integer.
        server_port: its port, or 0.
        opened_by_reply: whether the client's packets are replies that nobody asked for.
    """

    version: int
    protocol: int
    query: Query
    client: int
    client_port: int
    server: int
    server_port: int
    opened_by_reply: bool

    @classmethod
    def of(cls, flow: np.void) -> FlowKey:
        """Read the key of a FLOW record."""
        low_hi, low_lo, high_hi, high_lo, ports, kind, state, marks = flow.item()[:8]
        query = Query(kind >> 4 & 15)
        low = low_hi << 64 | low_lo, ports & 0xFFFF if query else ports >> 16
        high = high_hi << 64 | high_lo, 0 if query else ports & 0xFFFF
        client, server = (high, low) if marks & MARK_CLIENT_HIGH else (low, high)
        opened_by_reply = state == _UNSOLICITED
        return cls(kind & 15, kind >> 8, query, *client, *server, opened_by_reply)

    @property
    def is_exact(self) -> bool:
        """Whether a match covers this flow alone."""
        return not self.query and self.protocol not in _PORTS_UNMATCHED

    @property
    def matchable(self) -> FlowKey:
        """The key without what no match can tell: equal for flows that share a match."""
        if self.protocol in PORTS:
            return self
        return self._replace(client_port=0, server_port=0)

    @property
    def service(self) -> tuple[str, int] | None:
        """The part of the client's match that names the service: a port, or an ICMP type."""
        if self.query:
            return self._icmp_type(self.opened_by_reply)
        if self.protocol in PORTS:
            return PORTS[self.protocol][1], self.server_port
        return None

    def client_to_server(self) -> Match:
        """Return the match of the client's packets."""
        return self._match(
            self.client, self.client_port, self.server, self.server_port, self.opened_by_reply
        )

    def server_to_client(self) -> Match:
        """Return the match of the server's packets."""
        return self._match(
            self.server, self.server_port, self.client, self.client_port, not self.opened_by_reply
        )

    def to_service(self, address: int, port: int) -> Match:
        """Return the match of all packets to one port of one address."""
        destination = PORTS[self.protocol][1]
        return *self._family(), self._address("dst", address), (destination, port)

    def from_service(self, address: int, port: int) -> Match:
        """Return the match of all packets from one port of one address."""
        source = PORTS[self.protocol][0]
        return *self._family(), self._address("src", address), (source, port)

    def _family(self) -> Match:
        return ("eth_type", IPV4 if self.version == 4 else IPV6), ("ip_proto", self.protocol)

    def _address(self, end: str, address: int) -> tuple[str, int]:
        return f"ipv{self.version}_{end}", address

    def _match(
        self, source: int, source_port: int, target: int, target_port: int, reply: bool
    ) -> Match:
        match: Match = (
            *self._family(),
            self._address("src", source),
            self._address("dst", target),
        )
        if self.query:
            return *match, self._icmp_type(reply)
        if self.protocol in PORTS:
            source_field, target_field = PORTS[self.protocol]
            return *match, (source_field, source_port), (target_field, target_port)
        return match

    def _icmp_type(self, reply: bool) -> tuple[str, int]:
        field = "icmpv4_type" if self.protocol == ICMP else "icmpv6_type"
        return field, _ICMP_TYPES[self.version, self.query][reply]
