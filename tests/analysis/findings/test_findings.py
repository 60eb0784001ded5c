"""All rules together: what they find, what they leave alone, and what is suppressed."""

from __future__ import annotations

import json
import random
from datetime import date
from ipaddress import ip_network

import pytest

from chamaleonet.analysis import findings
from chamaleonet.analysis.findings import RULES
from chamaleonet.analysis.findings.finding import EVIDENCE_COLUMNS
from chamaleonet.analysis.indicators import Indicator
from chamaleonet.analysis.suppressions import Suppression
from chamaleonet.analysis.table import Options
from chamaleonet.analysis.tables import compute
from tests.analysis import synthetic
from tests.analysis.synthetic import DAY, HOUR, Logs

LISTED = (Indicator(ip_network("203.0.113.66/32"), "listed.txt:1"),)


def plant_all(logs: Logs) -> None:
    """Plant each cause once, between hosts of its own."""
    synthetic.stale_server(logs, period=300, times=280)
    synthetic.dead_resolver(logs, ["10.1.0.5", "10.1.0.6"], queries=100, spacing=600)
    synthetic.dead_peer(logs, ["10.1.0.7"])
    synthetic.beacon(logs, begin=3 * HOUR)
    synthetic.reflection(logs, begin=4 * HOUR)
    synthetic.accelerator(logs, begin=5 * HOUR)
    synthetic.scan(logs, "10.1.0.33", synthetic.addresses(254, "10.50.0.0/24"), begin=6 * HOUR)
    synthetic.parallel_ports(logs)
    synthetic.outage(logs, begin=10 * HOUR)
    synthetic.monitoring(logs, period=300, times=280)
    synthetic.slow_server(logs)
    synthetic.server_outage(logs, begin=12 * HOUR)


@pytest.fixture
def planted() -> Logs:
    """All causes and nothing else."""
    logs = Logs()
    plant_all(logs)
    return logs


EXPECTED = {
    "stale_server": (["10.1.0.3"], 280),
    "dns_dead_resolver": (["10.1.0.5", "10.1.0.6"], 200),
    "ntp_dead_peer": (["10.1.0.7"], 80),
    "listed_contact": (["10.1.0.66"], 30),
    "port_unreachable_reflection": (sorted(synthetic.addresses(200, "10.4.0.0/16")), 200),
    "dns_accelerator": (["10.1.0.77"], 40),
    "internal_scanner": (["10.1.0.33"], 254),
    "parallel_ports": (["10.1.0.9"], 40),
    "outage": (sorted(synthetic.addresses(20)), 800),
    "misaddressed_monitoring": (["10.1.0.99"], 280),
    "slow_server": (["10.9.0.60"], 60),
    "server_outage": (["10.9.0.70"], 60),
}


@pytest.mark.parametrize("noise", [False, True])
def test_all_are_found_together(find, planted, noise):
    if noise:
        synthetic.background(planted)
        synthetic.radiation(planted, flows=200)
    found = find(planted, indicators=LISTED)
    assert {each.kind: (each.hosts, each.flows) for each in found.findings} == EXPECTED
    assert len(found.findings) == len(RULES)
    assert all(0.5 < each.confidence <= 1 for each in found.findings)
    assert sum(each.share for each in found.findings) == pytest.approx(found.explained)
    if noise:
        assert found.radiation > 4000
    else:
        assert found.explained == 1
        assert found.radiation == 0


def test_the_machines_to_mend_first(find, planted):
    machines = find(planted, indicators=LISTED).machines
    assert machines[0]["flows"] == 280
    assert len(machines) == 20
    by_host = {row["host"]: row for row in machines}
    assert by_host["10.1.0.99"]["kinds"] == ["misaddressed_monitoring"]
    assert by_host["10.1.0.33"]["share"] == pytest.approx(254 / 2224, rel=0.01)


def test_as_json(find, planted):
    keys = {"kind", "confidence", "flows", "share", "hosts", "evidence", "cause", "fix"}
    for each in find(planted, indicators=LISTED).findings:
        document = json.loads(json.dumps(each.as_dict(), allow_nan=False))
        assert set(document) == keys
        assert document["evidence"]
        assert all(list(row) == list(EVIDENCE_COLUMNS) for row in document["evidence"])


def test_engines_agree(opened, planted, spark):
    logs = opened(planted)
    chosen = Options(indicators=LISTED)
    tables = {name: compute(name, logs, chosen).value for name in ("scanners", "simultaneous")}
    by_duckdb, by_spark = (
        findings.find(log, chosen, tables) for log in (logs, opened(planted, engine="spark"))
    )
    assert by_spark == by_duckdb


def test_nothing_is_found_in_health(find, day):
    synthetic.radiation(day)
    found = find(day, indicators=LISTED)
    assert (found.findings, found.explained, found.machines) == ([], 0, [])


def test_nor_in_an_empty_log(find):
    logs = Logs()
    logs.healthy(0, "10.1.0.1")
    found = find(logs)
    assert (found.findings, found.explained, found.erroneous) == ([], None, 0)


def people_have_no_period(logs, draw):
    for _ in range(100):
        logs.flow(draw.uniform(0, DAY), "10.2.0.1", "10.9.0.1", 8080)


def servers_that_answer_half_of_the_time(logs, draw):
    for n in range(200):
        if draw.random() < 0.5:
            logs.flow(n * 400, "10.2.0.2", "10.9.0.2", 8080)


def late_answers(logs, draw):
    for n in range(215):
        verdict = "recovered" if n % 20 == 19 else "unanswered"
        logs.flow(n * 400, "10.2.0.3", "10.9.0.3", 8080, verdict=verdict)


def a_server_that_came_back(logs, draw):
    for n in range(0, DAY, 10):
        if 40_000 <= n < 41_000:
            logs.flow(n, "10.2.0.4", "10.9.0.4", 8080)
        else:
            logs.healthy(n, "10.2.0.4", 8080, direction="internal")


def waiting_for_a_server(logs, draw):
    synthetic.stale_server(logs, "10.2.0.5", "10.9.0.5", period=5, times=30, begin=HOUR)


def a_private_resolver_inside(logs, draw):
    for n in range(8):
        logs.flow(n * HOUR, "10.2.0.6", "10.0.0.53", 53, protocol="udp")


def a_resolver_that_loses_some(logs, draw):
    for client in synthetic.addresses(20, "10.2.1.0/24"):
        for _ in range(60):
            logs.healthy(draw.uniform(0, DAY), client, 53, protocol="udp", flows=30)
            if draw.random() < 0.5:
                logs.flow(draw.uniform(0, DAY), client, "10.0.0.54", 53, protocol="udp")


def a_recursive_resolver(logs, draw):
    for n in range(40):
        for _ in range(20):
            logs.flow(draw.uniform(0, DAY), "10.0.0.55", f"198.18.{n}.53", 53, protocol="udp")
    for minute in range(DAY // 60):
        logs.healthy(minute * 60, "10.0.0.55", 53, protocol="udp", flows=10)


def a_resolver_that_was_down_for_minutes(logs, draw):
    for n in range(0, DAY, 10):
        if 50_000 <= n < 50_600:
            logs.flow(n, "10.2.0.7", "10.0.0.56", 53, protocol="udp")
        else:
            logs.healthy(n, "10.2.0.7", 53, protocol="udp", direction="internal")


def a_peer_that_loses_some(logs, draw):
    for n in range(0, DAY, 64):
        if draw.random() < 0.03:
            logs.flow(n, "10.2.0.8", "198.18.9.123", 123, protocol="udp")
        else:
            logs.healthy(n, "10.2.0.8", 123, protocol="udp")


def a_collector_in_use(logs, draw):
    for n, client in enumerate(synthetic.addresses(10, "10.2.2.0/24")):
        synthetic.monitoring(
            logs, client, "10.0.0.9", 514, protocol="udp", period=300, times=280, begin=n
        )


def a_ping_by_hand(logs, draw):
    logs.flow(HOUR, "10.2.0.9", "198.18.9.98", protocol="icmp", attempts=25)


def a_watched_host_that_reboots(logs, draw):
    synthetic.monitoring(logs, "10.2.0.10", begin=HOUR, period=60, times=20)


def what_is_watched_from_outside(logs, draw):
    synthetic.monitoring(logs, "203.0.113.5", "10.2.0.11", period=300, times=280)


def a_peer_to_peer_program(logs, draw):
    for _ in range(600):
        peer = f"198.{draw.randrange(256)}.{draw.randrange(256)}.{draw.randrange(1, 255)}"
        port = 6881 if draw.random() < 0.2 else draw.randrange(1024, 65536)
        logs.flow(draw.uniform(0, DAY), "10.2.0.12", peer, port, protocol="udp")


def a_mail_server(logs, draw):
    for n in range(DAY // 60):
        logs.healthy(n * 60, "10.2.0.13", 25)
        if draw.random() < 0.1:
            logs.flow(n * 60, "10.2.0.13", f"198.20.{draw.randrange(256)}.25", 25, attempts=4)


def a_trace_of_the_route(logs, draw):
    for n in range(90):
        logs.flow(HOUR + n, "10.2.0.14", "198.18.9.97", 33434 + n, protocol="udp",
                  verdict="icmp_error", icmp=(11, 0, "192.0.2.254"))  # fmt: skip


def a_scan_from_outside(logs, draw):
    targets = synthetic.addresses(254, "10.60.0.0/24")
    synthetic.scan(logs, "203.0.113.200", targets, begin=2 * HOUR)


def a_few_hosts_that_answer_a_scan(logs, draw):
    synthetic.reflection(logs, "203.0.113.201", hosts=15, source_port=40_000, prefix="10.61.0.0/24")


def an_attack_by_resolvers(logs, draw):
    """Nobody asked them: the questions were forged, and their answers come to one host."""
    for n in range(300):
        logs.flow(3 * HOUR + n * 0.1, f"198.30.{n // 250}.{n % 250}", "10.2.0.15", 40_000 + n,
                  protocol="udp", verdict="icmp_error", icmp=(3, 3, "10.2.0.15"),
                  client_port=53)  # fmt: skip


def streams_and_broadcasts(logs, draw):
    logs.flow(0, "10.2.0.17", "10.9.0.17", 5004, protocol="udp", attempts=400_000, spacing=0.02)
    for n in range(280):
        logs.flow(n * 300, "10.2.0.18", "10.2.0.255", 137, protocol="udp")
        logs.flow(n * 300, "10.2.0.1", "10.2.0.18", 68, protocol="udp")


def a_client_that_lost_its_link(logs, draw):
    for n in range(100):
        logs.flow(12 * HOUR + n, "10.2.0.16", f"198.18.7.{n % 10}", 443)


def refused_connections_here_and_there(logs, draw):
    for client in synthetic.addresses(30, "10.2.3.0/24"):
        for port in (80, 443, 139, 993):
            logs.flow(draw.uniform(0, DAY), client, "10.9.0.30", port, verdict="refused")


@pytest.mark.parametrize(
    "innocent",
    [
        (
            people_have_no_period, servers_that_answer_half_of_the_time, late_answers,
            waiting_for_a_server,
        ),
        (
            a_private_resolver_inside, a_resolver_that_loses_some, a_recursive_resolver,
            a_peer_that_loses_some,
        ),
        (
            a_collector_in_use, a_ping_by_hand, a_watched_host_that_reboots,
            what_is_watched_from_outside, streams_and_broadcasts,
        ),
        (
            a_peer_to_peer_program, a_mail_server, a_trace_of_the_route, a_scan_from_outside,
            a_few_hosts_that_answer_a_scan, an_attack_by_resolvers, a_client_that_lost_its_link,
            refused_connections_here_and_there,
        ),
    ],
    ids=["servers", "names and clocks", "monitoring", "scans and errors"],
)  # fmt: skip
def test_what_is_no_finding(find, day, innocent):
    for plant in innocent:
        plant(day, random.Random(1))
    assert [(each.kind, each.cause) for each in find(day).findings] == []


@pytest.mark.parametrize("planted", [a_server_that_came_back, a_resolver_that_was_down_for_minutes])
def test_what_came_back_was_down_and_is_not_gone(find, day, planted):
    planted(day, random.Random(1))
    assert [each.kind for each in find(day).findings] == ["server_outage"]


def test_a_finding_is_suppressed_until_its_last_day(find, planted):
    suppression = Suppression(
        kind="stale_server", server="10.9.0.1", until=date(2026, 12, 24), reason="moves soon"
    )
    found = find(planted, suppressions=(suppression,), today=date(2026, 12, 24))
    assert "stale_server" not in {each.kind for each in found.findings}
    (hidden,) = found.suppressed
    assert (hidden.finding.kind, hidden.finding.flows) == ("stale_server", 280)
    assert hidden.suppression is suppression
    assert found.suppressed_share == hidden.finding.share
    assert found.expired == []
    assert "10.1.0.3" not in {row["host"] for row in found.machines}

    found = find(planted, suppressions=(suppression,), today=date(2026, 12, 25))
    assert "stale_server" in {each.kind for each in found.findings}
    assert (found.suppressed, found.expired) == ([], [suppression])


def test_part_of_a_finding_is_suppressed(find, planted):
    suppression = Suppression(host="10.1.0.5", until=date(2027, 1, 1), reason="a guest")
    found = find(planted, suppressions=(suppression,), today=date(2026, 12, 1))
    resolvers = next(each for each in found.findings if each.kind == "dns_dead_resolver")
    assert (resolvers.hosts, resolvers.flows) == (["10.1.0.6"], 100)
    assert [each.finding.hosts for each in found.suppressed] == [["10.1.0.5"]]
