"""Findings while they happen: simple signs of the causes that the report finds.

They are named after the report's findings (docs/findings.md) and use its thresholds, but know only
the erroneous flows that are remembered: neither what is answered nor what was yesterday. So they
say less, and less surely, than the report does. No flow is explained twice; the rules are asked in
the report's order. What needs answered flows or lists (``listed_contact``, ``dns_accelerator``,
``outage``, ``parallel_ports``) is the report's alone.
"""

from __future__ import annotations

import itertools
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from chamaleonet.top.model import service

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from chamaleonet.log.events.rows import Row
    from chamaleonet.top.model import Known

# The report's thresholds; its modules need the packages of the extra ``report``, these do not.
SERVERS, PORTS, WELL_KNOWN, SECONDS_EACH, FOCUS = 50, 30, 5, 10, 0.5
HOSTS = 20
QUERIES, SPAN = 20, 10  # DNS where nobody counts what is answered; seconds
REQUESTS = 5  # NTP
BY_HAND = 30  # pings
POLLS, TOLERANCE, REGULAR, STEADY, BURST = 10, 0.25, 0.8, 20, 0.2
DNS = ("udp/53", "tcp/53", "tcp/853", "udp/853")
NTP = ("udp/123",)
PINGS = ("icmp", "icmpv6")
MONITORING = (
    *PINGS, "udp/162", "udp/514", "udp/2003", "udp/2055", "udp/4739", "udp/6343", "udp/8089",
    "udp/8125", "udp/9995", "udp/9996", "udp/12201", "udp/25826", "udp/161", "tcp/161", "tcp/514",
    "tcp/601", "tcp/1984", "tcp/2003", "tcp/2004", "tcp/3100", "tcp/4317", "tcp/4318", "tcp/5044",
    "tcp/5665", "tcp/5666", "tcp/6514", "tcp/6556", "tcp/8086", "tcp/8088", "tcp/9090", "tcp/9091",
    "tcp/9997", "tcp/10050", "tcp/10051", "tcp/12201", "tcp/24224", "udp/24224",
)  # fmt: skip

_SECOND = 10**9
_INSIDE = ("outbound", "internal")  # where the client is inside
_PORT_UNREACHABLE = {4: (3, 3), 6: (1, 4)}


class LiveFinding(NamedTuple):
    """One likely cause of failures.

    Attributes:
        kind: as docs/findings.md calls it.
        subject: the host to look at, or the service that is asked in vain.
        detail: what it rests on, in a few words.
        flows: keys of the flows that it explains.
    """

    kind: str
    subject: str
    detail: str
    flows: tuple[bytes, ...]


def findings(flows: Iterable[Known]) -> list[LiveFinding]:
    """Return what explains erroneous flows, those that explain most first."""
    left = {known.row.key: known.row for known in flows if known.row.verdict != "recovered"}
    found = []
    for rule in (_scanners, _reflections, _dead_resolvers, _dead_peers, _monitoring, _stale):
        for finding in list(rule(left.values())):
            found.append(finding)
            for key in finding.flows:
                left.pop(key, None)
    return sorted(found, key=lambda finding: (-len(finding.flows), finding))


def _grouped(
    rows: Iterable[Row], key: Callable[[Row], tuple[str, ...]]
) -> dict[tuple[str, ...], list[Row]]:
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def _keys(rows: Iterable[Row]) -> tuple[bytes, ...]:
    return tuple(row.key for row in rows)


def _span(rows: Iterable[Row]) -> float:
    firsts = [row.first for row in rows]
    return (max(firsts) - min(firsts)) / _SECOND


def _scanners(rows: Collection[Row]) -> Iterator[LiveFinding]:
    inside = [row for row in rows if row.direction in _INSIDE]
    of_client = {
        client: len({row.server for row in its})
        for (client,), its in _grouped(inside, lambda row: (row.client,)).items()
    }
    swept: set[bytes] = set()
    for (client, what), its in _grouped(inside, lambda row: (row.client, service(row))).items():
        servers = len({row.server for row in its})
        fast = _span(its) <= SECONDS_EACH * servers
        if servers > SERVERS and fast and servers >= FOCUS * of_client[client]:
            swept.update(_keys(its))
            yield LiveFinding("internal_scanner", client, f"{servers} servers, {what}", _keys(its))
    inside = [row for row in inside if row.key not in swept]
    for (client, server), its in _grouped(inside, lambda row: (row.client, row.server)).items():
        ports = {row.server_port for row in its if row.server_port is not None}
        known = sum(port < 1024 for port in ports)
        if len(ports) > PORTS and known >= WELL_KNOWN and _span(its) <= SECONDS_EACH * len(ports):
            detail = f"{len(ports)} ports of {server}"
            yield LiveFinding("internal_scanner", client, detail, _keys(its))


def _reflections(rows: Collection[Row]) -> Iterator[LiveFinding]:
    sent = [
        row
        for row in rows
        if row.direction == "inbound"
        and row.icmp_sender == row.server
        and (row.icmp_type, row.icmp_code) == _PORT_UNREACHABLE[row.version]
    ]
    for (client,), its in _grouped(sent, lambda row: (row.client,)).items():
        hosts = len({row.server for row in its})
        if hosts >= HOSTS:
            detail = f"{hosts} hosts answer it port unreachable"
            yield LiveFinding("port_unreachable_reflection", client, detail, _keys(its))


class _Asked(NamedTuple):
    """What one client asks one service in vain."""

    rows: list[Row]
    requests: int
    period: float | None  # seconds, where it has a rhythm


def _asked(rows: Collection[Row], wanted: Callable[[str], bool]) -> dict[str, list[_Asked]]:
    """Return who asks in vain, by server and service, of the services that are wanted."""
    pairs: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        if row.direction in _INSIDE and wanted(what := service(row)):
            pairs.setdefault((row.client, row.server, what), []).append(row)
    asked: dict[str, list[_Asked]] = {}
    for (_, server, what), its in pairs.items():
        each = _Asked(its, sum(row.attempts for row in its), _rhythm(its, what))
        asked.setdefault(f"{server} {what}", []).append(each)
    return asked


def _rhythm(rows: list[Row], what: str) -> float | None:
    """Return the seconds from attempt to attempt, None where these are not alike."""
    requests = sum(row.attempts for row in rows)
    if len(rows) < POLLS and requests < STEADY * len(rows):
        return None
    if requests >= STEADY * len(rows) and not what.startswith("tcp"):
        active = sum(row.last - row.first for row in rows)
        return active / (requests - len(rows)) / _SECOND
    firsts = sorted(row.first for row in rows)
    if len(firsts) < POLLS:
        return None
    shortest = BURST * (firsts[-1] - firsts[0]) / (len(firsts) - 1)
    polls = firsts[:1] + [b for a, b in itertools.pairwise(firsts) if b - a >= shortest]
    gaps = [b - a for a, b in itertools.pairwise(polls)]
    if len(polls) < POLLS:
        return None
    middle = median(gaps)
    alike = sum(abs(gap - middle) <= TOLERANCE * middle for gap in gaps)
    return middle / _SECOND if alike >= REGULAR * len(gaps) else None


def _finding(kind: str, subject: str, its: list[_Asked]) -> LiveFinding:
    clients = {each.rows[0].client for each in its}
    who = next(iter(clients)) if len(clients) == 1 else f"{len(clients)} clients"
    detail = f"{who}, {sum(each.requests for each in its)} attempts"
    periods = [each.period for each in its if each.period is not None]
    if periods:
        detail += f", every {median(periods):.3g} s"
    return LiveFinding(kind, subject, detail, _keys(row for each in its for row in each.rows))


def _dead_resolvers(rows: Collection[Row]) -> Iterator[LiveFinding]:
    for subject, its in _asked(rows, DNS.__contains__).items():
        all_rows = [row for each in its for row in each.rows]
        many = sum(each.requests for each in its) >= QUERIES and _lasts(all_rows)
        if many or any(each.period is not None for each in its):
            yield _finding("dns_dead_resolver", subject, its)


def _lasts(rows: list[Row]) -> bool:
    first, last = min(row.first for row in rows), max(row.last for row in rows)
    return last - first >= SPAN * _SECOND


def _dead_peers(rows: Collection[Row]) -> Iterator[LiveFinding]:
    for subject, its in _asked(rows, NTP.__contains__).items():
        if any(each.requests >= REQUESTS * len(each.rows) or each.period for each in its):
            yield _finding("ntp_dead_peer", subject, its)


def _monitoring(rows: Collection[Row]) -> Iterator[LiveFinding]:
    for subject, its in _asked(rows, MONITORING.__contains__).items():
        ping = subject.endswith(PINGS)
        if regular := [
            each
            for each in its
            if each.period is not None and not (ping and each.requests < BY_HAND)
        ]:
            yield _finding("misaddressed_monitoring", subject, regular)


def _stale(rows: Collection[Row]) -> Iterator[LiveFinding]:
    known = {*DNS, *NTP, *MONITORING}
    for subject, its in _asked(rows, lambda what: what not in known).items():
        if regular := [each for each in its if each.period is not None]:
            yield _finding("stale_server", subject, regular)
