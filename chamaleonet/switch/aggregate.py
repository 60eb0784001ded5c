"""Which redirect rules can be one: the lattice of matches above a flow, as plain bookkeeping.

A flow that fails is matched by its own addresses and ports. Above that stand wider matches, which
it shares with other flows:

====  ==========================================  ===========================================
rank  by client                                   by server
====  ==========================================  ===========================================
0     (client, protocol, server port)             (server, protocol, server port)
1     (client)                                    (server)
2                                                 (internal prefix, protocol, server port)
====  ==========================================  ===========================================

An ICMP query's type stands for its port. The first column is a scanner or a client whose servers
are gone; the second a host that many try in vain, and with rank 2 the radiation that every
announced prefix gets from everywhere.

All steps but an aggregation itself take time that does not depend on the number of flows: each
match knows how many rules it would replace, and the heaviest one is found by buckets of equal
weight.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from chamaleonet.switch.rules import IPV4, IPV6

if TYPE_CHECKING:
    from collections.abc import Iterable

    from chamaleonet.switch.match import FlowKey
    from chamaleonet.switch.rules import Match, Rule
    from chamaleonet.units import Network

RANKS = 3
_WIDER = {0: (2,), 1: (3, 4)}  # positions in what ``wider`` returns: which contain which


class Prefix(NamedTuple):
    """A prefix, its address and netmask as integers."""

    version: int
    address: int
    mask: int

    @classmethod
    def of(cls, network: Network) -> Prefix:
        """Return a network as a prefix."""
        return cls(network.version, int(network.network_address), int(network.netmask))


class Aggregate(NamedTuple):
    """A match wider than a flow.

    Attributes:
        rank: 0 to 2, the narrowest first.
        version: 4 or 6.
        protocol: IP protocol number, or None: any.
        client: the sender's address as an integer, or None: any.
        server: the receiver's address or prefix as an integer, or None: any.
        mask: the receiver's netmask, or None: the address alone.
        service: the field of the service's port or ICMP type and its value, or None: any.
    """

    rank: int
    version: int
    protocol: int | None
    client: int | None = None
    server: int | None = None
    mask: int | None = None
    service: tuple[str, int] | None = None

    @property
    def shape(self) -> tuple[object, ...]:
        """What it has in common with matches that a switch takes or refuses alike."""
        service = self.service and self.service[0]
        return self.version, self.protocol, self.client is None, self.mask, service

    @property
    def match(self) -> Match:
        """The match of the client's packets."""
        match: Match = (("eth_type", IPV4 if self.version == 4 else IPV6),)
        if self.protocol is not None:
            match += (("ip_proto", self.protocol),)
        if self.client is not None:
            match += ((f"ipv{self.version}_src", self.client),)
        if self.server is not None:
            value = self.server if self.mask is None else (self.server, self.mask)
            match += ((f"ipv{self.version}_dst", value),)
        return match if self.service is None else (*match, self.service)


def wider(key: FlowKey, inside: Prefix | None, *, of_one_protocol: bool) -> tuple[Aggregate, ...]:
    """Return the aggregates that match a flow, the narrowest first.

    Args:
        key: the flow.
        inside: the internal prefix that its server is in, if it is in one.
        of_one_protocol: whether rank 1 names the protocol.
    """
    version, protocol, service = key.version, key.protocol, key.service
    at_address = protocol if of_one_protocol else None
    found = (
        Aggregate(0, version, protocol, client=key.client, service=service),
        Aggregate(0, version, protocol, server=key.server, service=service),
        Aggregate(1, version, at_address, client=key.client),
        Aggregate(1, version, at_address, server=key.server),
    )
    if inside is None:
        return found
    return *found, Aggregate(2, version, protocol, None, inside.address, inside.mask, service)


class _Ruled:
    """What can have a rule in the switch.

    Attributes:
        rule: its rule in the switch, or None.
        above: the groups that would replace it.
        failures: how often in a row the switch refused its rule.
        not_before: when its rule may be tried again, ns.
    """

    __slots__ = ("above", "failures", "not_before", "rule")

    def __init__(self) -> None:
        self.rule: Rule | None = None
        self.above: tuple[Group, ...] = ()
        self.failures = 0
        self.not_before = 0


class Want(_Ruled):
    """The flows that one match covers exactly.

    Attributes:
        key: the flows' key, without what no match can tell.
        aggregates: those that match them, while it is in the lattice.
        rows: their rows in the engine.
        group: the aggregate that covers them, or None.
    """

    __slots__ = ("aggregates", "group", "key", "rows")

    def __init__(self, key: FlowKey) -> None:
        super().__init__()
        self.key = key
        self.aggregates: tuple[Aggregate, ...] = ()
        self.rows: set[int] = set()
        self.group: Group | None = None


class Group(_Ruled):
    """An aggregate that flows have in common, in force or not.

    Attributes:
        aggregate: its match.
        active: whether it is in force.
        below: what it would replace: wants without a group, and narrower groups in force.
        under: the wants that it covers, while in force.
        weight: how many in ``below`` have a rule in the switch.
    """

    __slots__ = ("active", "aggregate", "below", "under", "weight")

    def __init__(self, aggregate: Aggregate) -> None:
        super().__init__()
        self.aggregate = aggregate
        self.active = False
        self.below: dict[Wish, None] = {}
        self.under: dict[Want, None] = {}
        self.weight = 0


Wish = Want | Group


class Lattice:
    """All groups, and which of them weighs most.

    Most flows have nothing in common: an aggregate of one want is that want alone, and becomes a
    group with the second one.

    Attributes:
        active: the groups in force.
    """

    def __init__(self) -> None:
        self._at: dict[Aggregate, Wish] = {}
        self._by_weight = [_ByWeight() for _ in range(RANKS)]
        self._barred: set[tuple[object, ...]] = set()
        self.active: dict[Group, None] = {}

    def __len__(self) -> int:
        return len(self._at)

    def covering(self, aggregates: Iterable[Aggregate]) -> Group | None:
        """Return the narrowest of these that is in force."""
        for aggregate in aggregates:
            group = self._at.get(aggregate)
            if isinstance(group, Group) and group.active:
                return group
        return None

    def enter(self, want: Want, aggregates: tuple[Aggregate, ...]) -> None:
        """Put a want without a rule below its groups, none of which is in force."""
        want.aggregates = aggregates
        groups = [self._join(want, aggregate) for aggregate in aggregates]
        want.above = tuple(group for group in groups if group is not None)
        for at, wider_ones in _WIDER.items():
            group = groups[at] if groups else None
            if group is not None and not group.above:  # what contains it is a group as well
                group.above = tuple(wide for i in wider_ones for wide in groups[i : i + 1] if wide)

    def leave(self, wish: Wish) -> None:
        """Take a wish without a rule from below its groups."""
        for group in wish.above:
            del group.below[wish]
            self._forget_if_empty(group)
        wish.above = ()
        if isinstance(wish, Want):
            for aggregate in wish.aggregates:
                if self._at.get(aggregate) is wish:
                    del self._at[aggregate]
            wish.aggregates = ()

    def weigh(self, wish: Wish, by: int) -> None:
        """Take note that a wish has got a rule (1) or has lost it (-1)."""
        for group in wish.above:
            if not group.active:
                self._by_weight[group.aggregate.rank].move(group, group.weight + by)
            group.weight += by

    def heaviest(self, saving: int) -> Group | None:
        """Return the group that saves most rules, or None if none saves so many.

        Groups of a lower rank come first, whatever a wider one would save.
        """
        for groups in self._by_weight:
            while (group := groups.heaviest(saving + 1)) is not None:
                if group.aggregate.shape not in self._barred:
                    return group
                groups.move(group, 0)
        return None

    def own(self, want: Want) -> Group | None:
        """Return the narrowest group of a want that would replace a rule by one for both."""
        shared = (
            group
            for group in want.above
            if group.weight and group.aggregate.shape not in self._barred
        )
        return min(shared, key=lambda group: group.aggregate.rank, default=None)

    def activate(self, group: Group) -> None:
        """Put a group in force; what is below it is for the caller to move."""
        self._by_weight[group.aggregate.rank].move(group, 0)
        group.active = True
        self.active[group] = None
        for wide in group.above:
            wide.below[group] = None

    def deactivate(self, group: Group) -> None:
        """Put a group out of force that has no rule, and nothing below or under it."""
        del self.active[group]
        group.active = False
        self.leave(group)
        self._forget_if_empty(group)

    def bar(self, aggregate: Aggregate) -> None:
        """Offer no more aggregates of this shape: the switch does not take them."""
        self._barred.add(aggregate.shape)

    def unbar(self) -> None:
        """Offer all shapes again, as for a new connection."""
        self._barred.clear()

    def _join(self, want: Want, aggregate: Aggregate) -> Group | None:
        """Put a want below an aggregate; return the group, if it is not alone there."""
        at = self._at.setdefault(aggregate, want)
        if at is want:
            return None
        if isinstance(at, Group):
            group = at
        else:
            group = self._at[aggregate] = Group(aggregate)
            group.below[at] = None
            at.above += (group,)
            if at.rule is not None:
                self._by_weight[aggregate.rank].move(group, 1)
                group.weight = 1
        group.below[want] = None
        return group

    def _forget_if_empty(self, group: Group) -> None:
        if not (group.below or group.active):
            del self._at[group.aggregate]


class _ByWeight:
    """Groups in buckets of equal weight; those without weight are in none."""

    def __init__(self) -> None:
        self._buckets: dict[int, dict[Group, None]] = {}
        self._top = 0  # above it all buckets are empty

    def move(self, group: Group, weight: int) -> None:
        """Put a group from the bucket of its weight, if it is there, into another one."""
        bucket = self._buckets.get(group.weight, {})
        if group in bucket:
            del bucket[group]
            if not bucket:
                del self._buckets[group.weight]
        if weight:
            self._buckets.setdefault(weight, {})[group] = None
            self._top = max(self._top, weight)

    def heaviest(self, least: int) -> Group | None:
        while self._top >= least:
            if self._top in self._buckets:
                return next(iter(self._buckets[self._top]))
            self._top -= 1  # the event that raised it has paid for this step
        return None
