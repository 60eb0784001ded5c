import pytest

from chamaleonet.errors import UserError
from chamaleonet.lab import machine


@pytest.fixture
def root(monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 0)


def test_root_is_needed_and_how_to_be_it_is_told(monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr("sys.argv", ["chamaleonet", "lab", "run", "x"])
    with pytest.raises(UserError, match=r"lab: .* need root; run: sudo .* lab run x$"):
        machine.check("lab", [])


def test_what_is_missing_is_named_all_at_once_with_its_packages(root, monkeypatch):
    found = {"sh": "/bin/sh"}
    monkeypatch.setattr("shutil.which", found.get)
    with pytest.raises(UserError) as error:
        machine.check("lab", ["nft", "sh", "ss", "ip", "unbound"])
    assert str(error.value) == (
        "lab: not installed: ip, nft, ss, unbound (run: apt-get install iproute2 nftables unbound)"
    )


def test_programs_of_the_system_are_found_on_a_path_without_them(root, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(machine, "mininet", lambda: None)
    monkeypatch.setattr(machine, "switch_runs", lambda: True)
    machine.check("lab", ["ldconfig"])


def test_an_open_vswitch_that_cannot_be_started_is_told(root, monkeypatch):
    monkeypatch.setattr(machine, "mininet", lambda: None)
    monkeypatch.setattr(machine, "_succeeds", lambda *_: False)
    with pytest.raises(UserError, match="Open vSwitch does not run"):
        machine.check("lab", [])


def test_a_command_that_fails_is_told_with_its_words():
    with pytest.raises(UserError, match="sh -c echo no >&2; exit 3: no"):
        machine.run("sh", "-c", "echo no >&2; exit 3")
    assert machine.run("echo", "yes") == "yes\n"
