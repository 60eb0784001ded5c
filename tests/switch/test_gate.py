"""What needs no process to be seen; tests/test_hostile_switch.py has the rest."""

import socket
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from chamaleonet.metrics import OPENFLOW_ERRORS, ControllerMetrics
from chamaleonet.switch import gate as gate_module
from chamaleonet.switch.gate import Connection, Gate
from chamaleonet.switch.guard import Refusal
from tests.fake_switch import HELLO, features, message, packet_in


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
def gate(registry):
    gate = Gate(ControllerMetrics(registry), exclusive=False)
    gate.admit({0xA1: None}, handshake_seconds=10)
    return gate


@pytest.fixture
def ends(gate):
    """A connection and its other end."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(0.05)
        theirs.settimeout(10)
        yield Connection(ours, ("192.0.2.1", 1), gate), theirs


def errors(registry, cause):
    return registry.get_sample_value("chamaleonet_openflow_errors_total", {"cause": cause}) or 0


def test_the_framework_gets_one_whole_message_at_a_time(ends):
    connection, switch = ends
    switch.send(message(HELLO) + features(0xA1) + packet_in(1, b"frame"))
    got = [connection.recv(8) for _ in range(3)]
    assert got == [message(HELLO), features(0xA1), packet_in(1, b"frame")]
    with pytest.raises(TimeoutError):  # the framework tries again then
        connection.recv(8)


def test_after_a_refusal_nothing_comes_and_the_peer_is_told_in_its_own_terms(ends, registry):
    connection, switch = ends
    switch.send(b"\x01\0\0\x08\0\0\0\0" + message(HELLO))
    assert connection.recv(8) == b""
    assert connection.recv(8) == b""
    assert switch.recv(100)[1] == 1  # OFPT_ERROR
    assert switch.recv(100) == b""
    assert errors(registry, "version") == 1


def test_a_peer_that_takes_nothing_is_closed(ends, registry):
    connection, _ = ends
    with pytest.raises(TimeoutError):
        connection.sendall(bytes(16 << 20))
    assert errors(registry, "unread") == 1
    assert connection.over


def test_a_connection_is_refused_once(ends, registry):
    connection, _ = ends
    connection.refuse("type", "")
    connection.refuse("malformed", "")
    assert (errors(registry, "type"), errors(registry, "malformed")) == (1, 0)


def test_an_end_within_a_message_is_counted_and_one_between_is_not(gate, registry):
    for said, count in ((message(HELLO), 0), (message(HELLO)[:5], 1)):
        ours, theirs = socket.socketpair()
        with ours:
            theirs.send(said)
            theirs.close()
            connection = Connection(ours, ("192.0.2.1", 1), gate)
            while connection.recv(8):
                pass
        assert errors(registry, "truncated") == count


def test_where_others_await_switches_too_unknown_ones_are_left_to_them(ends, registry):
    connection, switch = ends
    switch.send(message(HELLO) + features(0xC3))
    assert [connection.recv(8) for _ in range(2)] == [message(HELLO), features(0xC3)]
    assert not connection.over
    assert errors(registry, "unknown_datapath") == 0


def test_a_flood_is_counted_but_told_once(ends, gate, registry, caplog):
    connection, _ = ends
    for _ in range(100):
        gate.count(connection, Refusal("order", "type 9 is no hello"))
    gate.count(connection, Refusal("version", "version 1"))
    assert errors(registry, "order") == 100
    assert [record.message for record in caplog.records] == [
        "connection from 192.0.2.1 closed: order: type 9 is no hello",
        "connection from 192.0.2.1 closed: version: version 1",
    ]


def test_every_documented_cause_is_one_that_is_counted():
    folder = Path(gate_module.__file__).parent
    text = "".join((folder / name).read_text() for name in ("gate.py", "guard.py"))
    assert [cause for cause in OPENFLOW_ERRORS if f'"{cause}"' not in text] == []
