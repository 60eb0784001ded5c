"""deploy/ovs-setup: what it makes, that it makes it once, and that it can be taken back."""

import contextlib
import json
import subprocess

import pytest

from chamaleonet.lab.machine import switch_runs
from mininet_tests.harness import ROOT, run

DP_ID = "00000000000000a1"


def setup(*arguments):
    done = subprocess.run([ROOT / "deploy/ovs-setup", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def state():
    """Return all that bridges are like, but for what changes by itself."""
    tables = {}
    for table, columns in (
        ("bridge", "name,ports,protocols,fail_mode,controller,external_ids,other_config"),
        ("interface", "name,type,ofport_request,ofport"),
        ("port", "name,tag"),
        ("controller", "target,max_backoff"),
    ):
        text = run("ovs-vsctl", "--format=json", f"--columns={columns}", "list", table)
        tables[table] = sorted(map(json.dumps, json.loads(text)["data"]))
    return tables


@pytest.fixture
def bridge():
    """A bridge that forwards by itself, with two ports."""
    assert switch_runs()
    for name in ("cht1", "cht2"):
        run("ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}p")
    run("ovs-vsctl", "add-br", "chtbr", "--", "set", "bridge", "chtbr", "datapath_type=netdev")
    yield "chtbr"
    for name in ("chtbr", "chttap"):
        run("ovs-vsctl", "--if-exists", "del-br", name)
    for name in ("cht1", "cht2"):
        with contextlib.suppress(AssertionError):
            run("ip", "link", "del", name)


def number(name):
    return run("ovs-vsctl", "get", "interface", name, "ofport").strip()


def test_inline_is_set_up_once_and_undone(bridge):
    run("ovs-vsctl", "add-port", bridge, "cht1", "--", "add-port", bridge, "cht2")
    before = state()
    planned = setup("--dry-run", "--dp-id", DP_ID, "inline", bridge)
    assert state() == before
    done = setup("--dp-id", DP_ID, "inline", bridge)
    assert done[: len(planned)] == planned
    assert (number("cand0"), number("log0")) == ("3", "4")
    get = ("ovs-vsctl", "get", "bridge", bridge)
    assert run(*get, "datapath_id").strip().strip('"') == DP_ID
    assert run(*get, "protocols").strip() == "[OpenFlow13]"
    assert run("ovs-vsctl", "get-fail-mode", bridge).strip() == "secure"
    assert run("ovs-vsctl", "get-controller", bridge).strip() == "tcp:127.0.0.1:6653"
    after = state()
    assert setup("--dp-id", DP_ID, "inline", bridge) == []
    assert state() == after

    ours = "cookie=0xc4a1000000000000,table=0,priority=0,actions=NORMAL"
    run("ovs-ofctl", "--protocols=OpenFlow13", "add-flow", bridge, ours)
    assert setup("--dry-run", "undo", bridge)
    assert state() == after
    setup("undo", bridge)
    run("ovs-vsctl", "remove", "bridge", bridge, "other_config", "datapath-id")
    assert state() == before
    rules = run("ovs-ofctl", "--protocols=OpenFlow13", "--no-stats", "dump-flows", bridge)
    assert rules.split() == ["priority=0", "actions=NORMAL"]
    assert setup("undo", bridge) == []


def test_a_tap_is_made_with_its_bridge_and_goes_with_it(bridge):
    before = state()
    options = ("--datapath", "netdev", "--candidates", "0", "--controller", "tcp:127.0.0.1:7001")
    setup(*options, "tap", "chttap", "cht1")
    assert (number("cht1"), number("log0")) == ("1", "4")
    assert run("ovs-vsctl", "list-ports", "chttap").split() == ["cht1", "log0"]
    assert setup(*options, "tap", "chttap", "cht1") == []
    setup("undo", "chttap")
    assert state() == before


@pytest.mark.parametrize(
    "arguments", [[], ["inline"], ["tap", "br0"], ["--dp-id"], ["--what", "inline", "br0"]]
)
def test_what_is_no_use_is_explained(arguments):
    done = subprocess.run([ROOT / "deploy/ovs-setup", *arguments], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr
    assert done.stdout == ""
