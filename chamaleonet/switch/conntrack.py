"""The conntrack pipeline: Open vSwitch's connection tracking does the sorting, in the datapath.

A packet is looked up in our zone and comes back with its ct_state. Only three kinds of packets
are candidates: what belongs to a connection without a reply (``+new``: its first packet and the
repeats until it is answered), the first reply of each connection (``+est+rpl`` while ct_mark is
0), and what the tracker calls invalid but the contract judges. No rule is added for a healthy flow.

A redirect rule for many flows stands behind the tracker and matches only what belongs to no
answered connection: of TCP the packets that open one (without ACK and RST; probes that the tracker
calls invalid are among them), of all else what is ``+new``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chamaleonet.flows.records import Query
from chamaleonet.switch.aggregate import Aggregate, Prefix, wider
from chamaleonet.switch.pipeline import FAMILIES, Change, Flow, Frame
from chamaleonet.switch.rules import (
    ACK,
    EST,
    FIN,
    ICMP,
    ICMP6,
    INV,
    IPV4,
    IPV6,
    NEW,
    RPL,
    RST,
    SYN,
    TCP,
    TRK,
    Commit,
    Cookie,
    Match,
    Rule,
    Track,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy as np

    from chamaleonet.flows.transitions import State
    from chamaleonet.switch.match import FlowKey

# Priorities of aggregates.
_OPENING = 95  # of TCP: above what is judged though invalid
_NEW = 55

_REPLIED = 1  # ct_mark of a connection whose first reply was copied

# DCCP and UDP-Lite: to the tracker all flows between two hosts are one, so all their packets are
# candidates.
_TRACKED_WITHOUT_PORTS = (33, 136)

_LONE_SYN = (SYN, SYN | FIN | ACK | RST)
_INVALID = ("ct_state", (TRK | INV, TRK | INV))


def _judged_though_invalid() -> Iterator[Match]:
    """Yield what opens a flow by the contract's section 3, but no connection.

    A SYN+ACK without a SYN (mirror ports reorder), SYN+FIN and the probes with none of SYN, ACK
    and RST, replies to unseen ICMP queries, the address mask queries, which the tracker does not
    know, and ICMP queries and replies of another code than 0, of which it wants none (scanners
    send them). A lone SYN is invalid only where it is out of window in a live connection: that
    opens no flow.
    """
    for family in FAMILIES:
        tcp = (("eth_type", family), ("ip_proto", TCP), _INVALID)
        yield (*tcp, ("tcp_flags", (SYN | ACK, SYN | ACK | RST)))
        yield (*tcp, ("tcp_flags", (SYN | FIN, SYN | FIN | ACK | RST)))
        yield (*tcp, ("tcp_flags", (0, SYN | ACK | RST)))
    for kind in (0, 8, 13, 14, 15, 16, 17, 18):
        yield ("eth_type", IPV4), ("ip_proto", ICMP), _INVALID, ("icmpv4_type", kind)
    for kind in (128, 129):
        yield ("eth_type", IPV6), ("ip_proto", ICMP6), _INVALID, ("icmpv6_type", kind)


class ConntrackPipeline:
    """Sorts by connection tracking; see ``chamaleonet.switch.pipeline.Pipeline``."""

    judged: tuple[State, ...] = ()
    passes_closings = False  # a reused port comes as a new connection instead

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._zone = frame.switch.conntrack.zone

    def static_rules(self) -> Iterator[Rule]:
        """Yield all rules of this pipeline."""
        yield from self._frame.static_rules()
        table, forward = self._frame.tables.filter, self._frame.tables.forward
        copy, zone = self._frame.candidate, self._zone
        for match in _judged_though_invalid():
            yield Rule(table, 90, match, (copy,), forward)
        for family in FAMILIES:
            ip = ("eth_type", family)

            def state(bits: int, mask: int, ip: tuple[str, int] = ip) -> Match:
                return ip, ("ct_state", (bits, mask))

            for protocol in _TRACKED_WITHOUT_PORTS:
                yield Rule(table, 110, (ip, ("ip_proto", protocol)), (copy,), forward)
            yield Rule(table, 100, state(0, TRK), (Track(zone, table),))
            # Copied first: a commit takes ct_state away, by which the way of the copy is chosen.
            yield Rule(table, 80, state(TRK | INV, TRK | INV), goto=forward)
            first_reply = (*state(TRK | EST | RPL, TRK | EST | RPL), ("ct_mark", 0))
            yield Rule(table, 70, first_reply, (copy, Commit(zone, _REPLIED)), forward)
            yield Rule(table, 60, state(TRK | EST, TRK | EST), goto=forward)
            new = "ct_state", (TRK | NEW, TRK | NEW)
            yield Rule(table, 50, (ip, new), (copy, Commit(zone)), forward)
            # What aggregates must leave alone: an invalid SYN, and TCP at those of all the rest.
            tcp = (ip, ("ip_proto", TCP))
            yield Rule(table, 96, (*tcp, _INVALID, ("tcp_flags", _LONE_SYN)), goto=forward)
            yield Rule(table, 57, (*tcp, new), (copy, Commit(zone)), forward)

    def on_judged(self, event: np.void) -> Iterable[Change]:  # noqa: ARG002
        """Do nothing: the tracker has seen the reply itself."""
        return ()

    def on_removed(self, cookie: Cookie) -> tuple[Iterable[Change], Flow | None]:  # noqa: ARG002
        """Do nothing: no rule of this pipeline expires."""
        return (), None

    def aggregates(self, key: FlowKey, inside: Prefix | None) -> tuple[Aggregate, ...]:
        """Return the aggregates of a flow whose packets the tracker can tell from answered ones."""
        if (
            key.opened_by_reply
            or key.query is Query.ADDRESS_MASK
            or key.protocol in _TRACKED_WITHOUT_PORTS
        ):
            return ()
        return wider(key, inside, of_one_protocol=key.protocol == TCP)

    def aggregate_rule(self, aggregate: Aggregate) -> Rule:
        """Return the rule of an aggregate: what no connection answers goes to the logger too."""
        match = aggregate.match
        if aggregate.protocol == TCP:
            priority = _OPENING
            match += ("ct_state", (TRK, TRK | EST)), ("tcp_flags", (0, ACK | RST))
        else:
            priority = _NEW
            match += (("ct_state", (TRK | NEW, TRK | NEW)),)
        actions = self._frame.logger, Commit(self._zone), self._frame.candidate
        return Rule(self._frame.tables.filter, priority, match, actions, self._frame.tables.forward)
