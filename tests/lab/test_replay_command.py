"""`chamaleonet lab replay`: what is told to who uses it, without a network."""

from __future__ import annotations

import shutil

import pytest

from chamaleonet.cli import main
from chamaleonet.lab import run
from tests.lab.test_command import able, told  # noqa: F401
from tests.lab.test_replay import SERVER, asked, capture

needs_mininet = pytest.mark.skipif(shutil.which("mnexec") is None, reason="needs Mininet")


@pytest.fixture
def path(tmp_path):
    return capture(tmp_path / "one.pcap", [(0, asked(SERVER, 1)), (2, asked(SERVER, 2))])


def arguments(path, tmp_path, *more):
    return ["replay", path, "--topology", "single", "-o", tmp_path / "out", *more]


def test_who_is_not_root_is_told_first(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert "need root" in told(capsys, *arguments("none.pcap", tmp_path))


def test_a_capture_that_is_not_there(capsys, tmp_path, able):  # noqa: F811
    said = told(capsys, *arguments("none.pcap", tmp_path))
    assert said == "none.pcap: No such file or directory"


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--map", "10.0.0.0/8", "not CIDR=SELECTOR"),
        ("--internal", "10.0.0.1/8", "host bits set"),
        ("--speed", "0", "0 is not from 0.01 to 1000"),
        ("--speed", "fast", "could not convert"),
        ("--seconds", "0", "longer than zero"),
    ],
)
def test_a_wrong_option(capsys, tmp_path, path, option, value, said):
    error = told(capsys, *arguments(path, tmp_path, option, value))
    assert error.startswith(f"argument {option}: ")
    assert said in error


@needs_mininet
def test_a_map_that_names_nothing(capsys, tmp_path, path, able):  # noqa: F811
    said = told(capsys, *arguments(path, tmp_path, "--map", "10.0.0.0/8=nobody"))
    assert said.startswith("replay: nobody: neither an address nor a host of the topology")


@needs_mininet
def test_nothing_to_send(capsys, tmp_path, path, able):  # noqa: F811
    said = told(capsys, *arguments(path, tmp_path, "--internal", "0.0.0.0/0"))
    assert said == f"replay: {path}: nothing to send (left out: same_host 2)"


@needs_mininet
def test_nothing_would_be_seen(capsys, tmp_path, path, able):  # noqa: F811
    command = arguments(path, tmp_path, "--internal", "0.0.0.0/0", "--topology", "campus")
    said = told(capsys, *command)
    assert said == (
        f"replay: {path}: no packet crosses the border, where we look: say by internal prefixes"
        " which hosts are inside and which are not"
    )


def test_options_become_a_scenario(tmp_path, path, able, monkeypatch):  # noqa: F811
    made = []
    monkeypatch.setattr(run, "run_scenario", lambda *each: made.append(each) or 0)
    options = (
        "--map", "10.0.0.1=client:2", "--map", "10.0.0.0/8=client", "--map", "10.0.0.1=server",
        "--internal", "10.0.0.0/8", "--speed", "2", "--seconds", "1", "--timeout", "4s",
        "--seed", "5", "--pipeline", "reactive",
    )  # fmt: skip
    assert main(["lab", *map(str, arguments(path, tmp_path, *options))]) == 0
    [(name, chosen, directory)] = made
    assert (name, directory) == ("replay", tmp_path / "out")
    assert (chosen.topology, chosen.seed, chosen.pipeline) == ("single", 5, "reactive")
    assert chosen.config["timeout"] == "2s"
    replay = chosen.replay
    assert replay.map == {"10.0.0.1/32": "client:2", "10.0.0.0/8": "client"}
    assert (replay.captures, replay.speed, replay.duration) == ((path,), 2, 10**9)
    assert list(map(str, replay.internal)) == ["10.0.0.0/8"]
