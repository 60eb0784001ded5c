"""Following a real verdict stream."""

import json
import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

from chamaleonet.errors import UserError
from chamaleonet.flows.records import Change
from chamaleonet.flows.transitions import State
from chamaleonet.log.events.jsonl import events
from chamaleonet.log.stream.endpoint import Endpoint
from chamaleonet.log.stream.producer import VerdictStream
from chamaleonet.log.stream.reader import VerdictReader
from chamaleonet.log.stream.tail import follow, lines, tail, text
from tests.log.build import NO_DATA, NO_PACKETS, SECOND, START, event, flow, words
from tests.log.stream.streams import number, until


def producer(address):
    return VerdictStream(address, lambda: number(99), erroneous=tuple(State))


def send(stream, *flows, change=Change.JUDGED):
    stream.send(np.concatenate([event(each, change) for each in flows]), NO_PACKETS, NO_DATA)


@pytest.fixture
def address(tmp_path):
    return Endpoint(f"unix:{tmp_path}/verdicts")


class Follower:
    """Follows in a thread of its own."""

    def __init__(self, address, **named):
        self.lines, self.said = [], []
        self._stop = threading.Event()
        self._reader = VerdictReader(address, acknowledges=False, retry=0.02)
        named.setdefault("line", lambda flow, kind: (kind, int(flow["ports"][0]) >> 16))
        self._thread = threading.Thread(
            target=follow,
            args=(self._reader, self.lines.append),
            kwargs={"stop": self._stop.is_set, "said": self.said.append, **named},
        )

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()
        self._reader.close()


def connected(follower):
    until(lambda: follower.said[-1:] == ["connected"])


def test_verdicts_are_told_as_they_come(address):
    stream = producer(address)
    with Follower(address) as follower:
        connected(follower)
        send(stream, number(1), number(2, state=State.ICMP_ERROR))
        until(lambda: len(follower.lines) == 2)
        send(stream, number(1), change=Change.ENDED)
        send(stream, number(3, state=State.REFUSED))
        until(lambda: len(follower.lines) == 3)
    stream.close()
    assert follower.lines == [("verdict", 1), ("verdict", 2), ("verdict", 3)]


def test_ends_are_told_if_asked_for_and_other_verdicts_are_not(address):
    stream = producer(address)
    with Follower(address, verdicts=(State.REFUSED,), ended=True) as follower:
        connected(follower)
        send(stream, number(1), number(2, state=State.REFUSED))
        send(stream, number(1), number(2, state=State.REFUSED), change=Change.ENDED)
        until(lambda: len(follower.lines) == 2)
    stream.close()
    assert follower.lines == [("verdict", 2), ("flow", 2)]


def test_it_waits_for_the_controller_and_says_so(address):
    with Follower(address) as follower:
        until(lambda: follower.said)
        for n in (1, 2):
            stream = producer(address)
            connected(follower)
            send(stream, number(n))
            until(lambda: len(follower.lines) == n)  # noqa: B023
            stream.close()
            until(lambda: follower.said[-1] != "connected")
    assert follower.lines == [("verdict", 1), ("verdict", 2)]
    assert follower.said == ["waiting for the controller", "connected"] * 2 + [
        "waiting for the controller"
    ]


def test_what_is_no_controller_is_told_of(address):
    listener = address.listen()
    with listener, Follower(address) as follower:
        connection, _ = listener.accept()
        connection.sendall(b"\xff\xff\xff\xff")
        until(lambda: "stream_oversized" in "".join(follower.said))
        connection.close()
    assert follower.lines == []


def test_lines_are_aligned():
    record = number(4000, state=State.ICMP_ERROR, icmp_type=3, icmp_code=1, attempts=12)
    record["sender_hi"], record["sender_lo"] = words("192.0.2.1")
    ping = flow("icmp", "10.0.0.1", "192.0.2.9", last=START + 7 * SECOND)
    assert (text(record, "verdict") + text(ping, "flow")).decode() == (
        "2026-09-21T14:13:23.000Z verdict icmp_error  outbound tcp    10.0.0.1:4000         ->"
        " 192.0.2.9:80            12 host unreachable (ICMP 3/1) from 192.0.2.1\n"
        "2026-09-21T14:13:27.000Z flow    unanswered  outbound icmp   10.0.0.1              ->"
        " 192.0.2.9                1 no answer to 1 attempt\n"
    )


class Renumbered:
    def flows(self, flows):
        flows = flows.copy()
        flows["low_lo"] = words("172.16.0.1")[1]
        return flows


def test_addresses_are_replaced_if_there_is_an_anonymiser():
    record = number(4000)
    hidden = Renumbered().flows(record)
    assert lines(None)(record, "verdict") == text(record, "verdict")
    assert lines(None, Renumbered())(record, "verdict") == text(hidden, "verdict")
    for fields in ("eve", "ecs"):
        assert lines(fields)(record, "flow") == events(record, "flow", fields)
        assert lines(fields, Renumbered())(record, "flow") == events(hidden, "flow", fields)


def test_a_socket_that_cannot_be_reached_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"unix:.*/file/verdicts: Not a directory"):
        tail(Endpoint(f"unix:{tmp_path}/file/verdicts"))


class Command:
    """``chamaleonet tail`` in a process of its own."""

    def __init__(self, address, *options):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "chamaleonet", "tail", "--stream", address.address, *options],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def connected(self):
        while "connected" not in (said := self.process.stderr.readline()):
            assert said, self.process.wait(10)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()


@pytest.mark.parametrize("number_", [signal.SIGTERM, signal.SIGINT])
def test_the_command_prints_each_line_at_once_and_ends_quietly(address, number_):
    stream = producer(address)
    with Command(address, "--verdict", "refused", "--ended") as command:
        command.connected()
        send(stream, number(1), number(2, state=State.REFUSED))
        expected = text(number(2, state=State.REFUSED), "verdict").decode()
        assert command.process.stdout.readline() == expected
        os.kill(command.process.pid, number_)
        assert command.process.wait(30) == 0
        assert command.process.communicate() == ("", "")
    stream.close()


@pytest.mark.parametrize("fields", ["eve", "ecs"])
def test_the_command_prints_json(address, fields):
    stream = producer(address)
    with Command(address, "--json", fields) as command:
        command.connected()
        send(stream, number(1))
        line = command.process.stdout.readline()
    stream.close()
    assert line.encode() == events(number(1), "verdict", fields)
    assert json.loads(line)


def test_the_command_ends_quietly_when_nobody_reads(address):
    stream = producer(address)
    with Command(address) as command:
        command.connected()
        command.process.stdout.close()
        assert command.process.wait(30) == 128 + signal.SIGPIPE
        assert command.process.stderr.read() == ""
    stream.close()
