"""Contact with addresses on the operator's block lists."""

from __future__ import annotations

from ipaddress import IPv4Network, ip_address, ip_network
from typing import TYPE_CHECKING

import ibis
import pyarrow as pa

from chamaleonet.analysis.addresses import aggregate, within
from chamaleonet.analysis.findings.case import PAIR, rows_of
from chamaleonet.analysis.findings.dead import MOST, by_cause
from chamaleonet.analysis.findings.finding import Diagnosis, Evidence, Group, by_flows, grown
from chamaleonet.analysis.findings.rhythm import POLLS, REGULAR, rhythms
from chamaleonet.analysis.findings.words import count, duration, listing, who
from chamaleonet.units import PRIVATE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import ibis.expr.types as ir

    from chamaleonet.analysis.findings.case import Case
    from chamaleonet.analysis.indicators import Indicator
    from chamaleonet.units import Network

KIND = "listed_contact"
CONVINCING = 3  # flows: a single contact may be a name that was resolved or a page that was seen

# Block lists name these as a whole, for nothing should come from there: no enemy has them.
_UNROUTED = (
    *PRIVATE,
    *map(ip_network, ("0.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16",
                      "224.0.0.0/4", "240.0.0.0/4", "fe80::/10", "ff00::/8")),
)  # fmt: skip
# Networks up to so large are looked up by the keys of their /24 or /48, others one by one.
_BY_KEY = {4: 16, 6: 40}
_KEYED = {4: 24, 6: 48}


def find(case: Case) -> list[Group]:
    """Return contacts of internal hosts with listed addresses."""
    listed = _Listed(
        indicator
        for indicator in case.options.indicators
        if indicator.until is None or indicator.until > case.begin
    )
    servers = listed.among(case)
    if not servers:
        return []
    flows = case.flows.semi_join(
        rows_of([{"server": server} for server in servers], {"server": pa.string()}), "server"
    )
    contacts = flows.group_by(PAIR).aggregate(
        flows=flows.count(),
        erroneous=flows.erroneous.sum(),
        requests=flows.attempts.sum(),
        first=flows["first"].min(),
        last=flows["last"].max(),
    )
    contacts = contacts.left_join(rhythms(case, case.pairs.semi_join(contacts, PAIR)), PAIR)
    contacts = contacts.drop([f"{name}_right" for name in PAIR])
    its: dict[str, list[Evidence]] = {}
    for row in case.logs.rows(contacts.order_by(ibis.desc("flows"), *PAIR).limit(MOST)):
        regular = (row["polls"] or 0) >= POLLS and row["regularity"] >= REGULAR
        its.setdefault(row["server"], []).append(
            Evidence.of(
                row,
                host=row["client"],
                period=row["period"] if regular else None,
                detail=f"listed: {servers[row['server']]}",
            )
        )
    return [Group(rows) for rows in by_cause(its.values(), least=2)]


def tell(group: Group) -> Diagnosis:
    """Return what contacts with listed addresses mean."""
    clients, servers = by_flows(group.evidence, "client"), group.servers
    said = {row.server: row.detail for row in group.evidence}
    named = [f"{server} ({said[server]})" for server in servers]
    period = next((row.period for row in group.evidence if row.period), None)
    rhythm = f", every {duration(period)} as by a timer" if period else ""
    return Diagnosis(
        0.5 + 0.5 * grown(max(row.flows for row in group.evidence), CONVINCING),
        f"{who(clients)} contacted"
        f" {listing(named)}, {count(group.flows, 'time')}{rhythm}. A program that calls a listed"
        " address is likely malware, unless the list is wrong or the address has a new owner.",
        f"Isolate {listing(clients)}, find the program that contacts {listing(servers)} and treat"
        " it as an infection; block the address at the border.",
    )


class _Listed:
    """Block lists, to be asked for addresses.

    Args:
        indicators: what is listed; the first of equal networks counts.
    """

    def __init__(self, indicators: Iterable[Indicator]) -> None:
        self._by_length: dict[tuple[int, int], dict[int, str]] = {}
        self._networks: list[Network] = []
        for network, source, _ in indicators:
            if any(_contains(network, unrouted) for unrouted in _UNROUTED):
                continue
            length = network.version, network.prefixlen
            self._by_length.setdefault(length, {}).setdefault(int(network[0]), source)
            self._networks.append(network)

    def among(self, case: Case) -> dict[str, str]:
        """Return the listed addresses among those that internal clients asked, with the source."""
        if not self._networks:
            return {}
        asked = case.pairs.select("server").union(case.replies.select("server")).distinct()
        near = _near(asked, self._networks)
        addresses = case.logs.arrow(near.order_by("server"))["server"].to_pylist()
        return {address: source for address in addresses if (source := self._source(address))}

    def _source(self, address: str) -> str | None:
        """Return the source of the smallest network that holds an address."""
        number = ip_address(address)
        bits = number.max_prefixlen
        for version, length in sorted(self._by_length, reverse=True):
            if version == number.version:
                key = int(number) >> (bits - length) << (bits - length)
                if (source := self._by_length[version, length].get(key)) is not None:
                    return source
        return None


def _contains(network: Network, other: Network) -> bool:
    return network.version == other.version and other.subnet_of(network)  # type: ignore[arg-type]


def _near(addresses: ir.Table, networks: list[Network]) -> ir.Table:
    """Return the addresses that share their /24 or /48 with a network, or are in a larger one.

    Lists have up to some hundred thousand networks: to join by a key is what engines do well.
    """
    large: list[Network] = []
    keys: set[str] = set()
    for network in networks:
        if network.prefixlen < _BY_KEY[network.version]:
            large.append(network)
        else:
            keys.update(_keys(network))
    by_key = addresses.mutate(key=aggregate(addresses.server)).semi_join(
        rows_of([{"key": key} for key in sorted(keys)], {"key": pa.string()}), "key"
    )
    return by_key.drop("key").union(addresses.filter(within(addresses.server, large))).distinct()


def _keys(network: Network) -> Iterator[str]:
    """Yield the keys of a network's aggregates: those of addresses.aggregate."""
    length = _KEYED[network.version]
    aggregates = (
        [network.supernet(new_prefix=length)]
        if network.prefixlen >= length
        else network.subnets(new_prefix=length)
    )
    for each in aggregates:
        first = each[0]
        if isinstance(each, IPv4Network):
            yield str(first).rsplit(".", 1)[0]
        else:
            yield f"{int(first):032x}"[:12]
