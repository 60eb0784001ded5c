"""A slow, plain judge of the contract, written from docs/verdicts.md and not from the engine.

It keeps every flow as an object in a dictionary and looks at all of them at every packet, so there
is nothing to get wrong but the contract itself. Tests compare the engine with it.
"""

from __future__ import annotations

import ipaddress
import struct
from collections import Counter
from dataclasses import dataclass, field

INTERNAL = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
VERDICTS = (
    "answered", "recovered", "refused", "icmp_error",
    "unanswered", "pending", "midstream", "unsolicited",
)  # fmt: skip
FIN, SYN, RST, ACK = 1, 2, 4, 16
TCP, UDP, SCTP, DCCP, UDPLITE = 6, 17, 132, 33, 136
QUERIES = {4: {8: "echo", 13: "time", 15: "info", 17: "mask"}, 6: {128: "echo"}}
REPLIES = {4: {0: "echo", 14: "time", 16: "info", 18: "mask"}, 6: {129: "echo"}}


class Seen(Exception):  # noqa: N818 - it is an answer, not an error
    """The packet is counted under this name and goes no further; its headers end at ``cut``."""

    def __init__(self, name, cut=None):
        super().__init__(name)
        self.cut = cut


@dataclass
class Packet:
    """What the headers of a flow packet say."""

    key: tuple
    source: tuple
    target: tuple
    cut: int
    flags: int = 0
    query: bool = False
    reply: bool = False
    tcp: bool = False
    vlan: int = 0


@dataclass
class Error:
    """What an ICMP error says: the quoted packet is None where it is tied to no flow."""

    type: int
    code: int
    sender: object
    quoted: Packet | None
    cut: int


@dataclass
class Flow:
    """A flow, its name taken from section 4."""

    client: tuple
    server: tuple
    key: tuple
    first: int
    last: int
    state: str
    first_packet: tuple
    first_is_reply: bool
    vlan: int = 0
    closing: bool = False
    delivered: bool = False
    attempts: int = 0
    packets: list = field(default_factory=lambda: [0, 0])
    octets: list = field(default_factory=lambda: [0, 0])
    reply_delay: int | None = None
    error: tuple | None = None
    judged: int | None = None


def link_layer(link, data):
    """Return (IP version or None, offset of the network header, outermost VLAN)."""
    vlan = 0
    if link in (101, 12, 14):
        version = data[0] >> 4 if data else 0
        return (version if version in (4, 6) else None), 0, 0
    if link in (228, 229):
        return (4 if link == 228 else 6), 0, 0
    if link in (0, 108):
        if len(data) < 4:
            return None, 0, 0
        family = {2: 4, 10: 6, 24: 6, 28: 6, 30: 6}
        little, big = struct.unpack("<I", data[:4])[0], struct.unpack(">I", data[:4])[0]
        return family.get(little, family.get(big)), 4, 0
    at = {1: 12, 113: 14, 276: 0}[link]
    after = {1: 14, 113: 16, 276: 20}[link]
    if len(data) < after:
        return None, 0, 0
    kind = struct.unpack_from(">H", data, at)[0]
    while kind in (0x8100, 0x88A8):
        if len(data) < after + 4:
            return None, 0, 0
        tag, kind = struct.unpack_from(">HH", data, after)
        vlan = vlan or tag & 0xFFF
        after += 4
    return {0x0800: 4, 0x86DD: 6}.get(kind), after, vlan


def network_layer(version, data, at, quoted=False):
    """Return (protocol, source, target, offset of the next header, end of the packet)."""
    room = len(data) - at
    if version == 4:
        if room < 20 or data[at] >> 4 != 4 or (data[at] & 15) < 5:
            raise Seen("malformed")
        header = (data[at] & 15) * 4
        total = struct.unpack_from(">H", data, at + 2)[0]
        if header > room or (0 < total < header and not quoted):
            raise Seen("malformed")
        if struct.unpack_from(">H", data, at + 6)[0] & 0x1FFF:
            raise Seen("fragments", at + header)
        source = ipaddress.IPv4Address(data[at + 12 : at + 16])
        target = ipaddress.IPv4Address(data[at + 16 : at + 20])
        end = min(room, total) if total and not quoted else room
        return data[at + 9], source, target, at + header, at + end
    if room < 40 or data[at] >> 4 != 6:
        raise Seen("malformed")
    length = struct.unpack_from(">H", data, at + 4)[0]
    end = at + (min(room, 40 + length) if length and not quoted else room)
    source = ipaddress.IPv6Address(data[at + 8 : at + 24])
    target = ipaddress.IPv6Address(data[at + 24 : at + 40])
    following, at = data[at + 6], at + 40
    while following in (0, 43, 44, 51, 60):
        if end - at < 8:
            raise Seen("malformed")
        size = {44: 8, 51: (data[at + 1] + 2) * 4}.get(following, (data[at + 1] + 1) * 8)
        if end - at < size:
            raise Seen("malformed")
        if following == 44 and struct.unpack_from(">H", data, at + 2)[0] & 0xFFF8:
            raise Seen("fragments", at + 8)
        following, at = data[at], at + size
    return following, source, target, at, end


def transport(version, protocol, source, target, data, at, end, quoted=False):
    """Return the Packet or, for ICMP errors, its type and code."""
    room = end - at
    if protocol in (TCP, UDP, SCTP, DCCP, UDPLITE):
        if room < (14 if protocol == TCP and not quoted else 4):
            raise Seen("malformed")
        sport, dport = struct.unpack_from(">HH", data, at)
        ends = ((source, sport), (target, dport))
        key = (version, protocol, None, *sorted(ends))
        if protocol == TCP:
            offset = max(20, (data[at + 12] >> 4) * 4) if room > 12 else 20
            flags = data[at + 13] if room > 13 else 0
            return Packet(key, *ends, at + min(room, offset), flags=flags, tcp=True)
        size = {UDP: 8, UDPLITE: 8, SCTP: 12}.get(protocol)
        if size is None:
            size = max(12, data[at + 4] * 4) if room > 4 else 12
        return Packet(key, *ends, at + min(room, size))
    if protocol == (1 if version == 4 else 58):
        if room < 2:
            raise Seen("malformed")
        kind = QUERIES[version].get(data[at]) or REPLIES[version].get(data[at])
        if kind is None:
            return data[at], data[at + 1]
        if room < 6:
            raise Seen("malformed")
        identifier = struct.unpack_from(">H", data, at + 4)[0]
        ends = ((source, 0), (target, 0))
        key = (version, protocol, (kind, identifier), *sorted(ends))
        query = data[at] in QUERIES[version]
        return Packet(key, *ends, at + min(room, 8), query=query, reply=not query)
    ends = ((source, 0), (target, 0))
    return Packet((version, protocol, None, *sorted(ends)), *ends, at)


def quote(version, data, at, end, outer_target):
    """Return (the quoted packet or None, where the quoted headers end)."""
    cut = at
    try:
        protocol, source, target, after, _ = network_layer(version, data[:end], at, quoted=True)
        cut = after
        packet = transport(version, protocol, source, target, data, after, end, quoted=True)
    except Seen as why:
        return None, why.cut or cut
    if not isinstance(packet, Packet):
        return None, cut
    return (packet if source == outer_target else None), packet.cut


class Judge:
    """Judges packets one by one; `summary()` is section 6."""

    def __init__(self, internal=INTERNAL, timeout=3 * 10**9, idle=180 * 10**9, capture=None):
        self.internal = [ipaddress.ip_network(prefix) for prefix in internal]
        self.broadcast = {ipaddress.IPv4Address("255.255.255.255")} | {
            prefix.broadcast_address
            for prefix in self.internal
            if prefix.version == 4 and prefix.prefixlen < 31
        }
        self.timeout, self.idle = timeout, idle
        self.capture = ("unanswered", "icmp_error") if capture is None else capture
        self.now = 0
        self.flows: dict[tuple, Flow] = {}
        self.ended: list[Flow] = []
        self.counts: Counter = Counter()
        self.captured: list[tuple] = []  # (role, time, length)
        self.judgements: list[tuple] = []  # (time, from, to)

    def packet(self, link, data, wire_length, time):
        """Judge one packet."""
        self.now = max(self.now, time)
        self.expire(self.now)
        self.counts["packets"] += 1
        self.counts["bytes"] += wire_length
        try:
            seen = self.decode(link, data)
        except Seen as answer:
            self.counts[str(answer)] += 1
            return
        if isinstance(seen, Error):
            self.counts["icmp_errors"] += 1
            self.captured.append(("error", time, seen.cut))
            self.icmp_error(seen)
        else:
            self.counts["flow_packets"] += 1
            self.flow_packet(seen, wire_length, time)

    def decode(self, link, data):
        """Return a Packet or an Error, in the order of section 1."""
        version, at, vlan = link_layer(link, data)
        if version is None:
            raise Seen("non_ip")
        protocol, source, target, after, end = network_layer(version, data, at)
        for address in (source, target):
            if address.is_multicast or address.is_unspecified or address in self.broadcast:
                raise Seen("excluded")
        packet = transport(version, protocol, source, target, data, after, end)
        if isinstance(packet, Packet):
            packet.vlan = vlan
            return packet
        type_, code = packet
        if version == 4:
            if type_ in (4, 5) or (type_, code) == (3, 4):
                raise Seen("icmp_info")
            error = type_ in (3, 11, 12)
        else:
            if type_ == 2:
                raise Seen("icmp_info")
            error = type_ in (1, 3, 4)
        if not error:
            raise Seen("excluded")
        quoted, cut = quote(version, data, min(after + 8, end), end, target)
        return Error(type_, code, source, quoted, cut)

    def expire(self, now):
        """Deadlines and idle flows."""
        for flow in self.flows.values():
            if flow.state == "pending" and flow.first + self.timeout <= now:
                self.judge(flow, "unanswered", flow.first + self.timeout)
        for key, flow in list(self.flows.items()):
            if flow.last + self.idle <= now:
                self.ended.append(self.flows.pop(key))

    def judge(self, flow, state, time):
        """Enter a state; deliver the first packet with the first erroneous verdict."""
        self.judgements.append((time, flow.state, state))
        flow.state = state
        flow.judged = time
        if state in self.capture and not flow.delivered:
            flow.delivered = True
            self.captured.append(("first", *flow.first_packet))

    def flow_packet(self, packet, wire_length, time):
        """Sections 3 and 4 for a packet of a flow."""
        flow = self.flows.get(packet.key)
        syn_only = packet.tcp and packet.flags & (SYN | ACK) == SYN
        reusable = ("answered", "recovered", "refused", "midstream")
        if flow and syn_only and flow.closing and flow.state in reusable:
            self.ended.append(self.flows.pop(packet.key))
            flow = None
        if flow is None:
            self.open(packet, wire_length, time)
            return
        flow.last = self.now
        flow.closing |= packet.tcp and bool(packet.flags & (FIN | RST))
        if packet.source == packet.target:
            from_server = packet.query if flow.first_is_reply else packet.reply
        else:
            from_server = packet.source == flow.server
        flow.packets[from_server] += 1
        flow.octets[from_server] += wire_length
        if from_server:
            self.from_server(flow, packet, syn_only)
        else:
            flow.attempts += self.is_request(packet)
            if flow.state in self.capture:
                self.captured.append(("later", time, packet.cut))

    def open(self, packet, wire_length, time):
        """Section 3."""
        if packet.reply or (packet.tcp and packet.flags & (SYN | ACK | RST) == SYN | ACK):
            state = "unsolicited"
        elif self.is_request(packet):
            state = "pending"
        else:
            state = "midstream"
        flow = Flow(
            packet.source, packet.target, packet.key, self.now, self.now, state,
            (time, min(packet.cut, 128)), packet.reply, packet.vlan,
        )  # fmt: skip
        flow.packets[0], flow.octets[0] = 1, wire_length
        flow.attempts = int(self.is_request(packet))
        flow.closing = packet.tcp and bool(packet.flags & (FIN | RST))
        self.flows[packet.key] = flow
        if state == "unsolicited":
            flow.state = "none"
            self.judge(flow, state, self.now)

    @staticmethod
    def is_request(packet):
        """A packet that asks for an answer."""
        if packet.tcp:
            return packet.flags & (SYN | ACK | RST) == SYN or not packet.flags & (SYN | ACK | RST)
        return not packet.reply

    def from_server(self, flow, packet, syn_only):
        """Server to client, in section 4."""
        state = flow.state
        if state == "unsolicited":
            syn = syn_only and not packet.flags & RST
            if (syn or packet.query) and self.now - flow.first < self.timeout:
                flow.client, flow.server = flow.server, flow.client
                flow.packets.reverse()
                flow.octets.reverse()
                flow.attempts += 1
                flow.first_is_reply = False
                self.judge(flow, "answered", self.now)
        elif packet.tcp and packet.flags & RST:
            if state in ("pending", "unanswered"):
                self.judge(flow, "refused", self.now)
        elif not packet.query:
            becomes = {"pending": "answered", "unanswered": "recovered"}
            becomes |= {"icmp_error": "recovered", "refused": "recovered"}
            if state in becomes:
                flow.reply_delay = self.now - flow.first
                self.judge(flow, becomes[state], self.now)

    def icmp_error(self, error):
        """An ICMP error, in section 4."""
        flow = self.flows.get(error.quoted.key) if error.quoted else None
        if flow is None:
            self.counts["orphans"] += 1
            return
        quoted = error.quoted
        if quoted.source == quoted.target:
            to_server = quoted.reply if flow.first_is_reply else not quoted.reply
        else:
            to_server = quoted.source == flow.client
        if to_server and flow.state in ("pending", "unanswered"):
            flow.error = (error.type, error.code, error.sender)
            self.judge(flow, "icmp_error", self.now)

    def direction(self, flow):
        """Where a flow runs."""
        client, server = (
            any(end[0] in prefix for prefix in self.internal) for end in (flow.client, flow.server)
        )
        return {(1, 0): "outbound", (0, 1): "inbound", (1, 1): "internal", (0, 0): "transit"}[
            client, server
        ]

    def all_flows(self):
        """Every flow that was ever opened."""
        return self.ended + list(self.flows.values())

    def summary(self):
        """Section 6."""
        names = ("packets", "bytes", "non_ip", "malformed", "fragments", "excluded")
        names += ("icmp_errors", "icmp_info", "orphans", "flow_packets")
        directions = {
            name: dict.fromkeys(VERDICTS, 0)
            for name in ("outbound", "inbound", "internal", "transit")
        }
        for flow in self.all_flows():
            directions[self.direction(flow)][flow.state] += 1
        verdicts = {name: sum(d[name] for d in directions.values()) for name in VERDICTS}
        return {
            **{name: self.counts[name] for name in names},
            "flows": sum(verdicts.values()),
            "verdicts": verdicts,
            "directions": directions,
            "captured_packets": len(self.captured),
        }
