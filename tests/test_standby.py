"""One of two controllers: a process, its switch made of one socket, and the other node played."""

import os
import re
import time
from pathlib import Path

import pytest

from chamaleonet import config as configuration
from chamaleonet.checkpoint import encode
from chamaleonet.election.feed import Feed, FeedReader, Frame, pack
from chamaleonet.errors import UserError
from chamaleonet.log.stream.endpoint import Endpoint
from tests.fake_switch import BARRIER_REQUEST, MASTER, ROLE_REQUEST, SLAVE, Roles
from tests.flows.test_snapshot import engine
from tests.test_controller import Process
from tests.traffic import Record, batch, ethernet, udp

C, S = "10.0.0.1", "192.0.2.9"


class Peer:
    """The other node: it says that it is master, until it is closed."""

    def __init__(self, directory, first=()):
        self.is_master = True
        endpoint = Endpoint(f"unix:{directory}/peer")
        self._feed = Feed(endpoint, lambda: (9, self.is_master), lambda: list(first))
        self._reader = FeedReader(
            Endpoint(f"unix:{directory}/own"), lambda *frame: self.told.append(frame)
        )
        self.told = []

    @property
    def heard(self):
        return self._reader.peer

    def die(self):
        self._feed.close()

    def close(self):
        self._reader.close()


@pytest.fixture
def start(tmp_path):
    started = []

    def start(election="priority: {value: 5}"):
        text = (
            f"high_availability: {{lease: 2s, {election}, listen: 'unix:{tmp_path}/own',"
            f" peer: 'unix:{tmp_path}/peer'}}\n"
            "switches:\n  - {dp_id: a1, pipeline: reactive, logger_port: 4}\n"
        )
        checkpoint = f"{{directory: '{tmp_path}/checkpoint', interval: 50ms}}"
        started.append(Process(tmp_path, text, checkpoint=checkpoint))
        return started[-1]

    yield start
    for controller in started:
        controller.process.kill()
        controller.process.wait()


def flows(count):
    """Return a snapshot of flows that failed a moment ago."""
    source = engine()
    now = time.time_ns()
    records = [Record(ethernet(udp(C, S, sport=port)), time=now) for port in range(count)]
    list(source.judge(batch(records)))
    list(source.advance(now + 4 * 10**9))
    return source.snapshot(count)


def test_a_standby_gives_no_orders_and_takes_over_with_the_flows_of_the_master(
    start, connect, tmp_path
):
    term = time.time_ns()
    peer = Peer(tmp_path, [pack(Frame.BEGIN, 0xA1, encode(flows(3), 7, term, term))])
    controller = start()
    switch = connect(controller, roles=Roles(generation=term))
    switch.receive_until(ROLE_REQUEST, 2)
    assert switch.roles.requests == [(0, 0), (SLAVE, term)]
    assert controller.value("controller_master") == 0
    assert not (tmp_path / "verdicts.sock").exists(), "who is no master has nothing to tell"
    peer.die()
    switch.receive_until(ROLE_REQUEST)
    role, generation = switch.roles.requests[-1]
    assert role == MASTER
    assert generation > term
    switch.receive_until(BARRIER_REQUEST, 2)
    assert switch.roles.master is switch
    redirects = [cookie for cookie, table, _ in switch.rules() if table == 1 and cookie >> 40 & 15]
    assert len(redirects) == 3
    assert controller.value("controller_master") == 1
    assert controller.value("takeovers_total") == 1
    assert controller.value("restored_flows_total") == 3
    peer.close()


def test_what_another_master_has_outdated_is_not_gone_on_with(start, connect, tmp_path):
    term = time.time_ns()
    peer = Peer(tmp_path, [pack(Frame.BEGIN, 0xA1, encode(flows(3), 7, term - 1, term))])
    controller = start()
    switch = connect(controller, roles=Roles(generation=term))
    switch.receive_until(ROLE_REQUEST, 2)
    peer.die()
    switch.receive_until(BARRIER_REQUEST, 2)
    assert controller.value("restored_flows_total") == 0
    assert "what is saved is out of date" in controller.errors.read_text()
    peer.close()


def test_a_claim_that_is_stale_ends_the_process_with_a_status_of_its_own(start, connect):
    controller = start()
    switch = connect(controller)
    switch.receive_until(BARRIER_REQUEST, 2)
    # A node with a later term was there meanwhile.
    switch.roles.generation = (1 << 63) - 1
    switch.close()
    again = connect(controller, table=switch.table, roles=switch.roles)
    again.receive_until(ROLE_REQUEST)
    assert controller.process.wait(30) == os.EX_TEMPFAIL
    errors = controller.errors.read_text()
    assert "is the master no longer" in errors
    assert "OFPRRFC_STALE" in errors
    assert "Traceback" not in errors


def test_a_master_whose_switch_obeys_another_one_stands_back(start, connect):
    controller = start()
    switch = connect(controller)
    switch.receive_until(BARRIER_REQUEST, 2)
    switch.roles.master = None  # it is somebody else
    with pytest.raises((ConnectionResetError, TimeoutError)):
        switch.receive_until(BARRIER_REQUEST)  # it asks now and then how it stands
    assert controller.process.wait(30) == os.EX_TEMPFAIL
    assert "switch has another one" in controller.errors.read_text()


def test_who_comes_back_finds_a_master_and_stays_a_standby(start, connect, tmp_path):
    peer = Peer(tmp_path)
    controller = start("priority: {value: 99}")  # more than the master's
    switch = connect(controller, roles=Roles(generation=5))
    deadline = time.monotonic() + 5
    switch.socket.settimeout(1)
    while time.monotonic() < deadline:
        try:
            switch.receive()
        except TimeoutError:
            continue
    assert switch.roles.requests == [(0, 0), (SLAVE, 5)]
    assert controller.value("controller_master") == 0
    assert peer.heard.priority == 99
    assert not peer.heard.is_master
    peer.die()
    peer.close()


def test_a_master_that_is_stopped_hands_over_what_it_knows(start, connect, tmp_path):
    controller = start()
    switch = connect(controller)
    switch.receive_until(BARRIER_REQUEST, 2)
    peer = Peer(tmp_path)
    deadline = time.monotonic() + 90
    while not any(kind is Frame.BEGIN for kind, _, _ in peer.told):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert peer.heard.is_master
    assert controller.stop() == 0
    peer.die()
    peer.close()


def test_the_documentations_example_is_a_configuration(tmp_path):
    page = Path(__file__).parents[1] / "docs/high-availability.md"
    (example,) = re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)
    path = tmp_path / "a.yaml"
    path.write_text(example)
    settings = configuration.load(path).high_availability
    assert settings.etcd.servers[0].startswith("https:")


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ("lease: 2s", "one of etcd, kubernetes and priority"),
        ("lease: 2s, priority: {value: 1}, etcd: {servers: ['http://x']}", "one of etcd"),
        ("lease: 2500ms, priority: {value: 1}", "whole seconds"),
        ("priority: {value: 1}, peer: 'tcp:127.0.0.1:1'", "flows over TCP need tls"),
    ],
)
def test_what_cannot_elect_is_refused(tmp_path, wrong, why):
    path = tmp_path / "a.yaml"
    peer = "" if "peer" in wrong else ", peer: 'unix:/b'"
    path.write_text(f"high_availability: {{listen: 'unix:/a'{peer}, {wrong}}}\n")
    with pytest.raises(UserError, match=why):
        configuration.load(path)


DETECTORS = (
    "switches: [{dp_id: a1, pipeline: conntrack, logger_port: 4,"
    " candidates: {port: 3, interface: c, detectors: 2}}]"
)


@pytest.mark.parametrize(
    ("more", "why"), [("checkpoint: null", "needs a checkpoint"), (DETECTORS, "exclude each other")]
)
def test_what_cannot_be_followed_is_refused(tmp_path, more, why):
    path = tmp_path / "a.yaml"
    ends = "listen: 'unix:/a', peer: 'unix:/b'"
    path.write_text(f"high_availability: {{{ends}, priority: {{value: 1}}}}\n{more}\n")
    with pytest.raises(UserError, match=why):
        configuration.load(path)
