import socket

import pytest

from chamaleonet.servicemanager import Watchdog, notify, reloading


@pytest.fixture
def manager(tmp_path, monkeypatch):
    """A service manager's end."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(0)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield manager


def told(manager):
    states = []
    try:
        while True:
            states.append(manager.recv(1000).decode())
    except BlockingIOError:
        return states


def test_states_are_told(manager):
    notify("READY=1")
    reloading()
    ready, again = told(manager)
    assert ready == "READY=1"
    assert again.startswith("RELOADING=1\nMONOTONIC_USEC=")


def test_an_abstract_socket_is_one_too(monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0chamaleonet-test-notify")
        manager.settimeout(0)
        monkeypatch.setenv("NOTIFY_SOCKET", "@chamaleonet-test-notify")
        notify("READY=1")
        assert told(manager) == ["READY=1"]


def test_without_a_service_manager_nothing_is_told(manager, monkeypatch):
    monkeypatch.delenv("NOTIFY_SOCKET")
    notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere")
    notify("READY=1")
    assert told(manager) == []


def test_the_watchdog_is_fed_twice_as_often_as_it_wants(manager, monkeypatch):
    monkeypatch.setenv("WATCHDOG_USEC", "10000000")
    watchdog = Watchdog()
    for second in range(100, 120):
        watchdog.feed(float(second))
    assert told(manager) == ["WATCHDOG=1"] * 4
    monkeypatch.delenv("WATCHDOG_USEC")
    Watchdog().feed(200.0)
    assert told(manager) == []
