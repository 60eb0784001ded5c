"""Monitoring of what is not there."""

from __future__ import annotations

import pytest

from tests.analysis import synthetic
from tests.analysis.synthetic import Logs

KIND = "misaddressed_monitoring"


@pytest.mark.parametrize(
    ("protocol", "port"), [("icmp", None), ("udp", 161), ("tcp", 10050), ("tcp", 6514)]
)
def test_probes(find_one, day, protocol, port):
    synthetic.monitoring(day, protocol=protocol, port=port, period=300, times=280, attempts=3)
    found = find_one(KIND, day)
    assert found.hosts == ["10.1.0.99"]
    assert found.flows == 280
    assert found.evidence[0]["period"] == pytest.approx(300)
    assert found.confidence > 0.9


def test_one_ping_that_never_ends(find_one, day):
    day.flow(0, "10.1.0.99", "198.18.9.99", protocol="icmp", attempts=80_000)
    assert find_one(KIND, day).evidence[0]["requests"] == 80_000


def test_all_that_a_monitor_watches_in_vain_is_one_finding(find_one, day):
    for n in range(10):
        synthetic.monitoring(day, server=f"198.18.9.{n}", begin=n, period=600, times=140)
    found = find_one(KIND, day)
    assert found.flows == 1400
    assert found.hosts == ["10.1.0.99"]


def test_a_minute_in_version_6(find_one):
    logs = Logs()
    synthetic.monitoring(logs, "fd00:1::9", "2001:db8::99", protocol="icmpv6", period=5, times=12)
    assert find_one(KIND, logs).hosts == ["fd00:1::9"]


def test_syslog_that_nobody_hears_is_doubtful(find_one, day):
    synthetic.monitoring(day, protocol="udp", port=514, period=300, times=280)
    found = find_one(KIND, day)
    assert found.confidence <= 0.4
    assert "make sure" in found.cause


def test_syslog_that_a_host_rejects_is_not(find_one, day):
    synthetic.monitoring(day, protocol="udp", port=514, period=300, times=280, verdict="icmp_error")
    assert find_one(KIND, day).confidence > 0.9
