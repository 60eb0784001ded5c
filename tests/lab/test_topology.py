from pathlib import Path

import pytest

from chamaleonet.errors import UserError
from chamaleonet.lab.machine import DIST_PACKAGES
from chamaleonet.lab.topology import load

pytestmark = pytest.mark.skipif(
    not Path(DIST_PACKAGES, "mininet").is_dir(), reason="needs Debian's package mininet"
)

FILE = """\
from mininet.topo import Topo


class Own(Topo):
    probes = ("s1",)
    internal = ("10.0.0.0/24",)
    taps = (("h1", "h1-eth0"),)

    def build(self):
        self.addSwitch("s1", dpid="0b")
        self.addHost("h1", addresses=("10.0.0.1/24", "10.0.0.2/24"), inside=True)
        self.addHost("router")
        self.addLink("h1", "s1")


topos = {"own": Own}
"""


def test_ours_are_found_by_name():
    campus = load("campus")
    assert [(probe.name, probe.dp_id) for probe in campus.probes] == [("s1", 0xA1)]
    assert campus.forward == "normal"
    assert len(campus.inventory.ends("staff:0-199")) == 200
    assert not campus.inventory.hosts["www"].inside
    assert load("tap").forward == "none"


def test_several_of_one_file_are_found_by_name():
    split = load("asymmetric_split")
    assert [probe.name for probe in split.probes] == ["s1", "s2"]
    names = {name for probe in split.probes for name in (probe.candidates, probe.logger)}
    assert len(names) == 4


def test_an_unknown_name_is_told_with_those_that_are_known():
    with pytest.raises(UserError, match=r"nowhere: no such topology .*asymmetric, .*campus, "):
        load("nowhere")


def test_a_file_of_the_users(tmp_path):
    path = tmp_path / "own.py"
    path.write_text(FILE)
    for name in (str(path), f"{path}:own"):
        own = load(name)
        assert own.probes[0].dp_id == 11
        assert own.taps == (("h1", "h1-eth0"),)
        assert list(own.inventory.hosts) == ["h1"]
    own.check_node("router")
    with pytest.raises(UserError, match=r"s1: no host or router of the topology \(h1, router\)"):
        own.check_node("s1")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('    probes = ("s1",)\n', "", "has no attribute 'probes'"),
        ('probes = ("s1",)', "probes = ()", "'probes' is empty"),
        ('probes = ("s1",)', 'probes = ("s2",)', "probes: 's2' is no switch"),
        (', dpid="0b"', "", "'dpid' is missing"),
        ("10.0.0.0/24", "10.0.0.1/24", "not a network"),
        ('internal = ("10.0.0.0/24",)', "internal = ()", "'internal' is empty"),
        ('(("h1", "h1-eth0"),)', '(("h2", "h2-eth0"),)', "taps: 'h2' is no node"),
        ('(("h1", "h1-eth0"),)', "()", "'taps' is empty"),
        (", inside=True", "", "'inside' is missing"),
        ("10.0.0.2/24", "10.0.0", "does not appear to be"),
        ("topos = ", "topologies = ", "no dictionary 'topos'"),
        ("from mininet.topo", "from mininet.nowhere", "ModuleNotFoundError"),
    ],
)
def test_what_the_lab_lacks_is_told(tmp_path, old, new, said):
    path = tmp_path / "own.py"
    assert old in FILE
    path.write_text(FILE.replace(old, new))
    with pytest.raises(UserError, match=said) as error:
        load(str(path))
    assert str(path) in str(error.value)


def test_one_of_several_must_be_chosen(tmp_path):
    path = tmp_path / "own.py"
    path.write_text(FILE.replace('{"own": Own}', '{"a": Own, "b": Own}'))
    with pytest.raises(UserError, match=r"choose of .*own\.py:a, .*own\.py:b"):
        load(str(path))
    assert load(f"{path}:b").probes
    with pytest.raises(UserError, match="no such file"):
        load(f"{tmp_path}/none.py")
