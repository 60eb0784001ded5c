"""What the switch can do, and how a switch that cannot is told of."""

import pytest

from chamaleonet.doctor.abilities import table_sizes
from chamaleonet.doctor.machine import Answer
from tests.doctor.recorded import (
    COVERAGE,
    ETHTOOL,
    FEATURES,
    NOT_INSTALLED,
    REACTIVE,
    TABLE_FEATURES,
    Recorded,
    configured,
    says,
)


@pytest.fixture
def machine():
    return Recorded()


@pytest.fixture
def bridge(machine):
    return machine.bridges[0]


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
    features = "ovs-ofctl --protocols=OpenFlow13 --no-names dump-table-features"
    machine.commands[features] = TABLE_FEATURES.replace("1000000", "2000")
    assert says("tables", machine)[0] == "ok"  # the budget is what there is
    assert says("tables", machine, configured(switch__redirect__max_rules=10_000)) == (
        "fail", "table 1 has room for 2000 rules, 10001 may be wanted",
        "lower redirect.max_rules to 1999",
    )  # fmt: skip
    machine.commands[features] = TABLE_FEATURES.split("  tables")[0]
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
