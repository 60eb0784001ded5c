"""Replays as parts of scenarios."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from chamaleonet.config import Config
from chamaleonet.errors import UserError
from chamaleonet.lab import scenario
from chamaleonet.lab.replaying import prepared, scenario_of, words
from chamaleonet.lab.scenario import Replay
from tests.lab.recorded import INVENTORY, STAFF, WWW
from tests.lab.test_replay import CLIENT, SERVER, asked, capture
from tests.traffic import SECOND


class Topology:
    """What a replay needs of one."""

    inventory = INVENTORY
    detours = ("hpc",)

    def addresses(self):
        return {"10.20.10.1"}


@pytest.fixture
def path(tmp_path):
    """Two datagrams to the same server, half a minute apart, and one to multicast."""
    packets = [(0, asked(SERVER, 1)), (1, asked("224.0.0.1", 2)), (30, asked(SERVER, 3))]
    return capture(tmp_path / "two.pcap", packets)


def made(path, *, timeout=3 * SECOND, **replay):
    return scenario_of(
        Replay(captures=path, **replay), topology="single", seed=7, pipeline="reactive",
        timeout=timeout,
    )  # fmt: skip


def test_a_scenario_is_as_long_as_its_captures(path):
    its = made(path)
    assert (its.seconds, its.title, its.seed) == (36, "Replay of two.pcap", 7)
    assert its.config == {"timeout": "3s", "idle_timeout": "180s"}
    fast = made(path, speed=10)
    assert (fast.seconds, fast.config["timeout"]) == (7, "300ms")
    assert made(path, duration="1s").seconds == 6


def test_it_can_be_run_again(path, tmp_path):
    its = made(path, map={"10.0.0.0/8": "staff"}, speed=2, internal=["10.0.0.0/8"])
    file = tmp_path / "scenario.yaml"
    file.write_text(scenario.dump(its))
    assert scenario.load(str(file)) == its


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"speed": 11}, "--speed 11: leaves flows 272.727 ms for an answer"),
        ({"timeout": 7200 * SECOND}, "takes 7233 s, and no run is longer than 3600 s"),
    ],
)
def test_what_cannot_be_played(path, changes, says):
    with pytest.raises(UserError, match=says):
        made(path, **changes)


def test_standard_input_cannot_be_read_twice():
    with pytest.raises(UserError, match="-: a capture is read more than once"):
        made("-")


def test_a_map_must_be_of_networks(path):
    with pytest.raises(ValueError, match="not CIDR=SELECTOR"):
        Replay(captures=path, map={"nonsense": "staff"})


def test_what_is_sent_and_what_is_not(path):
    its = made(path, map={"10.99.0.0/16": "staff"})
    sent = prepared(its, Topology(), Config(), 20 * SECOND)
    assert [frame.host for frame in sent.frames] == ["staff"]
    assert list(words(sent)) == [
        "sending 1 packets of 2 addresses from staff, www",
        "left out: 2 packets (1 excluded, 1 too_late)",
        "map: 10.99.0.0/16: no such address in the captures",
    ]
    assert prepared(its.model_copy(update={"replay": None}), Topology(), Config(), 1) is None


def test_addresses_that_programs_use_are_not_given(path):
    traffic = {"name": "web", "clients": "staff", "servers": "www:0-1", "run": "true"}
    its = made(path).model_copy(update={"traffic": (scenario.Traffic(**traffic),)})
    mapping = prepared(its, Topology(), Config(), 60 * SECOND).mapping
    client, server = (
        str(ip_address(mapping.new[ip_address(each).packed])) for each in (CLIENT, SERVER)
    )
    assert client != STAFF
    assert client == "10.20.10.2"
    assert server != WWW
    assert mapping.added["www"] == [f"{server}/24"]


def test_a_capture_is_judged_by_its_own_time(path):
    its = made(path, speed=2)
    config = Config.model_validate(its.config)
    sent = prepared(its, Topology(), config, 60 * SECOND)
    assert sent.original["verdicts"]["unanswered"] == 2
    assert sent.duration == 15 * SECOND
