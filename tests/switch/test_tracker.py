import re
import shlex
import stat
from pathlib import Path

import pytest

from chamaleonet.config import Conntrack
from chamaleonet.switch import tracker
from tests.traffic import SECOND

IDLE = 180 * SECOND


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """Open vSwitch's programs, which keep what they are asked and answer from a file."""
    for name in ("ovs-vsctl", "ovs-appctl"):
        program = tmp_path / name
        program.write_text(
            f'#!/bin/sh\necho "{name} $*" >> {tmp_path}/asked\n'
            f'cat "{tmp_path}/$1" 2> /dev/null || cat "{tmp_path}/answer"\n'
            f'test ! -e {tmp_path}/broken || {{ echo "no such thing" >&2; exit 1; }}\n'
        )
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    (tmp_path / "answer").write_text("")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


def asked(programs):
    return (programs / "asked").read_text().splitlines()


def test_connections_last_as_long_as_flows():
    policy = tracker.timeouts(Conntrack(timeouts={"udp_single": 5}), IDLE)
    assert policy["udp_first"] == policy["icmp_reply"] == policy["tcp_established"] == 180
    assert policy["tcp_time_wait"] == 30
    assert policy["udp_single"] == 5
    assert tracker.timeouts(Conntrack(), 10 * SECOND)["tcp_close"] == 10


def test_the_zone_is_set_by_open_vswitchs_own_programs(programs):
    (programs / "get").write_text("{system=some-uuid}\n")
    conntrack = Conntrack(zone=7, datapath="netdev", limit=1000)
    assert tracker.configure(conntrack, IDLE)
    get, create, delete, add, limit = asked(programs)
    assert get == "ovs-vsctl get Open_vSwitch . datapaths"
    assert create.endswith("add Open_vSwitch . datapaths netdev=@d")
    assert delete == "ovs-vsctl --if-exists del-zone-tp netdev zone=7"
    assert add.startswith("ovs-vsctl add-zone-tp netdev zone=7 icmp_first=180 icmp_reply=180 tcp_")
    assert limit == "ovs-appctl dpctl/ct-set-limits netdev@ovs-netdev zone=7,limit=1000"


def test_a_datapath_that_is_known_is_not_made_again(programs):
    (programs / "get").write_text("{netdev=some-uuid}\n")
    assert tracker.configure(Conntrack(datapath="netdev"), IDLE)
    assert not any("create" in line for line in asked(programs))


def test_what_fails_is_told_and_nothing_else_happens(programs, caplog, monkeypatch):
    (programs / "broken").touch()
    assert not tracker.configure(Conntrack(datapath="netdev"), IDLE)
    assert "cannot be set: no such thing" in caplog.text
    assert len(asked(programs)) == 1
    monkeypatch.setenv("PATH", "/nowhere")
    assert not tracker.configure(Conntrack(datapath="netdev"), IDLE)
    assert tracker.connections(Conntrack(datapath="netdev")) is None


def test_connections_are_counted_by_zone(programs):
    answer = "default limit=0\nzone=7,limit=10,count=4\n"
    (programs / "dpctl").mkdir()
    (programs / "dpctl" / "ct-get-limits").write_text(answer)
    assert tracker.connections(Conntrack(zone=7, datapath="netdev")) == 4
    assert tracker.connections(Conntrack(zone=8, datapath="netdev")) is None


def test_nothing_is_set_where_open_vswitch_is_not_ours_to_set(programs):
    assert not tracker.configure(Conntrack(), IDLE)
    assert tracker.connections(Conntrack()) is None
    assert not (programs / "asked").exists()


def test_the_page_says_the_same_commands():
    """For those whose Open vSwitch runs on another machine: docs/floods.md."""
    page = (Path(__file__).parents[2] / "docs/floods.md").read_text()
    (block,) = re.findall(r"^```sh\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    said = [shlex.split(line) for line in block.replace("\\\n", "").splitlines()]
    assert said == tracker.commands(Conntrack(), IDLE)
