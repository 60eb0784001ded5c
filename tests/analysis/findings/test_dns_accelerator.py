"""DNS accelerators."""

from __future__ import annotations

from tests.analysis import synthetic
from tests.analysis.synthetic import Logs

KIND = "dns_accelerator"


def test_answers_to_closed_sockets(find_one):
    logs = Logs()
    synthetic.accelerator(logs)
    synthetic.accelerator(logs, "10.1.0.78")
    found = find_one(KIND, logs)
    assert found.hosts == ["10.1.0.77", "10.1.0.78"]
    assert found.flows == found.erroneous == 80
    assert "203.0.113.2 and 203.0.113.3" in found.cause


def test_late_answers_to_queries_at_once(find_one):
    logs = Logs()
    for n in range(10):
        for resolver in ("2001:db8::1", "2001:db8::2"):
            logs.flow(n * 30, "fd00:1::77", resolver, 53, protocol="udp", verdict="recovered",
                      client_port=50_000 + n)  # fmt: skip
    found = find_one(KIND, logs)
    assert found.hosts == ["fd00:1::77"]
    assert (found.flows, found.erroneous) == (20, 0)


def test_one_resolver_after_the_other_is_none(find_one):
    logs = Logs()
    for n in range(20):
        for m, resolver in enumerate(("203.0.113.1", "203.0.113.2")):
            logs.flow(n * 30 + m * 5, "10.1.0.77", resolver, 53, protocol="udp",
                      verdict="recovered", client_port=50_000 + n)  # fmt: skip
    assert find_one(KIND, logs) is None


def test_queries_at_once_where_all_are_logged(find_one):
    logs = Logs()
    for n in range(20):
        for resolver in ("203.0.113.1", "203.0.113.2"):
            logs.flow(n * 30, "10.1.0.77", resolver, 53, protocol="udp", verdict="answered",
                      client_port=50_000 + n)  # fmt: skip
    found = find_one(KIND, logs)
    assert (found.hosts, found.flows, found.erroneous) == (["10.1.0.77"], 40, 0)
    assert found.confidence <= 0.5  # nobody knows that an answer came too late


def test_one_resolver_alone_is_none(find_one):
    logs = Logs()
    synthetic.accelerator(logs, resolvers=("203.0.113.1", "203.0.113.2"), questions=40)
    assert find_one(KIND, logs) is None
