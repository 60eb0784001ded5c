"""Services tried beside each other."""

from __future__ import annotations

from tests.analysis import synthetic
from tests.analysis.synthetic import Logs

KIND = "parallel_ports"


def test_netbios_beside_smb(find_one, day):
    synthetic.parallel_ports(day)
    synthetic.parallel_ports(day, "10.1.0.10", times=5)
    found = find_one(KIND, day)
    assert found.hosts == ["10.1.0.9", "10.1.0.10"]
    assert (found.flows, found.erroneous) == (50, 0)
    assert "tcp/139 failed while tcp/445 answered" in found.cause
    assert "NetBIOS" in found.fix


def test_quic_beside_tls(find_one, day):
    for n in range(50):
        day.flow(n * 500, "10.1.0.3", f"198.51.100.{n}", 443, protocol="udp")
        day.healthy(n * 500, "10.1.0.3", 443)
    found = find_one(KIND, day)
    assert (found.hosts, found.flows, found.erroneous) == (["10.1.0.3"], 50, 50)
    assert "QUIC" in found.fix


def test_any_ports_where_answers_are_logged(find_one):
    logs = Logs()
    for n in range(12):
        logs.flow(n * 5, "fd00:1::9", "2001:db8::9", 5228, verdict="refused")
        logs.flow(n * 5 + 0.1, "fd00:1::9", "2001:db8::9", 5229, verdict="answered")
    found = find_one(KIND, logs)
    assert (found.hosts, found.flows) == (["fd00:1::9"], 12)
    assert "tcp/5228 failed while tcp/5229 answered" in found.cause


def test_one_after_the_other_is_none(find_one):
    logs = Logs()
    for n in range(12):
        logs.flow(n * 60, "10.1.0.9", "10.9.0.9", 8000, verdict="refused")
        logs.flow(n * 60 + 20, "10.1.0.9", "10.9.0.9", 8001, verdict="answered")
    assert find_one(KIND, logs) is None


def test_a_service_that_mostly_answers_is_none(find_one, day):
    for n in range(50):
        day.flow(n * 500, "10.1.0.3", f"198.51.100.{n}", 443, protocol="udp")
        day.healthy(n * 500, "10.1.0.3", 443, flows=20)
        day.healthy(n * 500, "10.1.0.3", 443, protocol="udp", flows=20)
    assert find_one(KIND, day) is None


def test_others_must_answer_at_the_time(find_one, day):
    for n in range(20):
        day.flow(n * 600, "10.1.0.9", "10.9.0.9", 139, verdict="refused")
        day.healthy(n * 600 + 300, "10.1.0.9", 445)
    assert find_one(KIND, day) is None
