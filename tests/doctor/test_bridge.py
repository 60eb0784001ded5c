"""Open vSwitch, as healthy and in each way that it can be set up wrong."""

from pathlib import Path

import pytest

from chamaleonet.doctor.machine import Entry
from tests.doctor.recorded import (
    DENIED,
    NOT_INSTALLED,
    REACTIVE,
    STOPPED,
    Recorded,
    configured,
    exported,
    says,
)

VERSION = "ovs-vsctl --timeout=5 get open_vswitch . ovs_version"


@pytest.fixture
def machine():
    return Recorded()


@pytest.fixture
def bridge(machine):
    return machine.bridges[0]


def all_of(machine, answer):
    """Let every command of Open vSwitch answer the same."""
    machine.run = lambda *_: answer


def test_openvswitch(machine):
    assert says("openvswitch", machine) == ("ok", "Open vSwitch 3.1, running", "")
    machine.commands[VERSION] = '"2.5.0"\n'
    assert says("openvswitch", machine)[0] == "warn"
    machine.commands["ovs-appctl --timeout=5 version"] = STOPPED
    assert says("openvswitch", machine)[1:] == (
        "ovs-vswitchd does not answer", "service openvswitch-switch restart"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "verdict", "todo"),
    [
        (NOT_INSTALLED, "fail", "apt-get install openvswitch-switch"),
        (STOPPED, "fail", "service openvswitch-switch start"),
        (DENIED, "skipped", "run it with sudo"),
    ],
)
def test_openvswitch_that_cannot_be_asked(machine, answer, verdict, todo):
    all_of(machine, answer)
    assert says("openvswitch", machine)[::2] == (verdict, todo)
    assert says("openvswitch", machine, REACTIVE)[0] == "skipped"
    assert says("fail mode", machine)[0] == "skipped"  # and so all that depend on it


def test_bridge(machine, bridge):
    assert says("bridge", machine)[:2] == ("ok", "br0 has datapath id 00000000000000a1")
    bridge["datapath_id"] = "00000000000000b2"
    verdict, found, todo = says("bridge", machine)
    assert verdict == "fail"
    assert "there is: br0 00000000000000b2" in found
    assert "ovs-vsctl set bridge br0 other-config:datapath-id=00000000000000a1" in todo
    assert says("bridge", machine, REACTIVE)[0] == "skipped"  # it may be a switch elsewhere
    assert says("rules", machine)[0] == "skipped"
    machine.bridges = []
    assert "there is: none" in says("bridge", machine)[1]


def test_datapath(machine, bridge):
    assert says("datapath", machine)[:2] == ("ok", "in user space (netdev)")
    bridge["datapath_type"] = ""
    assert says("datapath", machine)[0] == "fail"
    machine.entries[Path("/sys/module/openvswitch")] = Entry(0o40755, 0)
    assert says("datapath", machine)[:2] == ("ok", "in the kernel (system)")


def test_protocol(machine, bridge):
    assert says("protocol", machine)[0] == "ok"
    bridge["protocols"] = None
    assert says("protocol", machine)[0] == "ok"
    bridge["protocols"] = ["OpenFlow10", "OpenFlow14"]
    assert says("protocol", machine) == (
        "fail", "only OpenFlow10, OpenFlow14 is spoken",
        "ovs-vsctl set bridge br0 protocols=OpenFlow13",
    )  # fmt: skip


def test_fail_mode(machine, bridge):
    assert says("fail mode", machine)[0] == "ok"
    for other in (None, "standalone"):
        bridge["fail_mode"] = other
        assert says("fail mode", machine)[::2] == ("fail", "ovs-vsctl set-fail-mode br0 secure")


def test_controller(machine, bridge):
    [row] = machine.controllers
    assert says("controller", machine)[:2] == ("ok", "tcp:127.0.0.1:6653")
    row["max_backoff"] = None
    assert says("controller", machine)[::2] == (
        "warn", "ovs-vsctl set controller br0 max_backoff=1000"
    )  # fmt: skip
    for target in ("tcp:127.0.0.1:6654", "tcp:192.0.2.1:6653", "ptcp:6653"):
        row["target"] = target
        assert says("controller", machine)[::2] == (
            "fail", "ovs-vsctl set-controller br0 tcp:127.0.0.1:6653"
        )  # fmt: skip
    row["target"] = "tcp:192.0.2.1:6653"
    row["max_backoff"] = 1000
    assert says("controller", machine, configured(openflow__listen="0.0.0.0:6653"))[0] == "ok"
    bridge["controller"] = None
    assert "there is: none" in says("controller", machine)[1]


def test_controller_over_tls(machine):
    files = {"certificate": "/c.pem", "key": "/k.pem", "ca": "/ca.pem"}
    over_tls = configured(openflow__tls=files)
    assert says("controller", machine, over_tls) == (
        "fail", "no controller ssl:127.0.0.1:6653 (there is: tcp:127.0.0.1:6653)",
        "ovs-vsctl set-controller br0 ssl:127.0.0.1:6653",
    )  # fmt: skip
    machine.controllers[0]["target"] = "ssl:127.0.0.1:6653"
    assert says("controller", machine, over_tls)[0] == "ok"


@pytest.mark.parametrize(("value", "verdict"), [("1.0", "ok"), ("0.0", "fail")])
def test_the_connection_of_a_switch_elsewhere(machine, value, verdict):
    machine.bridges = []
    line = f'chamaleonet_switch_connected{{dp_id="00000000000000a1"}} {value}'
    machine.pages[9302] = exported(line)
    assert says("connection", machine, REACTIVE)[0] == verdict
    machine.pages = {}
    assert says("connection", machine, REACTIVE)[0] == "skipped"


def test_connection(machine, bridge):
    [row] = machine.controllers
    assert says("connection", machine)[1].endswith("is connected, its role is other")
    row["is_connected"], row["status"] = False, {"last_error": "Connection refused"}
    assert says("connection", machine) == (
        "fail", "tcp:127.0.0.1:6653 is not connected: Connection refused",
        "chamaleonet run --config site.yaml",
    )  # fmt: skip
    connected = 'chamaleonet_switch_connected{dp_id="00000000000000a1"} 1.0'
    machine.pages[9302] = exported(connected)  # which the database does not know yet
    assert says("connection", machine)[0] == "ok"
    bridge["controller"] = None
    assert says("connection", machine)[0] == "skipped"


def test_queue(machine, bridge):
    assert says("queue", machine)[0] == "skipped"
    assert says("queue", machine, REACTIVE)[::2] == (
        "warn", "ovs-vsctl set bridge br0 other_config:controller-queue-size=512"
    )  # fmt: skip
    bridge["other_config"] = {"controller-queue-size": "512"}
    assert says("queue", machine, REACTIVE)[0] == "ok"
