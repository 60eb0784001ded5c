"""The ports that lead to this machine."""

import pytest

from tests.doctor.recorded import Recorded, configured, port, says


@pytest.fixture
def machine():
    return Recorded()


def test_both_are_well(machine):
    end = "which is up, in a VLAN of its own"
    assert says("candidate port", machine)[:2] == ("ok", f"port 3 leads to cand0, {end}")
    assert says("logger port", machine)[:2] == ("ok", f"port 4 leads to log0, {end}")


def test_there_is_no_such_port(machine):
    del machine.all_ports[2]
    assert says("candidate port", machine) == (
        "fail", "br0 has no port 3",
        ("ovs-vsctl add-port br0 cand0 tag=4094 -- set interface cand0 type=internal"
        " ofport_request=3"),
    )  # fmt: skip


def test_it_has_another_number(machine):
    machine.all_ports[2] = port(3, "cand0", tag=4094, kind="internal", ofport=7)
    assert says("candidate port", machine) == (
        "fail", "cand0 is port 7, not 3", (
            "ovs-vsctl set interface cand0 ofport_request=3"
            " && ip link set cand0 addrgenmode none up"
        ),
    )  # fmt: skip


def test_the_number_is_another_ports(machine):
    machine.all_ports[2] = port(3, "other0", tag=4094, kind="internal")
    assert says("candidate port", machine)[1] == "port 3 leads to other0, not to cand0"


def test_a_cable_may_lead_to_the_interface(machine):
    machine.all_ports[2] = port(3, "eth3", tag=4094)
    assert says("candidate port", machine)[0] == "ok"


def test_it_cannot_be_opened(machine):
    machine.all_ports[2][1]["error"] = "could not open network device cand0"
    assert says("candidate port", machine)[::2] == ("fail", "ovs-vsctl del-port cand0")


def test_it_has_no_vlan_of_its_own(machine):
    machine.all_ports[3][0]["tag"] = None
    assert says("logger port", machine)[::2] == ("fail", "ovs-vsctl set port log0 tag=4094")
    machine.all_ports[3][0]["tag"] = 4094
    machine.all_ports[1][0]["tag"] = 4094
    verdict, found, _ = says("logger port", machine)
    assert (verdict, found) == ("warn", "VLAN 4094 of log0 is also that of p2")


def test_the_interface_is_down_or_not_here(machine):
    machine.up["cand0"] = False
    assert says("candidate port", machine) == (
        "fail", "cand0 is down", "ip link set cand0 up"
    )  # fmt: skip
    machine.up = {}
    assert says("candidate port", machine)[:2] == ("fail", "there is no interface cand0 here")


def test_the_interface_makes_addresses(machine):
    machine.files["/proc/sys/net/ipv6/conf/log0/addr_gen_mode"] = "0\n"
    assert says("logger port", machine)[::2] == ("warn", "ip link set log0 addrgenmode none")
    del machine.files["/proc/sys/net/ipv6/conf/log0/addr_gen_mode"]  # a machine without IPv6
    assert says("logger port", machine)[0] == "ok"


def test_what_is_not_configured_is_not_looked_for(machine):
    packet_ins = configured(switch__candidates={"port": None, "interface": None})
    assert says("candidate port", machine, packet_ins)[0] == "skipped"
    assert says("logger port", machine, configured(logger__interface=None))[:2] == (
        "ok", "port 4 is log0; where it leads is not configured"
    )  # fmt: skip
