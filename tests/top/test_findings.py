"""Likely causes, of the erroneous flows that are known at the moment."""

import pytest

from chamaleonet.flows.records import Direction
from chamaleonet.flows.transitions import State
from chamaleonet.top import findings as live
from chamaleonet.top.findings import findings
from tests.log.build import SECOND, START, flow, words
from tests.top.build import recovered, tcp, told, verdict


def found(*flows):
    """Return (kind, subject, detail, number of flows) of each finding."""
    model = told(*map(verdict, flows))
    return [(*each[:3], len(each.flows)) for each in findings(model.flows.values())]


def polls(count, *, every=2.0, jitter=(0.0,), client="10.0.0.1", server="192.0.2.9", port=8080):
    """Return flows that begin one after the other."""
    begins = [START + int((n * every + jitter[n % len(jitter)]) * SECOND) for n in range(count)]
    return [
        tcp(4000 + n, client, server, port, first=at, last=at, judged=at + SECOND)
        for n, at in enumerate(begins)
    ]


def test_a_server_that_is_polled_at_a_constant_period_is_stale():
    assert found(*polls(10)) == [
        ("stale_server", "192.0.2.9 tcp/8080", "10.0.0.1, 10 attempts, every 2 s", 10)
    ]


def test_its_clients_are_counted():
    flows = [*polls(10), *polls(10, client="10.0.0.2"), *polls(3, client="10.0.0.3")]
    assert found(*flows) == [
        ("stale_server", "192.0.2.9 tcp/8080", "2 clients, 20 attempts, every 2 s", 20)
    ]


def test_without_a_rhythm_there_is_none():
    assert found(*polls(9)) == []
    assert found(*polls(20, jitter=(0.0, 1.5, 0.7, 0.2, 1.1))) == []


def test_several_tries_of_one_poll_are_one():
    begins = [START + n * 10 * SECOND for n in range(10)]
    again = [tcp(9000 + n, port=8080, first=at + SECOND // 2) for n, at in enumerate(begins)]
    assert found(*polls(10, every=10), *again)[0][2] == "10.0.0.1, 20 attempts, every 10 s"


def test_an_answered_flow_is_no_evidence():
    assert found(*polls(9), recovered(1, port=8080)) == []


def test_a_resolver_that_never_answers():
    query = flow("udp", "10.0.0.1", "192.0.2.53", 5353, 53, attempts=25, last=START + 30 * SECOND)
    [(kind, subject, detail, flows)] = found(query)
    assert (kind, subject, flows) == ("dns_dead_resolver", "192.0.2.53 udp/53", 1)
    assert detail.startswith("10.0.0.1, 25 attempts, every 1.25 s")


def test_a_peer_that_never_answers():
    asked = flow("udp", "10.0.0.1", "192.0.2.1", 123, 123, attempts=5, last=START + 256 * SECOND)
    assert found(asked) == [("ntp_dead_peer", "192.0.2.1 udp/123", "10.0.0.1, 5 attempts", 1)]
    assert found(flow("udp", "10.0.0.1", "192.0.2.1", 123, 123, attempts=4)) == []


def test_monitoring_of_nothing_but_not_a_ping_by_hand():
    ping = {"last": START + 29 * SECOND}
    assert found(flow("icmp", "10.0.0.1", "192.0.2.7", 1, 1, query=1, attempts=29, **ping)) == []
    [(kind, subject, *_)] = found(
        flow("icmp", "10.0.0.1", "192.0.2.7", 1, 1, query=1, attempts=30, **ping)
    )
    assert (kind, subject) == ("misaddressed_monitoring", "192.0.2.7 icmp")


def test_a_sweep_explains_its_flows_alone():
    flows = [tcp(n, server=f"192.0.2.{n}", first=START + n * SECOND) for n in range(1, 52)]
    assert found(*flows) == [("internal_scanner", "10.0.0.1", "51 servers, tcp/443", 51)]
    assert found(*flows[:50]) == []


def test_many_ports_of_one_server():
    flows = [tcp(4000, port=1000 + n, first=START + n * SECOND) for n in range(31)]
    assert found(*flows) == [("internal_scanner", "10.0.0.1", "31 ports of 192.0.2.9", 31)]
    assert found(*[tcp(4000, port=2000 + n, first=START + n * SECOND) for n in range(31)]) == []


def test_hosts_that_answer_one_address_port_unreachable():
    flows = []
    for n in range(1, 21):
        record = flow("udp", "198.51.100.1", f"10.0.0.{n}", 123, 4000, state=State.ICMP_ERROR)
        record["direction"], record["icmp_type"], record["icmp_code"] = Direction.INBOUND, 3, 3
        record["sender_hi"], record["sender_lo"] = words(f"10.0.0.{n}")
        flows.append(record)
    assert found(*flows) == [
        ("port_unreachable_reflection", "198.51.100.1", "20 hosts answer it port unreachable", 20)
    ]
    assert found(*flows[1:]) == []


def test_radiation_from_outside_is_nobodys_fault_inside():
    flows = polls(20, client="198.51.100.1", server="10.0.0.9")
    for record in flows:
        record["direction"] = Direction.INBOUND
    assert found(*flows) == []


def test_the_thresholds_and_names_are_the_reports():
    pytest.importorskip("ibis")
    from chamaleonet.analysis.findings import (
        RULES,
        dead,
        internal_scanner,
        misaddressed_monitoring,
        ntp_dead_peer,
        port_unreachable_reflection,
        rhythm,
    )
    from chamaleonet.analysis.findings.dns_dead_resolver import SECONDS, SERVICES
    from chamaleonet.analysis.tables.scanners import FEW_SERVERS

    assert (live.POLLS, live.TOLERANCE, live.REGULAR, live.BURST) == (
        rhythm.POLLS, rhythm.TOLERANCE, rhythm.REGULAR, rhythm._BURST,
    )  # fmt: skip
    assert (live.STEADY, live.SERVERS, live.SPAN) == (dead.STEADY, FEW_SERVERS, SECONDS)
    assert (live.PORTS, live.WELL_KNOWN, live.SECONDS_EACH, live.FOCUS) == (
        internal_scanner.PORTS, internal_scanner.WELL_KNOWN, internal_scanner.SECONDS_EACH,
        internal_scanner.FOCUS,
    )  # fmt: skip
    assert live.HOSTS == port_unreachable_reflection.HOSTS
    assert (live.REQUESTS, live.NTP) == (ntp_dead_peer.IN_A_ROW, ntp_dead_peer.SERVICES)
    assert (live.DNS, live.BY_HAND) == (SERVICES, misaddressed_monitoring.BY_HAND)
    assert live.MONITORING == misaddressed_monitoring.SERVICES
    names = [rule.kind for rule in RULES]
    told = [
        "internal_scanner", "port_unreachable_reflection", "dns_dead_resolver", "ntp_dead_peer",
        "misaddressed_monitoring", "stale_server",
    ]  # fmt: skip
    assert [name for name in names if name in told] == told
