"""Contact with listed addresses."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from chamaleonet.analysis.indicators import Indicator
from tests.analysis import synthetic
from tests.analysis.synthetic import BEGIN, HOUR, Logs

KIND = "listed_contact"


def listed(*networks: str, until: int | None = None) -> tuple[Indicator, ...]:
    return tuple(
        Indicator(ip_network(network), f"list.txt:{n}", until)
        for n, network in enumerate(networks, 1)
    )


@pytest.mark.parametrize(
    "network", ["203.0.113.66/32", "203.0.113.64/28", "203.0.112.0/22", "203.0.0.0/8"]
)
def test_a_beacon(find_one, network):
    logs = Logs()
    synthetic.beacon(logs)
    synthetic.beacon(logs, "10.1.0.67", "203.0.200.1" if network != "203.0.0.0/8" else "8.0.0.1")
    found = find_one(KIND, logs, indicators=listed("198.51.100.0/24", network))
    assert (found.hosts, found.flows) == (["10.1.0.66"], 30)
    assert found.evidence[0]["period"] == 5
    assert found.evidence[0]["detail"] == "listed: list.txt:2"
    assert found.confidence > 0.9


@pytest.mark.parametrize(
    "network", ["2001:db8:1::66/128", "2001:db8:1:0:8000::/65", "2001:db8::/46", "2001::/16"]
)
def test_a_beacon_in_version_6(find_one, network):
    logs = Logs()
    server = "2001:db8:1::8000:0:0:66" if "/65" in network else "2001:db8:1::66"
    synthetic.beacon(logs, "fd00:1::66", server)
    found = find_one(KIND, logs, indicators=listed(network))
    assert found.hosts == ["fd00:1::66"]


def test_the_smallest_network_is_named(find_one):
    logs = Logs()
    synthetic.beacon(logs)
    found = find_one(KIND, logs, indicators=listed("203.0.113.0/24", "203.0.113.66/32"))
    assert found.evidence[0]["detail"] == "listed: list.txt:2"


def test_once_is_doubtful(find_one):
    logs = Logs()
    logs.flow(0, "10.1.0.66", "203.0.113.66", verdict="recovered")
    found = find_one(KIND, logs, indicators=listed("203.0.113.66/32"))
    assert (found.flows, found.erroneous) == (1, 0)
    assert found.confidence < 0.7


def test_all_listed_addresses_of_a_host_are_one_finding(find_one):
    logs = Logs()
    for n in (66, 67, 68):
        synthetic.beacon(logs, server=f"203.0.113.{n}")
    found = find_one(KIND, logs, indicators=listed("203.0.113.0/24"))
    assert (found.hosts, found.flows) == (["10.1.0.66"], 90)


def test_answered_contacts_count_where_they_are_logged(find_one):
    logs = Logs()
    for n in range(10):
        logs.flow(n * 60, "10.1.0.66", "203.0.113.66", verdict="answered")
    assert find_one(KIND, logs, indicators=listed("203.0.113.66/32")).flows == 10


def test_no_finding(find_one):
    logs = Logs()
    synthetic.beacon(logs)
    # From there to us is radiation, not contact.
    logs.flow(0, "203.0.113.7", "10.1.0.1", 23)
    # Lists have the bogons, too.
    logs.flow(0, "10.1.0.1", "192.168.7.7", 80)
    logs.flow(0, "10.1.0.1", "10.1.0.2", 80)
    bogons = listed("203.0.113.7/32", "10.0.0.0/8", "192.168.0.0/16", "224.0.0.0/3")
    assert find_one(KIND, logs, indicators=bogons) is None
    assert find_one(KIND, logs) is None
    assert find_one(KIND, logs, indicators=listed("203.0.113.66/32", until=BEGIN - HOUR)) is None
