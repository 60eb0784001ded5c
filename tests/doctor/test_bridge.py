"""Open vSwitch, as healthy and in each way that it can be set up wrong."""

from pathlib import Path

import pytest

from chamaleonet.doctor.bridge import table_sizes
from chamaleonet.doctor.check import parse_rows
from chamaleonet.doctor.machine import Answer, Entry
from tests.doctor.recorded import (
    COVERAGE,
    DENIED,
    ETHTOOL,
    FEATURES,
    NOT_INSTALLED,
    STOPPED,
    TABLE_FEATURES,
    Recorded,
    configured,
    exported,
    says,
)

REACTIVE = configured(
    switch__pipeline="reactive", switch__candidates={"port": None, "interface": None}
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


def test_a_recorded_table_is_read():
    recorded = (  # Open vSwitch 3.1
        '{"data":[[["uuid","6d6a581a-ce51-4883-8416-9bb3de97d6f3"],["set",[]],"cand0",'
        '["map",[["datapath-id","00000000000000a1"]]],["set",[["uuid","aa"],["uuid","bb"]]],4094,'
        'false]],"headings":["_uuid","error","name","other_config","ports","tag","up"]}'
    )
    assert parse_rows(recorded) == [
        {
            "_uuid": "6d6a581a-ce51-4883-8416-9bb3de97d6f3", "error": None, "name": "cand0",
            "other_config": {"datapath-id": "00000000000000a1"}, "ports": ["aa", "bb"],
            "tag": 4094, "up": False,
        }
    ]  # fmt: skip


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
    bridge["controller"] = None
    assert says("connection", machine)[0] == "skipped"


def test_queue(machine, bridge):
    assert says("queue", machine)[0] == "skipped"
    assert says("queue", machine, REACTIVE)[::2] == (
        "warn", "ovs-vsctl set bridge br0 other_config:controller-queue-size=512"
    )  # fmt: skip
    bridge["other_config"] = {"controller-queue-size": "512"}
    assert says("queue", machine, REACTIVE)[0] == "ok"


def test_tracker(machine):
    assert says("tracker", machine) == (
        "ok", "works, 12 of 3000000 connections, zone 50337", ""
    )  # fmt: skip
    assert says("tracker", machine, REACTIVE)[0] == "skipped"
    machine.commands["ovs-appctl dpctl/ct-get-limits"] = "zone=50337,limit=1000,count=950\n"
    verdict, _, todo = says("tracker", machine)
    assert verdict == "warn"
    assert todo.endswith("netdev@ovs-netdev zone=50337,limit=4000")
    machine.commands["ovs-appctl dpctl/ct-get-limits"] = Answer(2, "", "not supported")
    machine.commands["ovs-appctl --timeout=5 dpctl/ct-get-nconns"] = "x"
    machine.commands["ovs-appctl --timeout=5 dpctl/ct-get-nconns netdev@ovs-netdev"] = "2900000\n"
    assert says("tracker", machine)[::2] == (
        "warn", "ovs-appctl dpctl/ct-set-maxconns netdev@ovs-netdev 12000000"
    )  # fmt: skip
    features = FEATURES.replace("CT mark: Yes", "CT mark: No")
    machine.commands["ovs-appctl --timeout=5 dpif/show-dp-features br0"] = features
    assert says("tracker", machine)[:2] == ("fail", "the datapath has no CT mark")


def test_the_tracker_of_the_kernel(machine, bridge):
    bridge["datapath_type"] = ""
    machine.files["/proc/sys/net/netfilter/nf_conntrack_count"] = "95\n"
    machine.files["/proc/sys/net/netfilter/nf_conntrack_max"] = "100\n"
    assert says("tracker", machine)[::2] == ("warn", "sysctl -w net.netfilter.nf_conntrack_max=400")


def test_checksums(machine, bridge):
    assert says("checksums", machine)[:2] == ("ok", "all right")
    wrong = "conntrack_l4csum_err       {}/sec     0.083/sec        {}/sec   total: 5\n"
    shows = "ovs-appctl --timeout=5 coverage/show"
    machine.commands[shows] = COVERAGE.format(wrong.format("0.0", "0.0014"))
    verdict, found, todo = says("checksums", machine)
    assert verdict == "fail"
    assert found.startswith("5 packets had checksums")
    assert todo.endswith("ethtool -K IF tx off gso off tso off")
    machine.commands[shows] = COVERAGE.format(wrong.format("0.0", "0.0000"))
    assert says("checksums", machine)[1] == "all right in the last hour (5 were wrong before)"
    bridge["datapath_type"] = ""
    assert says("checksums", machine)[0] == "skipped"


def test_offloads(machine, bridge):
    assert says("offloads", machine)[:2] == ("ok", "no port merges packets")
    machine.commands["ethtool -k p2"] = ETHTOOL.replace(": off", ": on")
    assert says("offloads", machine) == (
        "warn", "p2 merges packets before the switch sees them (gro, lro)",
        "ethtool -K p2 gro off lro off",
    )  # fmt: skip
    machine.commands["ethtool -k"] = NOT_INSTALLED
    assert says("offloads", machine)[::2] == ("skipped", "apt-get install ethtool")
    bridge["datapath_type"] = ""
    assert says("offloads", machine)[0] == "skipped"


def test_truncation(machine):
    assert says("truncation", machine)[0] == "ok"
    assert says("truncation", machine, REACTIVE)[0] == "skipped"
    features = FEATURES.replace("Truncate action: Yes", "Truncate action: No")
    machine.commands["ovs-appctl --timeout=5 dpif/show-dp-features br0"] = features
    assert says("truncation", machine)[0] == "fail"


def test_tables(machine):
    assert says("tables", machine)[:2] == ("ok", "table 1 has room for 1000000 rules")
    small = TABLE_FEATURES.replace("1000000", "2000")
    features = "ovs-ofctl --protocols=OpenFlow13 --no-names dump-table-features"
    machine.commands[features] = small
    assert says("tables", machine)[:2] == ("ok", "table 1 has room for 2000 rules")
    config = configured(switch__redirect={"max_rules": 10_000})
    assert says("tables", machine, config) == (
        "fail", "table 1 has room for 2000 rules, 10001 may be wanted",
        "lower redirect.max_rules to 1999",
    )  # fmt: skip
    machine.commands[features] = small.split("  tables")[0]
    assert says("tables", machine)[:2] == ("fail", "the switch has no table 1")


def test_table_sizes_of_what_an_open_vswitch_says():
    sizes = table_sizes(TABLE_FEATURES)
    assert (len(sizes), sizes[0], sizes[252], sizes[253]) == (254, 1_000_000, 1_000_000, 2000)


def test_meters(machine):
    assert says("meters", machine)[:2] == ("ok", "262144 meters")
    machine.commands["ovs-ofctl --protocols=OpenFlow13 --no-names meter-features"] = (
        "OFPST_METER_FEATURES reply (OF1.3) (xid=0x2):\nmax_meter:0 max_bands:0 max_color:0\n"
    )
    assert says("meters", machine)[0] == "warn"
