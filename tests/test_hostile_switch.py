"""The controller process, spoken to by switches that do not behave, beside one that does."""

import contextlib
import itertools
import random
import re
import resource
import socket
import struct
import time
from pathlib import Path

import pytest

from chamaleonet.switch import encode
from chamaleonet.switch.rules import COOKIE_PREFIX, UDP, Rule
from tests.fake_switch import (
    BARRIER_REPLY,
    BARRIER_REQUEST,
    ECHO_REPLY,
    ECHO_REQUEST,
    ERROR,
    HELLO,
    PORT_DESC,
    FakeSwitch,
    flow_removed,
    message,
    multipart,
    packet_in,
)
from tests.test_controller import Process, candidate
from tests.traffic import ethernet, udp

C, S = "10.0.0.1", "192.0.2.9"
HONEST, HOSTILE = 0xA1, 0xB2
SWITCHES = "switches:\n" + "".join(
    f"  - {{name: s{dp_id}, dp_id: {dp_id:x}, pipeline: reactive, logger_port: 4}}\n"
    for dp_id in (HONEST, HOSTILE)
)


class Lab:
    """A controller, a switch that behaves, and those that do not."""

    def __init__(self, controller):
        self.controller = controller
        self.honest = FakeSwitch(self.controller.address, HONEST)
        self.honest.receive_until(BARRIER_REQUEST, 2)
        self._ports = itertools.count(1024)
        self._before = {}

    def begin(self):
        """Count from here."""
        self._before = self._totals()

    def _totals(self):
        return dict(re.findall(r"^chamaleonet_(openflow\S+) (.*)$", self.scrape(), re.MULTILINE))

    def scrape(self):
        return self.controller.scrape()

    def said(self):
        return self.controller.errors.read_text()

    def counted(self, metric):
        """Return by how much a metric, or all of its children, rose since the test began."""
        return sum(
            float(total) - float(self._before.get(name, 0))
            for name, total in self._totals().items()
            if name.startswith(metric)
        )

    def open(self):
        connection = socket.create_connection(self.controller.address, timeout=60)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def errors(self, cause):
        return self.counted(f'openflow_errors_total{{cause="{cause}"}}')

    def eventually(self, cause, count):
        deadline = time.monotonic() + 30
        while self.errors(cause) < count:
            assert time.monotonic() < deadline, self.scrape()
            time.sleep(0.02)

    def pump(self):
        """Let the honest switch answer: whoever leaves echo requests unanswered is closed."""
        while self.honest.hears():
            self.honest.receive()

    def answer_beside(self, other):
        """Let another switch answer until it is asked what only a switch in use is."""
        kind = None
        while kind != BARRIER_REQUEST:
            self.pump()  # it may be asked whether it is still there
            if other.hears(0.01):
                kind = other.receive()[0]

    def check(self):
        """The honest switch is served: a failure is judged, and its rule installed."""
        before = len(self.honest.rules())
        self.honest.send(candidate(udp(C, S, sport=next(self._ports))))
        self.honest.receive_until(BARRIER_REQUEST)
        assert len(self.honest.rules()) == before + 1


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    directory = tmp_path_factory.mktemp("hostile")
    with Process(directory, SWITCHES, openflow=", handshake_timeout: 1s") as controller:
        lab = Lab(controller)
        yield lab
        lab.honest.close()


@pytest.fixture
def lab(started):
    started.begin()
    yield started
    assert started.controller.process.poll() is None
    assert "Traceback" not in started.said()


def closed(connection):
    """Wait until the controller closes the connection."""
    with contextlib.suppress(ConnectionResetError):
        while connection.recv(65536):
            pass
    connection.close()


def survives(switch, mark):
    """Tell whether a connection is still served, by an echo."""
    try:
        switch.send(message(ECHO_REQUEST, mark))
        while True:
            kind, _, body = switch.receive()
            if kind == ECHO_REPLY and body == mark:
                return True
    except (ConnectionResetError, BrokenPipeError):
        return False


def flow_stats(instructions=b"", *, length=None):
    match = struct.pack("!HH4x", 1, 4)
    size = 48 + len(match) + len(instructions) if length is None else length
    head = struct.pack("!HBxIIHHHH4xQQQ", size, 1, 9, 9, 100, 60, 0, 0, COOKIE_PREFIX, 5, 500)
    return multipart(1, head + match + instructions)


RULE = Rule(1, 100, (("eth_type", 0x0800), ("ip_proto", UDP), ("udp_dst", 53)), goto=2)
SEEDS = [
    packet_in(COOKIE_PREFIX, ethernet(udp(C, S))),
    packet_in(7, ethernet(udp(C, S))),
    flow_removed(COOKIE_PREFIX | 1 << 40 | 1),
    flow_removed(7),
    message(ERROR, struct.pack("!HH", 5, 1) + encode.add(RULE, 0, 1)),
    message(ERROR, struct.pack("!HHI", 0xFFFF, 1, 0x2320)),
    message(BARRIER_REPLY, xid=3),
    message(12, bytes(72)),  # OFPT_PORT_STATUS
    message(25, bytes(16)),  # OFPT_ROLE_REPLY
    message(4, struct.pack("!II", 0x2320, 1) + bytes(40)),  # OFPT_EXPERIMENTER
    message(23, bytes(8) + struct.pack("!IIH6xHH4xH6x", 1, 1, 32, 1, 16, 50)),
    multipart(2, bytes(24)),
    multipart(PORT_DESC, bytes(64)),
    multipart(3, bytes(48)),
    multipart(12, struct.pack("!HBx", 72, 1) + bytes(60) + struct.pack("!HH4x", 0, 4)),
    multipart(9, struct.pack("!II4x", 1, 40) + bytes(28)),
    flow_stats(struct.pack("!HHB3x", 1, 8, 3) + struct.pack("!HH4xHHIH6x", 4, 24, 0, 16, 4, 0)),
]


def mutated(chance):
    """Return a message with some bytes changed, some too many or too few; its length is true."""
    data = bytearray(chance.choice(SEEDS))
    for _ in range(chance.choice((0, 0, 1, 2, 8))):
        data[chance.randrange(4, len(data))] = chance.choice((0, 1, 0xFF, chance.randrange(256)))
    if chance.random() < 0.3:
        data = data[: chance.randrange(8, len(data) + 1)] + chance.randbytes(chance.randrange(64))
    struct.pack_into("!H", data, 2, len(data))
    if chance.random() < 0.1:
        data[chance.randrange(4)] = chance.randrange(256)
    return bytes(data)


def ends_within_message(data):
    while len(data) >= 8:
        length = max(8, struct.unpack_from("!H", data, 2)[0])
        if length > len(data):
            return True
        data = data[length:]
    return bool(data)


def speak_garbage(lab, chance):
    """Send random bytes, after a hello or not."""
    connection = lab.open()
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        connection.sendall(message(HELLO) * chance.randrange(2))
        connection.sendall(chance.randbytes(chance.randrange(1, 300)))
        connection.shutdown(socket.SHUT_WR)
    closed(connection)


def speak_mutants(lab, chance):
    """Be a switch that has been taken over; return how many messages were refused, 1 at most.

    Also return how many messages were sent.
    """
    switch = FakeSwitch(lab.controller.address, HOSTILE)
    switch.receive_until(BARRIER_REQUEST)
    sent = 0
    while sent < 60:
        batch = [mutated(chance) for _ in range(chance.randrange(1, 12))]
        sent += len(batch)
        data = b"".join(batch)
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            switch.send(data)
            if ends_within_message(data):
                switch.socket.shutdown(socket.SHUT_WR)
                closed(switch.socket)
                return 1, sent
        if not survives(switch, chance.randbytes(16)):
            switch.close()
            return 1, sent
    switch.close()
    return 0, sent


def resident(lab):
    text = lab.scrape()
    return float(text.split("\nprocess_resident_memory_bytes ")[1].split("\n")[0])


def test_garbage_and_mutated_messages_close_their_own_connection_alone(lab):
    chance = random.Random(15)
    before, opened, refused, sent = resident(lab), 0, 0, 0
    for _ in range(5):
        for _ in range(30):
            speak_garbage(lab, chance)
            lab.pump()
        for _ in range(30):
            outcome = speak_mutants(lab, chance)
            lab.pump()
            refused, sent = refused + outcome[0], sent + outcome[1]
        opened, refused = opened + 60, refused + 30
        lab.check()
    assert sent > 1000
    assert lab.counted("openflow_connections_total") == opened
    assert lab.counted("openflow_errors_total") == refused
    assert resident(lab) - before < 64 << 20
    assert lab.said().count("closed: ") < 30  # not each one of a flood


ENDLESS = [
    flow_stats(length=0),
    flow_stats(struct.pack("!HH4x", 4, 0)),  # an instruction of no length
    flow_stats(struct.pack("!HH4xHH4x", 4, 16, 0xFFFE, 0)),  # an action of no length
    multipart(12, bytes(64)),
    multipart(9, struct.pack("!II4x", 1, 0) + bytes(28)),
]


def test_entries_of_no_length_do_not_keep_the_process_busy(lab):
    for number, endless in enumerate(ENDLESS, 1):
        switch = FakeSwitch(lab.controller.address, HOSTILE)
        switch.receive_until(BARRIER_REQUEST)
        switch.send(endless)
        assert not survives(switch, b"?")
        switch.close()
        assert lab.errors("malformed") == number
    lab.check()


def test_handshakes_that_do_not_end_are_ended(lab):
    idle = lab.open()
    half = lab.open()
    half.sendall(message(HELLO) + message(ECHO_REQUEST)[:5])
    for each in (idle, half):
        closed(each)
    assert lab.errors("handshake_timeout") == 2
    lab.check()


def test_a_flood_of_connections_ends_the_oldest(lab):
    flood = [lab.open() for _ in range(200)]
    lab.eventually("handshake_flood", 1)
    lab.check()
    for each in flood:
        closed(each)
    assert lab.errors("handshake_flood") + lab.errors("handshake_timeout") == 200
    newcomer = FakeSwitch(lab.controller.address, HOSTILE)
    newcomer.receive_until(BARRIER_REQUEST)
    newcomer.close()


def test_running_out_of_files_is_survived(lab):
    pid = lab.controller.process.pid
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (files + 5, limits[1]))
    flood = [lab.open() for _ in range(20)]
    lab.check()
    for each in flood:
        each.close()
    resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    newcomer = FakeSwitch(lab.controller.address, HOSTILE)
    newcomer.receive_until(BARRIER_REQUEST)
    newcomer.close()
    lab.check()
    assert "Too many open files" in lab.said()


def test_a_switch_that_is_not_configured_is_refused(lab):
    stranger = FakeSwitch(lab.controller.address, 0xC3)
    with pytest.raises(ConnectionResetError):
        stranger.receive_until(BARRIER_REQUEST)
    stranger.close()
    assert stranger.flow_mods == []
    lab.eventually("unknown_datapath", 1)
    assert "datapath 00000000000000c3 is not configured" in lab.said()


def test_a_second_connection_of_a_switch_that_answers_is_refused(lab):
    other = FakeSwitch(lab.controller.address, HONEST)
    with pytest.raises(ConnectionResetError):
        lab.answer_beside(other)
    other.close()
    lab.eventually("duplicate_datapath", 1)  # counted after it is closed
    lab.check()


def test_a_switch_that_is_silent_can_come_back(lab):
    again = FakeSwitch(lab.controller.address, HONEST)
    again.receive_until(BARRIER_REQUEST, 2)
    assert lab.errors("silent") == 1
    closed(lab.honest.socket)
    lab.honest = again
    lab.check()
