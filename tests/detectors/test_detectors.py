"""Real detectors, fed by a cable in a network namespace."""

import os
import signal
import socket
import time
from ipaddress import ip_network

import pytest

from chamaleonet.config import Config
from chamaleonet.detectors.detectors import Detectors
from chamaleonet.flows.records import Change, Direction, Quality
from chamaleonet.flows.sights import Seen, distinct
from chamaleonet.flows.transitions import ERRONEOUS, State
from chamaleonet.switch.probe import warm_up
from tests.flows.playbook import settings
from tests.namespace import Namespace, needs_root
from tests.traffic import SECOND, Record, batch, ethernet, icmp_error, udp

pytestmark = [pytest.mark.root, needs_root]

LAG, ROUTER = 15 * 10**6, "198.51.100.1"
FLOWS = [(f"10.0.0.{n}", f"192.0.2.{n}") for n in range(1, 41)]


@pytest.fixture(scope="module")
def namespace():
    warm_up(Config())  # as the controller does
    with Namespace() as fresh:
        fresh.veth("near", "far")
        yield fresh


class Watched:
    """Detectors on one end of a cable, what is sent into the other, and what they tell."""

    def __init__(self, namespace, number, **changes):
        self.counted = []  # COUNT records of healthy flows
        self.detectors = namespace.call(
            Detectors, "s1", "near", number, 128, 5, LAG, self.counted.append, settings(**changes),
            judged=tuple(State)[2:], ended=tuple(State)[1:], packets=True, closings_seen=True,
        )  # fmt: skip
        self._sender = namespace.call(socket.socket, socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._sender.bind(("far", 0))
        self.events = []  # (change, state, quality, row)
        self.captured = []

    def send(self, *packets):
        for packet in packets:
            self._sender.send(ethernet(packet))

    def take(self, outputs):
        for output in outputs:
            self.events += [
                (Change(event["change"]), State(event["flow"]["state"]),
                 Quality(event["flow"]["quality"]), int(event["row"]))
                for event in output.events
            ]  # fmt: skip
            self.captured += output.packets["row"].tolist()

    def until(self, condition):
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline, self.events
            self.take(self.detectors.advance(time.time_ns()))
            time.sleep(0.005)

    def rows(self, change, state):
        return [event[3] for event in self.events if event[:2] == (change, state)]

    def close(self):
        self._sender.close()
        self.detectors.close()


@pytest.fixture
def watch(namespace):
    opened = []

    def watch(number=2, timeout=300 * 10**6, **changes):
        opened.append(Watched(namespace, number, timeout=timeout, **changes))
        return opened[-1]

    yield watch
    for watched in opened:
        watched.close()


def test_flows_are_judged_by_all_and_told_as_of_one(watch):
    watched = watch()
    detectors = watched.detectors
    watched.until(lambda: detectors.working == 2)
    for client, server in FLOWS:
        watched.send(udp(client, server), udp(client, server, sport=7))
        watched.send(udp(server, client, sport=53, dport=7))
        watched.send(icmp_error(ROUTER, udp(client, server)))
    watched.until(lambda: len(watched.events) == len(FLOWS))
    errors = watched.rows(Change.JUDGED, State.ICMP_ERROR)
    assert len(set(errors)) == len(FLOWS), "a row is one flow's"
    assert {row % 2 for row in errors} == {0, 1}, "both take part"
    assert sorted(watched.captured) == sorted(errors * 2), "first packet, ICMP error"
    assert len(detectors.live_flows(ERRONEOUS)) == len(FLOWS)
    watched.until(lambda: detectors.packets == 4 * len(FLOWS))
    watched.until(lambda: detectors.tracked_flows == 2 * len(FLOWS))
    watched.until(lambda: sum(detectors.verdicts.values()) == len(FLOWS))
    assert {State(key & 0xFF) for key in detectors.verdicts} == {State.ANSWERED}
    assert (detectors.dropped, detectors.pending_flows, detectors.untracked) == (0, 0, 0)
    assert detectors.cpu_seconds > 0
    watched.take(detectors.finish())
    assert sum(int(counts["flows"].sum()) for counts in watched.counted) == len(FLOWS)
    assert sorted(watched.rows(Change.ENDED, State.ICMP_ERROR)) == sorted(errors)
    assert len(detectors.live_flows(ERRONEOUS)) == 0


def test_each_has_its_share_of_the_table(watch):
    watched = watch(max_flows=6, timeout=100 * SECOND)
    for client, server in FLOWS:
        watched.send(udp(client, server))
    watched.until(lambda: watched.detectors.packets == len(FLOWS))
    assert watched.detectors.tracked_flows == 6
    assert watched.detectors.untracked == len(FLOWS) - 6


def test_the_flows_of_a_detector_that_dies_end_and_another_takes_its_place(watch, caplog):
    watched = watch()
    detectors = watched.detectors
    for client, server in FLOWS:
        watched.send(udp(client, server))
    watched.until(lambda: len(watched.rows(Change.JUDGED, State.UNANSWERED)) == len(FLOWS))
    for client, server in FLOWS:
        watched.send(udp(client, server, sport=7))
    watched.until(lambda: detectors.pending_flows == len(FLOWS))
    victim = detectors.process_ids[1]
    os.kill(victim, signal.SIGKILL)
    watched.until(lambda: detectors.restarts == 1)
    mine = [row for row in watched.rows(Change.JUDGED, State.UNANSWERED) if row % 2]
    assert sorted(watched.rows(Change.ENDED, State.UNANSWERED)) == sorted(mine)
    assert 0 < detectors.lost_flows < len(FLOWS)
    assert "s1: detector 1 died (exit status -9)" in caplog.text
    assert detectors.process_ids[1] != victim
    # The other one has gone on, and the new one judges: with care for a while.
    before = len(watched.events)
    for client, server in FLOWS:
        watched.send(udp(client, server, sport=9))
    watched.until(lambda: any(row % 2 for *_, row in watched.events[before:]))
    watched.until(lambda: any(not row % 2 for *_, row in watched.events[before:]))
    qualities = {(row % 2, quality) for _, _, quality, row in watched.events[before:]}
    assert qualities == {(1, Quality.DEGRADED), (0, Quality.SOUND)}
    watched.until(lambda: not detectors._processes[1].degraded)


def test_packets_wait_for_the_next_detector(watch):
    watched = watch(number=2, timeout=100 * SECOND)
    detectors = watched.detectors
    watched.until(lambda: detectors.working == 2)
    for victim in detectors.process_ids:
        os.kill(victim, signal.SIGKILL)
    for client, server in FLOWS:
        watched.send(udp(client, server))
    watched.until(lambda: detectors.packets == len(FLOWS))
    assert (detectors.restarts, detectors.dropped) == (2, 0)


def test_qualities_reach_all_and_those_that_come_later(watch):
    watched = watch()
    detectors = watched.detectors
    detectors.set_quality(Direction.OUTBOUND, Quality.SUSPECT)
    watched.until(lambda: detectors.working == 2)
    os.kill(detectors.process_ids[0], signal.SIGKILL)
    watched.until(lambda: detectors.restarts == 1)
    for client, server in FLOWS:
        watched.send(udp(client, server))
    watched.until(lambda: len(watched.events) == len(FLOWS))
    assert {quality for _, _, quality, _ in watched.events} == {Quality.SUSPECT}


def test_who_asks_is_known_by_all_together_and_qualities_by_prefix(watch):
    watched = watch(internal=tuple(map(ip_network, ("10.0.0.0/8", "10.0.0.32/27"))))
    detectors = watched.detectors
    detectors.set_quality(Direction.OUTBOUND, Quality.SUSPECT, 1)
    watched.until(lambda: detectors.working == 2)
    for client, server in FLOWS:
        watched.send(udp(client, "192.0.2.1"), udp(client, server, sport=7))
    watched.until(lambda: len(watched.events) == 2 * len(FLOWS))
    asked = Direction.OUTBOUND, Seen.ASKED
    watched.until(lambda: detectors.sights.flows[(0, *asked)] == 2 * len(FLOWS))
    clients, servers = distinct(detectors.sights.counts[(0, 0, *asked)])
    assert clients == pytest.approx(len(FLOWS), abs=12)
    assert servers == pytest.approx(len(FLOWS), abs=12)
    assert detectors.sights.flows[(1, *asked)] == 18  # of 10.0.0.32 to .40
    qualities = [quality for _, _, quality, _ in watched.events]
    assert qualities.count(Quality.SUSPECT) == 18


def test_a_flow_is_forgotten_by_the_detector_that_has_it(watch):
    watched = watch(number=3)
    for client, server in FLOWS[:9]:
        watched.send(udp(client, server))
    watched.until(lambda: len(watched.events) == 9)
    rows = watched.rows(Change.JUDGED, State.UNANSWERED)
    told = watched.detectors._told._flows
    for row in rows[:4]:
        watched.detectors.forget(row, int(told[row]["first"]))
    watched.until(lambda: len(watched.events) == 13)
    assert sorted(watched.rows(Change.ENDED, State.UNANSWERED)) == sorted(rows[:4])


def test_detectors_go_on_with_the_flows_of_others(watch):
    earlier = watch(number=3)
    for client, server in FLOWS:
        earlier.send(udp(client, server))
    earlier.until(lambda: len(earlier.events) == len(FLOWS))
    saved = earlier.detectors.snapshot(1000)
    earlier.close()
    watched = watch(number=2)
    restored = watched.detectors.restore(saved)
    assert len({*restored["row"].tolist()}) == len(FLOWS)
    assert set(restored["flow"]["state"].tolist()) == {State.UNANSWERED}
    assert len(watched.detectors.live_flows(ERRONEOUS)) == len(FLOWS)
    for client, server in FLOWS:  # each knows its own: the replies recover them
        watched.send(udp(server, client, sport=53, dport=40000))
    watched.until(lambda: len(watched.events) == len(FLOWS))
    recovered = watched.rows(Change.JUDGED, State.RECOVERED)
    assert sorted(recovered) == sorted(restored["row"].tolist())


def test_packets_by_another_way_are_counted_but_not_judged(watch):
    watched = watch()
    outputs = watched.detectors.judge(batch([Record(ethernet(udp(*FLOWS[0])))]))
    assert list(outputs) == []
    assert watched.detectors.unexpected == 1


def test_one_that_does_not_end_is_not_waited_for(watch, monkeypatch, caplog):
    monkeypatch.setattr("chamaleonet.detectors.detectors._PATIENCE_SECONDS", 0.2)
    watched = watch()
    watched.until(lambda: watched.detectors.working == 2)
    os.kill(watched.detectors.process_ids[0], signal.SIGSTOP)
    watched.take(watched.detectors.finish())
    assert "s1: 1 detectors do not end" in caplog.text
    watched.detectors.close()


def test_one_that_is_not_heard_of_is_not_counted_as_working(watch, monkeypatch):
    monkeypatch.setattr("chamaleonet.detectors.detectors._SILENT_SECONDS", 1.5)
    watched = watch()
    watched.until(lambda: watched.detectors.working == 2)
    os.kill(watched.detectors.process_ids[0], signal.SIGSTOP)
    watched.until(lambda: watched.detectors.working == 1)
    os.kill(watched.detectors.process_ids[0], signal.SIGCONT)
    watched.until(lambda: watched.detectors.working == 2)
