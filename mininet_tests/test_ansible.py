"""The Ansible role sets a real Open vSwitch up, once."""

from chamaleonet.lab.machine import switch_runs
from mininet_tests.harness import run
from tests.deploy.playbook import play

CONTROLLER = "tcp:127.0.0.1:16653"
ROLE = {
    "chamaleonet_bridge": "chtbr",
    "chamaleonet_bridge_options": "--dp-id 00000000000000a1",
    "chamaleonet_controller": CONTROLLER,
}


def test_a_bridge_is_set_up_once(tmp_path):
    assert switch_runs()
    run("ovs-vsctl", "add-br", "chtbr", "--", "set", "bridge", "chtbr", "datapath_type=netdev")
    try:
        assert play("switch", tmp_path, "--check", **ROLE) == 1
        assert run("ovs-vsctl", "list-ports", "chtbr") == "", "it was only checked"
        assert play("switch", tmp_path, **ROLE) == 1
        assert run("ovs-vsctl", "list-ports", "chtbr").split() == ["cand0", "log0"]
        assert run("ovs-vsctl", "get-controller", "chtbr").strip() == CONTROLLER
        assert run("ovs-vsctl", "get", "bridge", "chtbr", "datapath_id") == '"00000000000000a1"\n'
        assert play("switch", tmp_path, **ROLE) == 0
    finally:
        run("ovs-vsctl", "del-br", "chtbr")
