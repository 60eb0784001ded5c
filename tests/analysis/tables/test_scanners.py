"""Table 7 on logs of which everything is known."""

from __future__ import annotations

import random

import pytest

from chamaleonet.analysis.table import Options
from chamaleonet.analysis.tables import compute
from chamaleonet.analysis.tables.scanners import clients
from tests.analysis import synthetic
from tests.analysis.synthetic import addresses


def _value(logs):
    return compute("scanners", logs, Options()).value


def _shuffled(servers):
    return random.Random(1).sample(servers, len(servers))


def _found(opened, servers, **scan):
    written = synthetic.Logs()
    synthetic.scan(written, servers=servers, **scan)
    return {row["client"]: row for row in _value(opened(written))["list"]}


@pytest.mark.parametrize(
    ("prefix", "client"), [("10.1.0.0/16", "203.0.113.9"), ("fd00:1::/64", "2001:db8::9")]
)
@pytest.mark.parametrize(
    ("order", "name"), [(iter, "ascending"), (reversed, "descending")], ids=str
)
def test_one_address_after_the_other(opened, prefix, client, order, name):
    """Addresses are ordered by number, not as text: .9 comes before .10, ::f before ::10."""
    found = _found(opened, addresses(60, prefix), client=client, order=order)
    assert found[client]["order"] == name
    assert found[client]["longest_run"] == found[client]["servers"] == 60


def test_fifty_servers_are_not_more_than_fifty(opened):
    assert not _found(opened, addresses(50))
    assert _found(opened, addresses(51))


def test_a_run_of_45(opened):
    """The others come before, each out of order: higher than any of the run, and falling."""
    for run, found in ((44, False), (45, True)):
        servers = addresses(110)
        others = [servers[109], *(server for pair in zip(servers[60:66], servers[80:86],
                  strict=True) for server in pair)]  # fmt: skip
        assert bool(_found(opened, [*others, *servers[:run]])) == found


def test_any_order_is_no_scanner(opened):
    written = synthetic.Logs()
    synthetic.scan(written, servers=addresses(2000), order=_shuffled)
    value = _value(opened(written))
    assert value["list"] == []
    assert value["fan_out"][0]["servers"] == 2000


def test_repeated_contacts_do_not_break_a_run(opened):
    written = synthetic.Logs()
    for n, server in enumerate(addresses(60)):
        for at, port in ((n, 22), (n + 0.1, 23), (n + 10, 22)):
            written.flow(at, "203.0.113.9", server, port)
    (row,) = _value(opened(written))["list"]
    assert (row["longest_run"], row["services"], row["flows"]) == (60, 2, 180)


def test_a_scan_over_many_ports(opened):
    written = synthetic.Logs()
    for n, server in enumerate(addresses(60)):
        written.flow(n, "203.0.113.9", server, 1000 + n)
    assert [row["longest_run"] for row in _value(opened(written))["list"]] == [60]


def test_a_worm_is_found_in_what_else_its_host_does(opened):
    written = synthetic.Logs()
    synthetic.scan(written, "10.7.0.1", addresses(100), 445, spacing=1)
    for n, server in enumerate(_shuffled(addresses(100, "198.51.100.0/24"))):
        written.flow(n + 0.5, "10.7.0.1", server, 443)
    assert [row["client"] for row in _value(opened(written))["list"]] == ["10.7.0.1"]


def test_shares_and_failure_ratio(opened):
    written = synthetic.Logs()
    synthetic.scan(written, "10.7.0.1", addresses(60, "198.51.100.0/24"))
    synthetic.scan(written, "203.0.113.9", addresses(100))
    written.flow(1, "10.7.0.1", "198.51.100.1", 80, verdict="recovered")
    written.flow(1, "10.1.0.1", "198.51.100.1", 80)
    written.healthy(0, "10.7.0.1", flows=179)
    written.healthy(0, "10.7.0.1", flows=1000, direction="inbound")
    value = _value(opened(written))
    assert (value["scanners"], value["scanner_flows"]) == (2, 160)
    assert value["scanner_share"] == pytest.approx(160 / 161)
    assert [(row["client"], row["failure_ratio"]) for row in value["fan_out"]] == [
        ("203.0.113.9", None), ("10.7.0.1", 60 / 240),
    ]  # fmt: skip
    assert value["fan_out"][1]["begin"] == "2026-11-23T00:00:00Z"


def test_scanners_can_be_set_apart(opened):
    written = synthetic.Logs()
    synthetic.background(written, hours=2)
    before = compute("verdicts", opened(written), Options())
    synthetic.scan(written)
    logs = opened(written)
    assert clients(logs) == ["203.0.113.9"]
    assert compute("verdicts", logs, Options()) != before
    assert compute("verdicts", logs.without(clients(logs)), Options()) == before


def test_nothing_in_a_healthy_log(opened):
    written = synthetic.Logs()
    synthetic.background(written)
    value = _value(opened(written))
    assert (value["scanners"], value["list"]) == (0, [])
