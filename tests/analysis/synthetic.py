"""Logs with a known content: a healthy background, and causes of failures planted in it.

    logs = Logs()
    background(logs, seed=1)
    logs.flow(60, "10.0.0.1", "192.0.2.1", 443)  # a SYN that nobody answers, at 00:01
    path = logs.write(tmp_path)

Times are seconds since BEGIN, a Monday at midnight UTC. What is 10/8 or fd00::/8 is inside.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from chamaleonet.log import healthy
from chamaleonet.log.arrow import _ARROW, SCHEMA
from chamaleonet.log.columns import PORT_PROTOCOLS, protocol_name

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SECOND = 1_000_000_000
HOUR, DAY = 3600, 86400  # seconds
BEGIN = int(datetime(2026, 11, 23, tzinfo=UTC).timestamp()) * SECOND
TIMEOUT = 3  # seconds
INSIDE = tuple(map(ip_network, ("10.0.0.0/8", "fd00::/8")))
COUNTERS = pa.schema(
    [
        pa.field(column.name, _ARROW[column.kind], nullable=bool(column.null))
        for column in healthy.COLUMNS
    ]
)
_NEVER_JUDGED = ("pending", "midstream")
_WITH_PORTS = tuple(map(protocol_name, PORT_PROTOCOLS))


def time(seconds: float) -> int:
    """Return seconds since BEGIN as nanoseconds since 1970."""
    return BEGIN + round(seconds * SECOND)


def direction(client: str, server: str) -> str:
    inside = tuple(
        any(ip_address(end) in network for network in INSIDE) for end in (client, server)
    )
    return {
        (True, True): "internal", (True, False): "outbound", (False, True): "inbound",
    }.get(inside, "transit")  # fmt: skip


class Logs:
    """Rows of the flow log and counters, to be written as the packet logger writes them."""

    def __init__(self) -> None:
        self.flows: list[dict[str, Any]] = []
        self.counters: list[dict[str, Any]] = []

    def flow(
        self,
        at: float,
        client: str,
        server: str,
        server_port: int | None = 443,
        *,
        protocol: str = "tcp",
        verdict: str = "unanswered",
        attempts: int = 1,
        spacing: float = 1.0,
        delay: float | None = None,
        icmp: tuple[int, int, str] | None = None,
        **columns: Any,
    ) -> dict[str, Any]:
        """Add a flow to the flow log and return its row.

        Args:
            at: its first packet, seconds since BEGIN.
            attempts: requests of the client, ``spacing`` seconds apart.
            delay: of its reply, seconds; by default a recovered flow's is 4 s.
            icmp: type, code and sender of the ICMP error; by default, of a flow that got one,
                host unreachable from a router.
            columns: of the log, to be other than what follows from the rest.
        """
        if not (has_ports := protocol in _WITH_PORTS):
            server_port = None
        if delay is None:
            delay = {"recovered": 4.0, "answered": 0.02}.get(verdict)
        if icmp is None and verdict == "icmp_error":
            icmp = (3, 1, "192.0.2.254") if ip_address(client).version == 4 else (1, 3, "fd00::1")
        replies = 1 if delay is not None or verdict == "refused" else 0
        last = at + max((attempts - 1) * spacing, delay or 0)
        judged = {"unanswered": at + TIMEOUT, "unsolicited": at}.get(verdict, at + (delay or 0.02))
        row = {
            "first": time(at),
            "last": time(last),
            "judged": None if verdict in _NEVER_JUDGED else time(judged),
            "verdict": verdict,
            "direction": direction(client, server),
            "protocol": protocol,
            "client": client,
            "client_port": 40_000 + len(self.flows) % 20_000 if has_ports else None,
            "server": server,
            "server_port": server_port,
            "vlan": None,
            "attempts": attempts,
            "client_packets": attempts,
            "server_packets": replies,
            "client_bytes": 74 * attempts,
            "server_bytes": 74 * replies,
            "reply_delay": delay,
            "icmp_type": icmp[0] if icmp else None,
            "icmp_code": icmp[1] if icmp else None,
            "icmp_sender": icmp[2] if icmp else None,
            "community_id": f"1:{len(self.flows):027d}=",
            "quality": "sound",
            **columns,
        }
        self.flows.append(row)
        return row

    def healthy(
        self,
        at: float,
        host: str | None,
        server_port: int | None = 443,
        *,
        flows: int = 1,
        protocol: str = "tcp",
        direction: str = "outbound",
        verdict: str = "answered",
        delay: float | None = 0.02,
        **columns: Any,
    ) -> None:
        """Count healthy flows of the minute that ``at`` is in; ``delay`` is a bucket's bound."""
        self.counters.append(
            {
                "minute": time(at - at % 60),
                "host": host,
                "direction": direction,
                "protocol": protocol,
                "server_port": server_port if protocol in _WITH_PORTS else None,
                "verdict": verdict,
                "delay": delay if verdict == "answered" else None,
                "flows": flows,
                "client_packets": 5 * flows,
                "server_packets": 5 * flows,
                "client_bytes": 500 * flows,
                "server_bytes": 5000 * flows,
                **columns,
            }
        )

    def write(self, path: Path) -> Path:
        """Write both by day and hour below a directory and return it."""
        _write(path, self.flows, "last", SCHEMA, ".parquet")
        _write(path, self.counters, "minute", COUNTERS, ".healthy.parquet")
        return path

    def write_file(self, path: Path) -> Path:
        """Write the flow log alone, as one file."""
        pq.write_table(pa.Table.from_pylist(self.flows, SCHEMA), path)
        return path


def _write(
    path: Path, rows: list[dict[str, Any]], partition: str, schema: pa.Schema, suffix: str
) -> None:
    hours: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        hours.setdefault(row[partition] // (HOUR * SECOND), []).append(row)
    for hour, its in sorted(hours.items()):
        begin = datetime.fromtimestamp(hour * HOUR, UTC)
        folder = path / begin.strftime("day=%Y-%m-%d/hour=%H")
        folder.mkdir(parents=True, exist_ok=True)
        name = folder / f"chamaleonet-{begin:%Y%m%dT%H%M%S}Z{suffix}"
        pq.write_table(pa.Table.from_pylist(its, schema), name)


def addresses(number: int, prefix: str = "10.1.0.0/16") -> list[str]:
    """Return the first addresses of a prefix, in ascending order."""
    network = ip_network(prefix)
    return [str(network[n + 1]) for n in range(number)]


def background(
    logs: Logs, *, hours: int = 24, hosts: int = 20, failures: float = 0.02, seed: int = 1
) -> None:
    """Add what a network without a problem looks like.

    Hosts browse, resolve names and synchronise clocks, more by day than by night. One flow in
    fifty fails, here and there: no host, server or time stands out.
    """
    draw = random.Random(seed)
    services: list[tuple[int, str, float]] = [(443, "tcp", 0.6), (53, "udp", 0.3), (80, "tcp", 0.1)]
    for hour in range(hours):
        busy = 60 if 9 <= hour % 24 < 17 else 20  # flows per host and hour
        for host in addresses(hosts):
            for port, protocol, share in services:
                count = round(busy * share * draw.uniform(0.8, 1.2))
                failing = sum(draw.random() < failures for _ in range(count))
                for _ in range(count - failing):
                    at = hour * HOUR + draw.uniform(0, HOUR)
                    logs.healthy(
                        at, host, port, protocol=protocol, delay=draw.choice((0.01, 0.02, 0.05))
                    )
                for _ in range(failing):
                    at = hour * HOUR + draw.uniform(0, HOUR)
                    server = f"198.51.{draw.randrange(100)}.{draw.randrange(1, 255)}"
                    logs.flow(at, host, server, port, protocol=protocol)


# Causes of failures, to be planted.


def stale_server(
    logs: Logs, client: str = "10.1.0.3", server: str = "10.9.0.1", port: int = 8080,
    *, period: float = 60.0, times: int = 200, begin: float = 0.0, jitter: float = 0.0,
    seed: int = 1, **columns: Any,
) -> None:  # fmt: skip
    """A client that polls a server that is gone, for ever."""
    draw = random.Random(seed)
    for n in range(times):
        at = begin + n * period + draw.uniform(-jitter, jitter)
        logs.flow(at, client, server, port, **columns)


def scan(
    logs: Logs, client: str = "203.0.113.9", servers: list[str] | None = None, port: int = 23,
    *, begin: float = 0.0, spacing: float = 0.1, order: Callable[[list[str]], Any] = iter,
) -> None:  # fmt: skip
    """A client that tries one address after the other; ``order`` may be ``reversed``."""
    for n, server in enumerate(order(addresses(200) if servers is None else servers)):
        logs.flow(begin + n * spacing, client, server, port)


def outage(
    logs: Logs, network: str = "198.18.5.0/24", port: int = 443,
    *, begin: float = 0.0, seconds: float = 600.0, servers: int = 40, clients: int = 20,
) -> None:  # fmt: skip
    """Every server of a network fails at once, for every client, and comes back."""
    for n, server in enumerate(addresses(servers, network)):
        for m, client in enumerate(addresses(clients)):
            logs.flow(begin + (n * clients + m) * seconds / (servers * clients), client, server,
                      port)  # fmt: skip


def dead_resolver(
    logs: Logs, clients: list[str], server: str = "198.18.9.53",
    *, queries: int = 20, spacing: float = 7.0, begin: float = 0.0, seed: int = 1,
) -> None:  # fmt: skip
    """Clients that ask a resolver that never answers, whenever they need a name."""
    draw = random.Random(seed)
    for client in clients:
        at = begin
        for _ in range(queries):
            at += draw.expovariate(1 / spacing)
            logs.flow(at, client, server, 53, protocol="udp", attempts=2, spacing=5.0)


def dead_peer(
    logs: Logs, clients: list[str], server: str = "198.18.9.123",
    *, period: float = 1024.0, times: int = 80, begin: float = 0.0,
) -> None:  # fmt: skip
    """Clocks that ask a dead peer, so seldom that each request is a flow of its own."""
    for n in range(times):
        for m, client in enumerate(clients):
            logs.flow(begin + m + n * period, client, server, 123, protocol="udp")


def beacon(
    logs: Logs, client: str = "10.1.0.66", server: str = "203.0.113.66", port: int = 4444,
    *, period: float = 5.0, times: int = 30, begin: float = 0.0,
) -> None:  # fmt: skip
    """An infected host that calls an address for orders, which is down."""
    for n in range(times):
        logs.flow(begin + n * period, client, server, port, attempts=2)


def reflection(
    logs: Logs, source: str = "203.0.113.53", hosts: int = 200, port: int = 500,
    *, prefix: str = "10.4.0.0/16", source_port: int = 53, each: int = 1, begin: float = 0.0,
) -> None:  # fmt: skip
    """Datagrams with a forged source, to hosts on which nothing listens."""
    for n in range(each):
        for m, host in enumerate(addresses(hosts, prefix)):
            icmp = (1, 4, host) if ":" in host else (3, 3, host)
            logs.flow(begin + n + m * 0.01, source, host, port, protocol="udp",
                      verdict="icmp_error", icmp=icmp, client_port=source_port)  # fmt: skip


def accelerator(
    logs: Logs, host: str = "10.1.0.77",
    resolvers: tuple[str, ...] = ("203.0.113.1", "203.0.113.2", "203.0.113.3"),
    *, questions: int = 20, begin: float = 0.0,
) -> None:  # fmt: skip
    """A host that asks all resolvers at once: all but one answer a socket that is closed."""
    for n in range(questions):
        for resolver in resolvers[1:]:
            logs.flow(begin + n * 30, resolver, host, 50_000 + n, protocol="udp",
                      verdict="icmp_error", icmp=(3, 3, host), client_port=53)  # fmt: skip


def port_scan(
    logs: Logs, client: str = "10.1.0.44", server: str = "10.9.0.44",
    *, ports: int = 1000, spacing: float = 0.01, begin: float = 0.0,
) -> None:  # fmt: skip
    """A client that tries one port after the other of a server that refuses."""
    for n in range(ports):
        logs.flow(begin + n * spacing, client, server, n + 1, verdict="refused")


def parallel_ports(
    logs: Logs, client: str = "10.1.0.9", servers: tuple[str, ...] = ("10.9.0.20", "10.9.0.21"),
    *, times: int = 20, period: float = 300.0, begin: float = 0.0, seed: int = 1,
) -> None:  # fmt: skip
    """A client that opens NetBIOS sessions beside SMB, and is refused."""
    draw = random.Random(seed)
    for n in range(times):
        at = begin + n * period + draw.uniform(0, period / 2)
        for server in servers:
            logs.flow(at, client, server, 139, verdict="refused")
            logs.healthy(at, client, 445, direction="internal")


def monitoring(
    logs: Logs, client: str = "10.1.0.99", server: str = "198.18.9.99", port: int | None = None,
    *, protocol: str = "icmp", period: float = 60.0, times: int = 200, begin: float = 0.0,
    **columns: Any,
) -> None:  # fmt: skip
    """A monitor that asks or tells what is not there."""
    for n in range(times):
        logs.flow(begin + n * period, client, server, port, protocol=protocol, **columns)


def slow_server(
    logs: Logs, client: str = "10.1.0.60", server: str = "10.9.0.60", port: int = 5432,
    *, delay: float = 4.2, period: float = 60.0, times: int = 60, begin: float = 0.0,
    **columns: Any,
) -> None:  # fmt: skip
    """A server that answers too late, each time."""
    for n in range(times):
        logs.flow(begin + n * period, client, server, port, verdict="recovered", delay=delay,
                  **columns)  # fmt: skip


def server_outage(
    logs: Logs, clients: tuple[str, ...] = ("10.1.0.70", "10.1.0.71"), server: str = "10.9.0.70",
    port: int = 8443, *, begin: float = HOUR, seconds: float = 30.0, period: float = 1.0,
    around: float = 600.0, answered: int = 1, **columns: Any,
) -> None:  # fmt: skip
    """A server that is asked all the time, and is down for a while."""
    at = begin - around
    while at < begin + seconds + around:
        for client in clients:
            if begin <= at < begin + seconds:
                logs.flow(at, client, server, port, **columns)
            else:
                logs.healthy(at, client, port, direction=direction(client, server),
                             protocol=columns.get("protocol", "tcp"), flows=answered)  # fmt: skip
        at += period


def radiation(logs: Logs, *, hours: int = 24, flows: int = 500, seed: int = 1) -> None:
    """What comes in to addresses where nobody is, from everywhere; a few hosts refuse."""
    draw = random.Random(seed)
    for _ in range(flows * hours):
        at = draw.uniform(0, hours * HOUR)
        source = f"203.0.{draw.randrange(256)}.{draw.randrange(1, 255)}"
        target = f"10.{draw.randrange(256)}.{draw.randrange(256)}.{draw.randrange(1, 255)}"
        protocol, port = draw.choice((("tcp", 23), ("tcp", 445), ("udp", 53), ("udp", 5060)))
        verdict, icmp = "unanswered", None
        if draw.random() < 0.03:
            verdict, icmp = ("refused", None) if protocol == "tcp" else (
                "icmp_error", (3, 3, target)
            )  # fmt: skip
        logs.flow(at, source, target, port, protocol=protocol, verdict=verdict, icmp=icmp)
