"""OpenFlow over TLS, with Open vSwitch's own implementation of it."""

import pytest

from mininet_tests.harness import Controller, Network, run
from mininet_tests.test_ryu import PYTHON
from tests.certificates import make_authority, make_certificate, needs_openssl

pytestmark = needs_openssl


@pytest.fixture(params=["os_ken", "ryu"])
def lab(request, tmp_path):
    """A network and a controller that knows its switch by the name "s1", and the authority."""
    if request.param == "ryu" and not PYTHON.exists():
        pytest.skip("needs Ryu (docs/ryu.md)")
    authority = make_authority(tmp_path, "ca")
    own = make_certificate(tmp_path, "controller", authority)
    tls = f", tls: {{certificate: {own.certificate}, key: {own.key}, ca: {own.ca}}}"
    with Network("single") as network:
        controller = Controller(tmp_path, "pipeline: conntrack, certificate: s1", tls=tls)
        if request.param == "ryu":
            controller.command[0] = str(PYTHON)
            controller.environment = {"CHAMALEONET_FRAMEWORK": "ryu"}
        try:
            yield network, controller, authority
        finally:
            controller.kill()
            run("ovs-vsctl", "del-ssl")


def present(files, ca):
    """Have the switch show a certificate; it checks the controller's by the authority."""
    run("ovs-vsctl", "set-ssl", str(files.key), str(files.certificate), str(ca[0]))


def test_a_switch_is_let_in_by_its_certificate_alone(lab, tmp_path):
    network, controller, ca = lab
    good = make_certificate(tmp_path, "s1", ca)
    present(good, ca)
    controller.start()
    assert "table=1" in network.rules()
    assert controller.total("switch_connected") == 1

    def errors(cause):
        return controller.total("openflow_errors_total", cause=cause)

    other = make_authority(tmp_path, "other")
    for files, cause in (
        (make_certificate(tmp_path, "stranger", other), "tls"),
        (make_certificate(tmp_path, "s2", ca), "certificate"),
    ):
        present(files, ca)
        reconnect(controller)
        controller.wait_for(lambda cause=cause: errors(cause) > 0, 20)
        assert controller.total("switch_connected") == 0
    present(good, ca)  # and again, which Ryu's own TLS could not
    reconnect(controller)
    controller.wait_for(lambda: controller.total("switch_connected") == 1, 20)


def reconnect(controller):
    run("ovs-vsctl", "del-controller", "s1")
    controller.wait_for(lambda: controller.total("switch_connected") == 0)
    run("ovs-vsctl", "set-controller", "s1", f"ssl:127.0.0.1:{controller.openflow}")
    run("ovs-vsctl", "set", "controller", "s1", "max_backoff=1000")
