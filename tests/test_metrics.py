import re
import urllib.request
from collections import Counter as Counts

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.parser import text_string_to_metric_families

from chamaleonet import metrics
from chamaleonet.config import Endpoint
from chamaleonet.errors import UserError
from tests.test_controller import free_port

UNITS = {
    "seconds", "bytes", "total", "info", "packets", "flows", "rules", "records", "files",
    "connected", "master", "full", "ratio", "detectors", "prefixes", "shedding", "connections",
}  # fmt: skip


@pytest.fixture(params=[metrics.ControllerMetrics, metrics.LoggerMetrics])
def families(request):
    """All metrics of a process, as Prometheus reads them."""
    registry = metrics.new_registry("timeout: 3s\n")
    request.param(registry)
    endpoint = Endpoint("127.0.0.1", free_port())
    stop = metrics.serve(registry, endpoint)
    try:
        with urllib.request.urlopen(f"http://{endpoint}/metrics", timeout=10) as page:
            return list(text_string_to_metric_families(page.read().decode()))
    finally:
        stop()


def test_every_metric_is_named_and_described_as_it_should_be(families):
    own = [family for family in families if family.name.startswith("chamaleonet_")]
    assert len(own) > 5
    for family in own:
        assert family.documentation.endswith(".")
        name = family.name + ("_total" if family.type == "counter" else "")
        assert name.rpartition("_")[2] in UNITS, name


def test_no_label_could_name_a_host_or_a_port(families):
    labels = {label for family in families for sample in family.samples for label in sample.labels}
    assert not {
        label for label in labels if re.search("addr|host|port|client|server|src|dst", label)
    }


def test_the_process_the_build_and_the_configuration_are_told(families):
    samples = {sample.name: sample.labels for family in families for sample in family.samples}
    assert "process_resident_memory_bytes" in samples
    assert samples["chamaleonet_build_info"]["version"]
    assert re.fullmatch("[0-9a-f]{16}", samples["chamaleonet_config_info"]["sha256"])


def test_equal_configurations_have_equal_digests():
    def digest(text):
        registry = metrics.new_registry(text)
        (family,) = [each for each in registry.collect() if each.name == "chamaleonet_config"]
        return family.samples[0].labels

    assert digest("a") == digest("a") != digest("b")


def test_a_total_is_followed_and_never_falls():
    registry = CollectorRegistry()
    counter = Counter("seen", "Seen.", ["kind"], registry=registry)
    totals = metrics.Totals(counter)
    for count in (3, 3, 5, 2):
        totals.follow(Counts(one=count))
    assert registry.get_sample_value("seen_total", {"kind": "one"}) == 5


def test_an_update_comes_before_the_collection():
    registry = CollectorRegistry()
    metrics.BeforeScrape(registry, lambda: gauge.set(7))
    gauge = Gauge("level", "Level.", registry=registry)
    assert registry.get_sample_value("level") == 7


def test_an_address_in_use_is_the_users_error():
    registry = CollectorRegistry()
    endpoint = Endpoint("127.0.0.1", free_port())
    stop = metrics.serve(registry, endpoint)
    try:
        with pytest.raises(UserError, match=f"metrics: cannot listen on {endpoint}"):
            metrics.serve(registry, endpoint)
    finally:
        stop()
