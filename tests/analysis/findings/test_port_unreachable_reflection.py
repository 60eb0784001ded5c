"""Many hosts that send port unreachable to one address."""

from __future__ import annotations

import pytest

from tests.analysis import synthetic
from tests.analysis.synthetic import Logs

KIND = "port_unreachable_reflection"


@pytest.mark.parametrize(
    ("source", "prefix"), [("203.0.113.53", "10.4.0.0/16"), ("2001:db8::53", "fd00:4::/64")]
)
def test_a_forged_source(find_one, source, prefix):
    logs = Logs()
    synthetic.reflection(logs, source, prefix=prefix, each=3)
    found = find_one(KIND, logs)
    assert sorted(found.hosts) == sorted(synthetic.addresses(200, prefix))
    assert found.flows == found.erroneous == 600
    assert f"{source} the victim" in found.cause
    assert found.confidence > 0.9
    row = found.evidence[0]
    assert (row["client"], row["protocol"], row["server_port"]) == (source, "udp", 500)


def test_a_client_port_may_be_a_scanners(find_one):
    logs = Logs()
    synthetic.reflection(logs, source_port=40_000)
    found = find_one(KIND, logs)
    assert "scans" in found.cause
    assert found.confidence < 0.9


def test_what_routers_say_is_not_counted(find_one):
    logs = Logs()
    for n, host in enumerate(synthetic.addresses(100)):
        logs.flow(n, "203.0.113.53", host, 500, protocol="udp", verdict="icmp_error",
                  icmp=(3, 3, "192.0.2.254"))  # fmt: skip
        logs.flow(n, "203.0.113.53", host, 501, protocol="udp", verdict="icmp_error",
                  icmp=(3, 1, host))  # fmt: skip
    assert find_one(KIND, logs) is None
