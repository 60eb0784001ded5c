"""A network in which about everything goes wrong: every table and every chart has something."""

from __future__ import annotations

import random

from tests.analysis.synthetic import (
    DAY,
    HOUR,
    Logs,
    addresses,
    background,
    outage,
    scan,
    stale_server,
)

_LATE = (3.4, 4.0, 8.0, 30.0, 70.0)  # seconds


def busy(*, days: int = 3, seed: int = 1) -> Logs:
    """Return logs of a busy, unhappy network: an IPv6 host too, and inside, outside and through."""
    draw = random.Random(seed)
    logs = Logs()
    background(logs, hours=24 * days, hosts=25, failures=0.05, seed=seed)
    stale_server(logs, times=1000, begin=60, jitter=0.3)
    stale_server(logs, "fd00::12", "2001:db8:5::9", 443, period=600, times=300, begin=60, jitter=1)
    scan(logs, begin=10 * HOUR)
    scan(logs, "10.1.0.9", addresses(150, "198.51.100.0/24"), 445, begin=20 * HOUR)
    outage(logs, begin=DAY + 10 * HOUR)
    for at in _times(draw, days, 600):
        source = f"192.0.{draw.randrange(90)}.7"
        logs.flow(at, source, f"10.1.0.{draw.randrange(1, 255)}", draw.choice((22, 23, 445)))
    for at in _times(draw, days, 100):
        server = f"198.51.100.{draw.randrange(1, 30)}"
        late = draw.choice(_LATE)
        logs.flow(at, _inside(draw), server, verdict="recovered", delay=late, attempts=3)
    for at in _times(draw, days, 150):
        logs.flow(at, _inside(draw), "198.51.100.4", draw.choice((80, 993)), verdict="refused")
    for at in _times(draw, days, 80):
        leaked = f"192.168.3.{draw.randrange(1, 30)}"
        logs.flow(at, _inside(draw), leaked, 161, protocol="udp", verdict="icmp_error")
        logs.flow(at, "203.0.113.5", _inside(draw), 49152, verdict="unsolicited")
        logs.flow(at, "192.0.2.99", "198.51.100.7", 25)
    for number, host in enumerate(addresses(15, "10.2.0.0/24")):
        for _ in range(10):
            appeared = DAY + 9 * HOUR + number * 900
            logs.flow(appeared + draw.expovariate(1 / 50), host, "10.9.0.1", 445)
    for minute in range(0, days * 24 * 60, 7):
        logs.healthy(minute * 60, "10.1.0.80", direction="inbound", flows=draw.randrange(1, 9))
        logs.healthy(minute * 60, "10.1.0.4", 22, direction="internal", delay=0.001)
    return logs


def _times(draw: random.Random, days: int, number: int) -> list[float]:
    return [draw.uniform(0, days * DAY) for _ in range(number)]


def _inside(draw: random.Random) -> str:
    return f"10.1.0.{draw.randrange(1, 26)}"
