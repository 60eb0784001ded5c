"""What a probe makes of what it can and cannot see."""

from __future__ import annotations

import pytest

from chamaleonet.config import Config
from chamaleonet.flows.records import Direction, Quality
from chamaleonet.flows.transitions import State
from chamaleonet.switch.rules import Kind
from chamaleonet.switch.sight import Losses
from tests.switch.build import PIPELINES, PlayedProbe
from tests.traffic import SECOND, icmp_error, udp

INTERNAL = ("10.0.0.0/8", "10.7.0.0/16")
SERVER = "192.0.2.9"
SETTINGS = {"interval": "100ms", "clients": 8, "recovery": "1s"}


class Watched(PlayedProbe):
    """A probe whose clients ask, second by second."""

    def __init__(self, pipeline="conntrack", **settings):
        visibility = SETTINGS | settings
        config = Config(max_flows=4096, timeout="1s", internal=INTERNAL, visibility=visibility)
        super().__init__(pipeline, config=config)
        self.connect()
        self.lost = 0
        self._port = 1000

    def ask(self, *, answered, clients=10, net="10.0.0"):
        """Let clients ask one server each, on a new port."""
        self._port += 1
        for n in range(clients):
            client, server = f"{net}.{n + 1}", f"192.0.2.{n + 1}"
            self.receive(udp(client, server, sport=self._port, dport=53))
            if answered:
                self.receive(udp(server, client, sport=53, dport=self._port))

    def pass_time(self, seconds, **ask):
        """Ask ten times a second, and look."""
        for _ in range(round(seconds * 10)):
            if ask:
                self.ask(**ask)
            self.wait(0.1)
            self.probe.look(self.lost, self.now)

    @property
    def redirects(self):
        return sum(rule.cookie.kind is Kind.REDIRECT for rule in self.rules)

    def suspect(self, reason, direction="outbound"):
        return self.metric("suspect_prefixes", direction=direction, reason=reason)

    def verdicts(self, state, quality):
        flows = self.probe.engine.live_flows((state,))
        return int((flows["quality"] == quality).sum())


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_no_rule_is_installed_and_no_verdict_is_sound_while_replies_are_out_of_sight(
    pipeline, caplog
):
    probe = Watched(pipeline)
    probe.pass_time(2, answered=True)
    assert (probe.redirects, probe.suspect("one_way")) == (0, 0)
    probe.pass_time(3, answered=False)
    assert probe.suspect("one_way") == 2  # all together, and 10/8
    assert probe.suspect("one_way", "inbound") == 0
    assert probe.metric("flows_unsound_total", quality="suspect") >= 190
    assert probe.verdicts(State.UNANSWERED, Quality.SOUND) == 0
    assert probe.verdicts(State.UNANSWERED, Quality.SUSPECT) >= 190
    assert (probe.redirects, probe.packets) == (0, [])
    assert "switch: replies to outbound flows are out of sight (one_way)" in caplog.text
    probe.pass_time(3, answered=True)
    assert probe.suspect("one_way") == 0
    assert "switch: replies to outbound flows are in sight again" in caplog.text
    probe.receive(udp("10.0.0.1", SERVER, sport=7))
    probe.pass_time(2, answered=True)
    assert probe.verdicts(State.UNANSWERED, Quality.SOUND) == 1
    assert (probe.redirects, len(probe.packets)) == (1, 1)


def test_a_rule_that_is_there_stays_until_its_flow_is_answered():
    probe = Watched()
    request = udp("10.0.0.1", SERVER, sport=7)
    probe.receive(request)
    probe.pass_time(2, answered=True)
    assert probe.redirects == 1
    probe.pass_time(2, answered=False)
    probe.receive(icmp_error("198.51.100.1", request))
    assert probe.verdicts(State.ICMP_ERROR, Quality.SUSPECT) == 1
    assert probe.redirects == 1
    probe.receive(udp(SERVER, "10.0.0.1", sport=53, dport=7))
    assert probe.redirects == 0


def test_one_prefix_is_suspect_and_the_others_are_not(caplog):
    probe = Watched()
    for _ in range(20):
        probe.ask(answered=True)
        probe.ask(answered=True, net="10.7.0", clients=9)
        probe.pass_time(0.1)
    for _ in range(20):
        probe.ask(answered=True, clients=100)
        probe.ask(answered=False, net="10.7.0", clients=9)
        probe.pass_time(0.1)
    probe.receive(udp("10.0.0.1", SERVER, sport=7))
    probe.receive(udp("10.7.0.1", SERVER, sport=7))
    probe.pass_time(1.2, answered=True)
    assert probe.suspect("one_way") == 1
    assert "replies to outbound flows of 10.7.0.0/16 are out of sight" in caplog.text
    assert probe.verdicts(State.UNANSWERED, Quality.SOUND) == 1
    assert probe.redirects == 1


def test_a_dead_server_is_no_loss_of_sight():
    probe = Watched()
    for _ in range(30):
        probe.ask(answered=True)
        for n in range(10):
            probe.receive(udp(f"10.0.0.{n + 1}", SERVER, sport=probe._port, dport=99))
        probe.pass_time(0.1)
    assert probe.suspect("one_way") == probe.suspect("answered_share") == 0
    assert probe.redirects > 100


def test_lost_packets_make_all_verdicts_suspect_for_a_while(caplog):
    probe = Watched()
    probe.pass_time(1, answered=True)
    probe.lost = 1000
    probe.pass_time(0.1, answered=True)
    for direction in Direction:
        assert probe.suspect("drops", direction.label) == 1
        assert probe.probe.qualities[direction] is Quality.SUSPECT
    assert "packets are lost on their way to us" in caplog.text
    probe.pass_time(1.5, answered=True)
    assert probe.suspect("drops") == 0
    assert probe.probe.qualities[Direction.OUTBOUND] is Quality.SOUND
    assert "verdicts are sound again" in caplog.text


def test_it_can_be_turned_off():
    probe = Watched(enabled=False)
    probe.lost = 1000
    probe.pass_time(2, answered=False)
    assert probe.suspect("one_way") == probe.suspect("drops") == 0
    assert probe.redirects > 0


SOUND, DEGRADED, SUSPECT = Quality


@pytest.mark.parametrize(
    ("lost", "judged", "quality"),
    [(0, 1000, SOUND), (1, 1000, DEGRADED), (9, 10, DEGRADED), (100, 99_900, DEGRADED),
     (10, 989, SUSPECT), (10, 0, SUSPECT)],
)  # fmt: skip
def test_how_much_was_lost_tells_how_much_is_worth(lost, judged, quality):
    assert Losses(0.01, 5 * SECOND).look(lost, judged, SECOND) is quality


def test_a_loss_counts_until_its_last_verdict():
    losses = Losses(0.01, 5 * SECOND)
    assert losses.look(100, 100, 1 * SECOND) is SUSPECT
    assert losses.look(101, 10_000, 4 * SECOND) is SUSPECT
    assert losses.look(101, 20_000, 6 * SECOND) is DEGRADED
    assert losses.look(101, 30_000, 9 * SECOND) is SOUND


def test_with_another_timeout_a_loss_counts_as_long_as_that_one():
    probe = Watched()
    probe.probe.set_timeout(20 * SECOND)
    probe.pass_time(1, answered=True)
    probe.lost = 1000
    probe.pass_time(15, answered=True)
    assert probe.suspect("drops") == 1
    probe.probe.set_timeout(1 * SECOND)
    probe.pass_time(10, answered=True)
    assert probe.suspect("drops") == 0
