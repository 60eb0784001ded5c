"""What both pipelines share: the way of a packet through four tables.

    scope ──► redirect ──► filter ──► forward
      └───────────────────────────────▲

*scope* chooses what is watched; everything else goes straight to *forward*. *redirect* copies the
packets of erroneous flows to the logger. *filter* is where the two pipelines differ: it copies
candidates (first packets, first replies) to the flow engine. Every rule that copies a packet also
sends it on, so forwarding never waits for the controller.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from chamaleonet.switch.meters import meter_rules
from chamaleonet.switch.rules import (
    ICMP,
    ICMP6,
    IPV4,
    IPV6,
    VLAN_PRESENT,
    Action,
    Controller,
    Cookie,
    Match,
    Normal,
    Output,
    Resubmit,
    Rule,
)
from chamaleonet.units import directed_broadcasts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy as np

    from chamaleonet.config import Switch
    from chamaleonet.flows.transitions import State
    from chamaleonet.switch.aggregate import Aggregate, Prefix
    from chamaleonet.switch.match import FlowKey
    from chamaleonet.units import Network

FAMILIES = (IPV4, IPV6)

# ICMP errors and what looks like them, the contract's sections 1 and 4.
_ERRORS: tuple[Match, ...] = (
    *((("eth_type", IPV4), ("ip_proto", ICMP), ("icmpv4_type", kind)) for kind in (3, 11, 12)),
    *((("eth_type", IPV6), ("ip_proto", ICMP6), ("icmpv6_type", kind)) for kind in (1, 3, 4)),
)
_FRAGMENTATION_NEEDED: Match = (
    ("eth_type", IPV4), ("ip_proto", ICMP), ("icmpv4_type", 3), ("icmpv4_code", 4),
)  # fmt: skip

# No single host could answer these: multicast, broadcast, neighbour discovery.
_EXCLUDED: tuple[Match, ...] = (
    (("eth_type", IPV4), ("ipv4_dst", (0xE0000000, 0xF0000000))),
    (("eth_type", IPV4), ("ipv4_dst", 0xFFFFFFFF)),
    (("eth_type", IPV6), ("ipv6_dst", (0xFF << 120, 0xFF << 120))),
    *((("eth_type", IPV6), ("ip_proto", ICMP6), ("icmpv6_type", kind)) for kind in range(133, 138)),
)


class Change(NamedTuple):
    """A rule to add or to delete.

    Attributes:
        rule: the rule.
        add: whether it is to be added.
        due: when the verdict behind it was due (ns since 1970), or 0.
    """

    rule: Rule
    add: bool = True
    due: int = 0


class Pipeline(Protocol):
    """How candidates are sorted out in the switch, and what healthy flows leave there."""

    @property
    def judged(self) -> tuple[State, ...]:
        """The states that concern it when a flow enters them."""

    @property
    def passes_closings(self) -> bool:
        """Whether packets with FIN or RST of answered flows are candidates."""

    def static_rules(self) -> Iterable[Rule]:
        """Return the rules that are always there."""

    def on_judged(self, event: np.void) -> Iterable[Change]:
        """Take a FLOW_EVENT of a flow that entered one of the ``judged`` states."""

    def on_removed(self, cookie: Cookie) -> tuple[Iterable[Change], Flow | None]:
        """Take the removal of one of the pipeline's rules; name the flow to forget, if any."""

    def aggregates(self, key: FlowKey, inside: Prefix | None) -> tuple[Aggregate, ...]:
        """Return what can stand for a flow's own redirect rule, the narrowest first.

        Args:
            key: the flow's key.
            inside: the internal prefix that its server is in, if it is in one.
        """

    def aggregate_rule(self, aggregate: Aggregate) -> Rule:
        """Return the rule that copies to the logger what an aggregate matches.

        It must not match what a single redirect rule of a flow outside of the aggregate does, nor
        ICMP errors: they would be copied twice.
        """


class Flow(NamedTuple):
    """A flow of the engine by name: its row, and its first packet's time against reuse."""

    row: int
    first: int


class Frame:
    """The tables around the filter, for one switch.

    Args:
        switch: its part of the configuration.
        internal: the prefixes that are inside.
    """

    def __init__(self, switch: Switch, internal: Iterable[Network] = ()) -> None:
        self.switch = switch
        self.tables = switch.tables
        self._internal = tuple(internal)
        cut = switch.snaplen if switch.truncates else 0
        self.logger: Action = Output(switch.logger_port, cut)
        port = switch.candidates.port
        self.candidate: Action = Controller(switch.snaplen)
        if port is not None:
            self.candidate = Output(port, switch.snaplen)
        elif switch.meters_by == "action":
            self.candidate = Resubmit(switch.tables.meters)

    def static_rules(self) -> Iterator[Rule]:
        """Yield the rules of scope, redirect, forward and meters, and of ICMP errors in filter."""
        tables = self.tables
        forward = tables.forward
        for port in (self.switch.logger_port, self.switch.candidates.port):
            if port is not None:  # what this machine says by itself there is no traffic
                yield Rule(tables.scope, 40, (("in_port", port),))
        for match in self._scope():
            yield Rule(tables.scope, 20, match, goto=tables.redirect)
        for match in self._excluded():
            yield Rule(tables.scope, 30, match, goto=forward)
        yield Rule(tables.scope, 0, goto=forward)
        yield Rule(tables.redirect, 0, goto=tables.filter)
        yield Rule(tables.filter, 210, _FRAGMENTATION_NEEDED, goto=forward)
        for match in _ERRORS:
            yield Rule(tables.filter, 200, match, (self.candidate, self.logger), forward)
        yield from meter_rules(self.switch, self._internal)
        if self.switch.forward == "normal":
            yield Rule(forward, 0, actions=(Normal(),))
        elif self.switch.forward == "none":
            yield Rule(forward, 0)

    def _scope(self) -> Iterator[Match]:
        for port in self.switch.scope.ports or (None,):
            for vlan in self.switch.scope.vlans or (None,):
                for family in FAMILIES:
                    yield (
                        *((("in_port", port),) if port is not None else ()),
                        ("eth_type", family),
                        *((("vlan_vid", VLAN_PRESENT | vlan),) if vlan is not None else ()),
                    )

    def _excluded(self) -> Iterator[Match]:
        yield from _EXCLUDED
        for address in sorted(directed_broadcasts(self._internal)):
            yield ("eth_type", IPV4), ("ipv4_dst", int(address))
