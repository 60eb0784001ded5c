"""Syslog over real sockets: what a daemon gets, and what is counted when there is none."""

import contextlib
import socket
import threading
from pathlib import Path

import numpy as np
import pytest

from chamaleonet.errors import UserError
from chamaleonet.flows.transitions import State
from chamaleonet.log.events import syslog as module
from chamaleonet.log.events.syslog import Syslog
from tests.log.events.test_rfc5424 import parsed
from tests.log.stream.streams import number, until

KINDS = ("udp", "tcp", "unix datagram", "unix stream")


def cut(data, kind):
    """Cut a stream's bytes into messages, strictly; return them and what is left."""
    found = []
    while data:
        if kind == "tcp":
            length, space, rest = data.partition(b" ")
            if not space:
                break
            assert length.isdigit()
            assert not length.startswith(b"0")
            if len(rest) < int(length):
                break
            message, data = rest[: int(length)], rest[int(length) :]
        else:
            message, end, rest = data.partition(b"\n")
            if not end:
                break
            data = rest
        found.append(message)
    return found, data


class Daemon:
    """A syslog daemon that listens at a fixed address, and may be away and come back."""

    def __init__(self, kind, directory):
        self.kind = kind
        self._name = str(directory / "log")
        self._inet = kind in ("udp", "tcp")
        self._type = socket.SOCK_DGRAM if kind in ("udp", "unix datagram") else socket.SOCK_STREAM
        if self._inet:
            with socket.socket(socket.AF_INET, self._type) as probe:
                probe.bind(("127.0.0.1", 0))
                self._name = probe.getsockname()
            self.address = f"{kind}:127.0.0.1:{self._name[1]}"
        else:
            self.address = f"unix:{self._name}"
        self.messages = []
        self._socket = None

    def start(self):
        self._socket = socket.socket(socket.AF_INET if self._inet else socket.AF_UNIX, self._type)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if not self._inet:
            Path(self._name).unlink(missing_ok=True)
        self._socket.bind(self._name)
        self._socket.settimeout(0.05)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        if self._type == socket.SOCK_STREAM:
            self._socket.listen()
        self._thread.start()
        return self

    def _run(self):
        while not self._stop.is_set():
            with contextlib.suppress(TimeoutError):
                if self._type == socket.SOCK_DGRAM:
                    self.messages.append(self._socket.recv(65536))
                    continue
                connection, _ = self._socket.accept()
                with connection:
                    self._converse(connection)

    def _converse(self, connection):
        connection.settimeout(0.05)
        data = b""
        while not self._stop.is_set():
            with contextlib.suppress(TimeoutError):
                if not (more := connection.recv(65536)):
                    break
                found, data = cut(data + more, self.kind)
                self.messages += found

    def stop(self):
        self._stop.set()
        self._thread.join()
        self._socket.close()

    def ports(self):
        return [
            int(parsed(message)["data"]["chamaleonet@32473"]["client_port"])
            for message in list(self.messages)
        ]


@pytest.fixture(params=KINDS)
def daemon(request, tmp_path):
    return Daemon(request.param, tmp_path)


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(module, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(module, "_LONGEST_PAUSE", 0.05)


def test_a_daemon_gets_the_verdicts_that_were_asked_for(daemon):
    daemon.start()
    syslog = Syslog(daemon.address, verdicts=(State.UNANSWERED, State.REFUSED))
    syslog.verdicts(
        np.concatenate([number(1 + state, state=state) for state in list(State)[1:]] + [number(50)])
    )
    syslog.ended(number(60))
    syslog.verdicts(number(70))
    until(lambda: len(daemon.messages) == 4)
    syslog.close()
    daemon.stop()
    assert daemon.ports() == [1 + State.REFUSED, 1 + State.UNANSWERED, 50, 70]
    assert syslog.sent == 4
    assert syslog.dropped.total() == 0


def test_what_waits_is_sent_when_it_is_closed(daemon):
    daemon.start()
    syslog = Syslog(daemon.address)
    for n in range(1, 51):
        syslog.verdicts(number(n))
    syslog.close(timeout=10)
    until(lambda: len(daemon.messages) == 50)
    daemon.stop()
    assert daemon.ports() == list(range(1, 51))


def test_a_daemon_may_come_later(daemon):
    syslog = Syslog(daemon.address)
    for n in range(1, 11):
        syslog.verdicts(number(n))
    until(lambda: not syslog._healthy)
    daemon.start()
    until(lambda: syslog._healthy and syslog._queue.empty())
    syslog.close()
    until(lambda: len(daemon.messages) == syslog.sent)
    daemon.stop()
    # Over UDP the first ones are lost, and counted.
    lost = syslog.dropped["syslog_failed"]
    assert lost == 0 or daemon.kind == "udp"
    assert daemon.ports() == list(range(lost + 1, 11))
    assert syslog.sent == 10 - lost


def test_a_daemon_may_restart(daemon):
    daemon.start()
    syslog = Syslog(daemon.address)
    syslog.verdicts(number(1))
    until(lambda: daemon.ports() == [1])
    daemon.stop()
    daemon.start()
    for n in range(2, 12):
        syslog.verdicts(number(n))
    until(lambda: syslog._queue.empty() and len(daemon.messages) == 11)
    syslog.close()
    daemon.stop()
    assert daemon.ports() == list(range(1, 12))


def test_nobody_waits_for_a_daemon_that_is_away_and_all_is_counted(daemon):
    syslog = Syslog(daemon.address, capacity=5)
    for n in range(1, 101):
        syslog.verdicts(number(n))
    syslog.verdicts(np.concatenate([number(n) for n in range(101, 151)]))
    syslog.close(timeout=0)
    lost = syslog.dropped
    assert lost["syslog_queue_full"] > 0
    assert syslog.sent + lost["syslog_queue_full"] + lost["syslog_failed"] == 150


@pytest.mark.parametrize("kind", ["tcp", "unix stream"])
def test_nobody_waits_for_a_slow_daemon(kind, tmp_path):
    daemon = Daemon(kind, tmp_path)
    family = socket.AF_INET if kind == "tcp" else socket.AF_UNIX
    with socket.socket(family) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        server.bind(daemon._name)
        server.listen()
        syslog = Syslog(daemon.address, capacity=100)
        sent = 0
        while not syslog.dropped["syslog_queue_full"]:  # the system's buffers are full as well
            sent += 1
            syslog.verdicts(number(sent % 60_000 + 1))
        connection, _ = server.accept()
        taken, data = [], b""
        with connection:
            while len(taken) < sent - syslog.dropped["syslog_queue_full"]:
                found, data = cut(data + connection.recv(65536), kind)
                taken += found
        assert data == b""
        assert len({parsed(message)["text"] for message in taken}) == len(taken)
        syslog.close()
        assert syslog.dropped["syslog_failed"] == 0
        assert syslog.sent == len(taken)


def test_closing_does_not_wait_for_a_daemon_that_takes_nothing(tmp_path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{tmp_path}/log")
        server.listen()
        syslog = Syslog(f"unix:{tmp_path}/log")
        syslog.verdicts(np.repeat(number(1), 8000))  # more than the system buffers
        syslog.close(timeout=0.1)
        assert syslog.dropped["syslog_failed"] > 1000
        assert syslog.sent + syslog.dropped["syslog_failed"] == 8000


def test_it_is_told_once_that_a_daemon_is_away(tmp_path, caplog):
    syslog = Syslog(f"unix:{tmp_path}/log")
    for n in range(1, 6):
        syslog.verdicts(number(n))
    until(lambda: not syslog._healthy)
    syslog.close()
    assert [record.getMessage() for record in caplog.records] == [
        f"unix:{tmp_path}/log: cannot send to syslog: No such file or directory"
    ]


@pytest.mark.parametrize(
    ("address", "facility", "words"),
    [("udp:host", "daemon", "not udp:HOST:PORT"), ("unix:/dev/log", "demon", "no facility")],
)
def test_mistakes_are_found_at_once(address, facility, words):
    with pytest.raises(UserError, match=words):
        Syslog(address, facility=facility)
