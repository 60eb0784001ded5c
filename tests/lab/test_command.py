"""`chamaleonet lab`: what is told to who uses it, without a network."""

import re
import shutil

import pytest

from chamaleonet.cli import main
from chamaleonet.lab import machine, scenario

PLANT = """\
plants:
  - name: a
    clients: client
    run: 'true'
    verdicts: unanswered
    least: 1
    named_by: stale_server
"""


@pytest.fixture
def able(monkeypatch):
    """This machine has everything."""
    monkeypatch.setattr(machine, "check", lambda *_: None)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "own.yaml"

    def write(text):
        path.write_text(f"title: x\ntopology: single\nseconds: 9\n{text}")
        return str(path)

    return write


def told(capsys, *arguments):
    """Return what a command says that cannot do what it is asked."""
    assert main(["lab", *map(str, arguments)]) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.count("\n") == 1
    return error.removeprefix("chamaleonet: ").strip()


def test_the_list_has_name_time_and_title(capsys):
    assert main(["lab", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == scenario.names()
    assert re.search(r"^hpc-polling +\d+ s  \w", "\n".join(lines), re.MULTILINE)


def test_an_unknown_scenario(capsys, tmp_path):
    assert "none: no such scenario" in told(capsys, "run", "none", "-o", tmp_path / "out")


def test_who_is_not_root_is_told_first(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert "need root" in told(capsys, "run", "hpc-polling", "-o", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_missing_program(capsys, tmp_path, monkeypatch, file):
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("shutil.which", lambda name: None if name == "frobnicate" else name)
    path = file("traffic:\n  - {name: a, clients: client, run: frobnicate -x}\n")
    said = told(capsys, "run", path, "-o", tmp_path / "out")
    assert said.startswith("lab: not installed: frobnicate ")


def test_a_directory_that_holds_something(capsys, tmp_path, able):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "file").touch()
    said = told(capsys, "run", "hpc-polling", "-o", tmp_path / "out")
    assert said == f"-o {tmp_path}/out: is not empty"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("traffic:\n  - {name: a, clients: nobody, run: 'true'}\n", "nobody: neither an address"),
        ("servers:\n  - {host: nobody, run: 'true'}\n", "nobody: no host or router"),
        ("faults:\n  - {at: nobody, action: drop, to: client}\n", "nobody: no host or router"),
        ("faults:\n  - {at: client, action: drop, to: client:99}\n", "client has addresses"),
        (PLANT + "    match: {servers: nobody}\n", "nobody: neither an address"),
        ("indicators: nobody\n", "nobody: neither an address"),
        ("config: {timeout: 8s}\n", "seconds: must be more than 10"),
    ],
)
@pytest.mark.skipif(shutil.which("mnexec") is None, reason="needs Mininet")
def test_what_does_not_fit_the_topology_is_told_before_anything_is_built(
    capsys, tmp_path, able, file, text, said
):
    path = file(text)
    error = told(capsys, "run", path, "-o", tmp_path / "out")
    assert error.startswith(f"{path}: ")
    assert said in error
    assert list((tmp_path / "out").iterdir()) == [], "the next attempt is welcome there"
