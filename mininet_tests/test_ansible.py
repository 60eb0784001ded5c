"""The Ansible role sets a real Open vSwitch up, and leaves alone what is right."""

from chamaleonet.demo.campus import switch_runs
from mininet_tests.harness import run
from tests.deploy.playbook import play


def test_a_bridge_is_set_up_once(tmp_path):
    assert switch_runs()
    role = {"chamaleonet_bridge": "br0", "chamaleonet_ports": {"cand0": 3, "log0": 4}}
    run("ovs-vsctl", "add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev")
    try:
        assert play("switch", tmp_path, **role) == 4
        assert run("ovs-vsctl", "get", "bridge", "br0", "protocols", "fail_mode").split() == [
            "[OpenFlow13]", "secure",
        ]  # fmt: skip
        assert run("ovs-vsctl", "get-controller", "br0").strip() == "tcp:127.0.0.1:6653"
        for name, number in role["chamaleonet_ports"].items():
            assert run("ovs-vsctl", "get", "interface", name, "ofport").strip() == str(number)
            assert run("ovs-vsctl", "get", "port", name, "tag").strip() == "4094"
            assert "UP" in run("ip", "-brief", "link", "show", "dev", name)
        assert play("switch", tmp_path, **role) == 0
    finally:
        for name in role["chamaleonet_ports"]:
            run("ovs-vsctl", "--if-exists", "del-port", "br0", name)
        run("ovs-vsctl", "del-br", "br0")
