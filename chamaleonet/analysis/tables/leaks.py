"""Table 11: what should never leave the network, and was seen leaving."""

from __future__ import annotations

from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

import ibis

from chamaleonet.analysis.addresses import longest_match, may_be_in
from chamaleonet.analysis.table import Options, Table

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from chamaleonet.analysis.source import Logs

LISTED = 100  # leaking hosts, those with most flows

INTERNAL_ONLY = "internal only"

# The registries of special-purpose addresses (RFC 6890) that no router of the Internet forwards to,
# and what each is for.
BOGONS = {
    "0.0.0.0/8": "this network (RFC 791)",
    "10.0.0.0/8": "private use (RFC 1918)",
    "100.64.0.0/10": "shared address space (RFC 6598)",
    "127.0.0.0/8": "loopback (RFC 1122)",
    "169.254.0.0/16": "link local (RFC 3927)",
    "172.16.0.0/12": "private use (RFC 1918)",
    "192.0.0.0/24": "IETF protocol assignments (RFC 6890)",
    "192.0.2.0/24": "documentation (RFC 5737)",
    "192.168.0.0/16": "private use (RFC 1918)",
    "198.18.0.0/15": "benchmarking (RFC 2544)",
    "198.51.100.0/24": "documentation (RFC 5737)",
    "203.0.113.0/24": "documentation (RFC 5737)",
    "240.0.0.0/4": "reserved (RFC 1112)",
    "::1/128": "loopback (RFC 4291)",
    "::ffff:0:0/96": "IPv4-mapped (RFC 4291)",
    "64:ff9b:1::/48": "local-use translation (RFC 8215)",
    "100::/64": "discard only (RFC 6666)",
    "2001:2::/48": "benchmarking (RFC 5180)",
    "2001:10::/28": "deprecated ORCHID (RFC 4843)",
    "2001:db8::/32": "documentation (RFC 3849)",
    "3fff::/20": "documentation (RFC 9637)",
    "5f00::/16": "segment routing identifiers (RFC 9602)",
    "fc00::/7": "unique local (RFC 4193)",
    "fe80::/10": "link local (RFC 4291)",
    "fec0::/10": "deprecated site local (RFC 3879)",
}

_NOTE = (
    "Flows to special-purpose addresses (RFC 6890) that are outside the internal prefixes, and to"
    " the prefixes configured as internal only; and flows in transit that come from such addresses:"
    " hosts behind a missing NAT, or an internal prefix that is not configured. The log has the"
    " flows that failed. An answered one is a counter without its server, so a leak that somebody"
    " answers is not here. Names are payload, which is never logged: DNS queries for internal names"
    " cannot be told from others. In a log with anonymised addresses prefixes mean nothing, and"
    " neither does this table."
)


def table(logs: Logs, options: Options) -> Table:
    """Return the prefixes that flows leaked to or from, and the hosts that leaked most."""
    leaks = _leaks(logs, options)
    return Table(
        name="leaks",
        title="Leaks",
        unit="flow",
        vantage="outbound flows by destination, flows in transit by source",
        note=_NOTE,
        value={"prefixes": _prefixes(logs, leaks), "hosts": _hosts(logs, leaks)},
        columns={
            "end": ("the leaked address is", ""),
            "prefix": ("prefix", ""),
            "purpose": ("purpose", ""),
            "client": ("leaking host", ""),
            "flows": ("flows", "flows"),
            "packets": ("packets", "packets"),
            "clients": ("clients", "hosts"),
            "servers": ("servers", "hosts"),
            "ports": ("protocols and ports", ""),
            "first": ("first", "UTC"),
            "last": ("last", "UTC"),
        },
    )


def _leaks(logs: Logs, options: Options) -> ir.Table:
    """Return the flows that leak, with the prefix and what it is for."""
    ours = dict.fromkeys(map(str, options.internal_only), INTERNAL_ONLY)
    purposes = BOGONS | ours
    networks = [ip_network(prefix) for prefix in purposes]

    def found(flows: ir.Table, end: str) -> ir.Table:
        flows = flows.filter(may_be_in(flows[end], networks)).mutate(end=ibis.literal(end))
        leaked = longest_match(flows.select(address=flows[end]), networks)
        return flows.inner_join(leaked.rename(prefix="network"), flows[end] == leaked.address)

    flows = logs.flows.filter(logs.flows.verdict != "unsolicited")
    leaks = ibis.union(
        found(flows.filter(flows.direction == "outbound"), "server"),
        found(flows.filter(flows.direction == "transit"), "client"),
    )
    purpose = ibis.cases(*((leaks.prefix == prefix, text) for prefix, text in purposes.items()))
    return leaks.mutate(purpose=purpose)


def _prefixes(logs: Logs, leaks: ir.Table) -> list[dict[str, Any]]:
    service = leaks.protocol.concat("/", leaks.server_port.cast("string").fill_null(""))
    found = leaks.group_by("end", "prefix", "purpose").aggregate(
        flows=leaks.count(),
        packets=leaks.packets.sum(),
        clients=leaks.client.nunique(),
        servers=leaks.server.nunique(),
        ports=service.nunique(),
        first=leaks.first.min(),
        last=leaks.last.max(),
    )
    ordered = found.order_by(found.flows.desc(), "end", "prefix")
    return logs.rows(ordered, times=("first", "last"))


def _hosts(logs: Logs, leaks: ir.Table) -> list[dict[str, Any]]:
    found = leaks.group_by("client", "end", "prefix").aggregate(
        flows=leaks.count(),
        packets=leaks.packets.sum(),
        servers=leaks.server.nunique(),
        first=leaks.first.min(),
        last=leaks.last.max(),
    )
    ordered = found.order_by(found.flows.desc(), "client", "end", "prefix").limit(LISTED)
    return logs.rows(ordered, times=("first", "last"))
