"""The documentation's commands that need root and a switch, on a bridge named as they name it."""

import contextlib

import pytest

from chamaleonet.lab.machine import switch_runs
from mininet_tests.harness import run
from tests import doc_commands
from tests.doc_commands import HOW, SWITCH, Shell, checkout

BLOCKS = [block for block in doc_commands.blocks() if HOW.get(block.name) == SWITCH]
PORTS = {"cand0": 3, "log0": 4}
NEED_A_CONTROLLER = ("doctor", "reload", "tail", "top")


@pytest.fixture
def bridge():
    """br0 as deploy/inline-ovs.yaml has it: without its two ports, which a block may add."""
    assert switch_runs()
    with contextlib.ExitStack() as back:
        for name in PORTS:
            back.callback(run, "ovs-vsctl", "--if-exists", "del-port", "br0", name)
        back.callback(run, "ovs-vsctl", "--if-exists", "del-br", "br0")
        run(
            "ovs-vsctl", "add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev",
            "other-config:datapath-id=00000000000000a1", "protocols=OpenFlow13",
            "fail_mode=secure",
        )  # fmt: skip
        yield


@pytest.fixture
def ports(bridge):
    for name, number in PORTS.items():
        run(
            "ovs-vsctl", "add-port", "br0", name, "tag=4094", "--",
            "set", "interface", name, "type=internal", f"ofport_request={number}",
        )  # fmt: skip
        run("ip", "link", "set", name, "up")
    run("ovs-vsctl", "set-controller", "br0", "tcp:127.0.0.1:6653", "--")
    run("ovs-vsctl", "set", "controller", "br0", "max_backoff=1000")


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.name)
def test_a_block_works(block, tmp_path, request):
    checkout(tmp_path)
    request.getfixturevalue("bridge" if "ovs-setup" in block.commands[0] else "ports")
    with Shell(tmp_path, private=True) as shell:
        logs = shell.own("/var/lib/chamaleonet/log")
        logs.mkdir()
        if any("report" in command for command in block.commands):
            shell.run(
                f"chamaleonet replay campus.pcap --flows {logs}/made.flows.parquet --all-flows"
            )
        if block.commands[0].startswith("chamaleonet doctor"):
            shell.run("chamaleonet keygen /etc/chamaleonet/anonymise.key")
        if block.commands[0].startswith(tuple(f"chamaleonet {name}" for name in NEED_A_CONTROLLER)):
            shell.run("chamaleonet run --config deploy/inline-ovs.yaml")
        shell.run(*block.commands)
