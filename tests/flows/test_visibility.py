"""Networks second by second, and whether their replies are in sight."""

from __future__ import annotations

import random

import pytest

from chamaleonet.flows.records import Direction
from chamaleonet.flows.sights import BUCKETS, SLOTS, Seen, new_sights
from chamaleonet.flows.visibility import Reason, Thresholds, Visibility, one_way
from tests.traffic import SECOND

OUTBOUND, INBOUND, INTERNAL = Direction.OUTBOUND, Direction.INBOUND, Direction.INTERNAL
ASKED, HEARD, UNASKED = Seen.ASKED, Seen.HEARD, Seen.UNASKED
ONE_WAY, SHARE = Reason.ONE_WAY, Reason.ANSWERED_SHARE
START = 1_700_000_000 * SECOND


class Network:
    """What an engine would note of a network with two internal prefixes, and what is told of it.

    Attributes:
        told: (second, prefix, direction, reason, suspect).
    """

    def __init__(self, **thresholds):
        self.sights = new_sights(2)
        self.random = random.Random(7)
        self.second = 0
        self.told = []
        self.visibility = Visibility(self.sights, Thresholds(**thresholds), START)

    @property
    def _slot(self):
        return self.sights.counts[(START // SECOND + self.second) % SLOTS]

    def see(self, seen, client, server, direction=OUTBOUND, prefix=1):
        """Note a flow; a host is any number."""
        for which in {0, prefix}:
            self.sights.flows[which, direction, seen] += 1
            for end, host in enumerate((client, server)):
                bucket = hash((end, host)) % BUCKETS  # of integers: the same in every process
                self._slot[which, direction, seen, end, bucket] += 1

    def flow(self, client, server, *, answered=True, **where):
        self.see(ASKED, client, server, **where)
        if answered:
            self.see(HEARD, client, server, **where)

    def outbound(self, clients=100, *, share=0.95, **where):
        """Let clients inside ask, each one of many servers; most are answered."""
        for client in range(clients):
            server = self.random.randrange(2000)
            self.flow(client, server, answered=self.random.random() < share, **where)

    def pass_second(self):
        """Let a second end, and half of the next one, in which answers may still come."""
        self.second += 1
        now = START + self.second * SECOND + SECOND // 2
        self.told += [(self.second, *change) for change in self.visibility.look(now)]

    def seconds(self, number, *scenes):
        """Play scenes, functions of this network, for some seconds."""
        for _ in range(number):
            for scene in scenes:
                scene(self)
            self.pass_second()
        return self

    @property
    def suspect(self):
        """Which (prefix, direction) are suspect now, and why."""
        now = {}
        for _, prefix, direction, reason, suspect in self.told:
            if suspect:
                now[prefix, direction] = reason
            else:
                del now[prefix, direction]
        return now


def day(network):
    network.outbound()


def night(network):
    network.outbound(2)


def blind(network):
    network.outbound(share=0)


def servers(network):
    """Clients outside ask our servers, most of which answer."""
    for n in range(100):
        network.flow(n, n % 30, answered=n % 10 > 0, direction=INBOUND)


# Causes.


def test_a_mirror_direction_that_goes_dead_is_noticed_within_two_seconds():
    network = Network().seconds(30, day, servers).seconds(2, blind)
    assert network.told == [
        (31, 0, OUTBOUND, ONE_WAY, True), (31, 1, OUTBOUND, ONE_WAY, True),
    ]  # fmt: skip


def test_half_of_the_replies_are_missing():
    """One of two links has a dead mirror port."""
    network = Network().seconds(30, day).seconds(1, lambda it: it.outbound(share=0.4))
    assert network.suspect == {(0, OUTBOUND): SHARE, (1, OUTBOUND): SHARE}


def test_clients_that_ask_much_have_some_answers_left():
    """Each flow takes one of two links, of which one is not mirrored any more."""

    def much(network, share):
        for _ in range(6):
            network.outbound(share=share)

    network = Network().seconds(30, lambda it: much(it, 0.95)).seconds(1, lambda it: much(it, 0.3))
    assert network.suspect == {(0, OUTBOUND): SHARE, (1, OUTBOUND): SHARE}


def test_a_prefix_that_goes_another_way_is_told_from_the_others():
    def others(network):
        network.outbound(2000, prefix=2)

    network = Network().seconds(30, day, others).seconds(5, blind, others)
    assert network.suspect == {(1, OUTBOUND): ONE_WAY}


def test_it_was_never_otherwise():
    """The mirror port was dead before we were started."""
    network = Network().seconds(2, blind)
    assert network.suspect == {(0, OUTBOUND): ONE_WAY, (1, OUTBOUND): ONE_WAY}


def test_inside_the_network():
    network = Network().seconds(3, lambda it: it.outbound(share=0, direction=INTERNAL))
    assert network.suspect == {(0, INTERNAL): ONE_WAY, (1, INTERNAL): ONE_WAY}


def test_what_leaves_is_out_of_sight_and_servers_seem_dead():
    def half(network):
        for n in range(100):
            network.flow(n, n % 30, answered=False, direction=INBOUND)

    network = Network().seconds(30, day, servers).seconds(2, half)
    assert network.suspect == {(0, INBOUND): ONE_WAY, (1, INBOUND): ONE_WAY}


def responses(network):
    """Servers outside answer what nobody was seen to ask; and there are scans as ever."""
    for n in range(60):
        network.see(UNASKED, n, 1000 + n, direction=INBOUND)
    network.flow(7, network.random.randrange(65536), answered=False, direction=INBOUND)


def test_what_leaves_was_never_in_sight_and_no_server_is_inside():
    network = Network().seconds(3, responses)
    assert network.suspect == {(0, INBOUND): ONE_WAY, (1, INBOUND): ONE_WAY}


def test_a_small_network_takes_as_long_as_it_takes_clients_to_ask():
    def one_asks(network):
        network.flow(network.second % 40, network.second % 40, answered=False)

    network = Network(clients=20).seconds(17, one_asks)
    assert network.suspect == {}
    assert network.seconds(8, one_asks).suspect == {(0, OUTBOUND): ONE_WAY, (1, OUTBOUND): ONE_WAY}


# No causes.


def outage(network):
    """Half of all flows go to one server, which is down: each client asks it."""
    network.outbound()
    for client in range(100):
        for _ in range(2):
            network.flow(client, 5000, answered=False)


def dns_outage(network):
    """Nobody can resolve a name: hardly a client has an answer, but some go on as before."""
    for client in range(100):
        network.flow(client, 6000 + client % 2, answered=False)
    network.outbound(20)


def scan_out(network):
    network.outbound()
    for n in range(600):
        network.flow(3, 10_000 + n, answered=False)


def scan_in(network):
    servers(network)
    network.outbound()
    for n in range(600):
        network.flow(4, n, answered=False, direction=INBOUND)


def spread_scan_in(network):
    """By a thousand bots: clients and servers by the number, but our servers answer as ever."""
    servers(network)
    network.outbound()
    for n in range(600):
        network.flow(20_000 + n % 400, n, answered=False, direction=INBOUND)


def forged_flood(network):
    """Forged sources ask one server, which answers to none of them."""
    servers(network)
    for n in range(600):
        network.flow(30_000 + n, 5, answered=False, direction=INBOUND)


def backscatter(network):
    """A few victims of forged sources answer our dark addresses."""
    network.outbound(5)
    for n in range(300):
        network.see(UNASKED, n % 5, n, direction=INBOUND)


def busier(network):
    network.outbound(100 + 20 * network.second)


@pytest.mark.parametrize(
    "scene",
    [outage, dns_outage, scan_out, scan_in, spread_scan_in, forged_flood, backscatter, busier],
)
def test_ordinary_trouble_is_no_loss_of_sight(scene):
    network = Network().seconds(30, day, servers).seconds(15, scene)
    assert network.told == []


@pytest.mark.parametrize(
    "scene", [day, night, outage, dns_outage, scan_out, scan_in, spread_scan_in, backscatter]
)
def test_nor_is_it_right_after_the_start(scene):
    assert Network().seconds(15, scene).told == []


def test_a_lone_scanner_is_one_client():
    network = Network().seconds(
        90, lambda it: [it.flow(1, 500 * it.second + n, answered=False) for n in range(500)]
    )
    assert network.told == []


def test_a_dark_network_has_nothing_to_answer_with():
    def knocks(network):
        for n in range(500):
            network.flow(500 * network.second + n, n, answered=False, direction=INBOUND)

    assert Network().seconds(60, knocks).told == []


def test_all_ask_at_once_just_before_an_interval_ends():
    """As by cron: their answers come in the next one, and count for this one."""
    network = Network()
    for _ in range(20):
        network.seconds(9)
        for client in range(100):
            network.see(ASKED, client, client)
        slot = network._slot
        network.second += 1
        assert list(network.visibility.look(START + network.second * SECOND)) == []
        for client in range(100):
            for which in (0, 1):
                for end in (0, 1):
                    slot[which, OUTBOUND, HEARD, end, hash((end, client)) % BUCKETS] += 1
        network.second -= 1
        network.pass_second()
    assert network.told == []


def test_a_process_that_was_away_concludes_nothing():
    network = Network().seconds(30, day)
    for _ in range(5):
        blind(network)
        network.second += 1
    assert network.seconds(20, day).told == []


def test_a_night_with_little_traffic():
    network = Network().seconds(30, day).seconds(400, night)
    assert network.seconds(30, day).told == []


def test_a_night_without_any_traffic():
    assert Network().seconds(30, day).seconds(100).seconds(30, day).told == []


def test_chance_does_not_add_up_in_a_day():
    """Few clients, of which a third are answered: now and then hardly any is."""
    network = Network().seconds(2000, lambda it: it.outbound(21, share=0.35))
    assert network.told == []


# And back.


def test_answers_must_be_back_for_a_while():
    network = Network(recovery=10 * SECOND).seconds(30, day).seconds(10, blind)
    assert network.seconds(9, day).suspect
    assert network.seconds(2, day).suspect == {}
    assert [each[0] for each in network.told] == [31, 31, 50, 50]
    assert {each[3] for each in network.told} == {ONE_WAY}, "the end names the reason too"


def test_a_slow_recovery_is_not_over_until_most_answers_are_back():
    network = Network().seconds(30, day).seconds(10, blind)
    assert network.seconds(30, lambda it: it.outbound(share=0.6)).suspect
    assert network.seconds(11, lambda it: it.outbound(share=0.8)).suspect == {}


def test_a_flapping_mirror_port_stays_suspect():
    network = Network().seconds(30, day).seconds(3, blind)
    for _ in range(5):
        network.seconds(5, day).seconds(2, blind)
    assert len(network.told) == 2


def test_few_clients_are_enough_to_trust_again():
    network = Network().seconds(30, day).seconds(10, blind)
    assert network.seconds(20, lambda it: it.outbound(6, share=1)).suspect == {}


def test_one_sided_sight_ends_when_the_other_side_is_seen():
    network = Network().seconds(5, responses)
    assert network.suspect
    assert network.seconds(12, responses, day).suspect == {}


def test_what_is_usual_is_not_forgotten_meanwhile():
    network = Network().seconds(30, day).seconds(200, lambda it: it.outbound(share=0.4))
    assert network.suspect
    assert network.seconds(12, day).seconds(1, blind).suspect


# A whole capture.


def test_a_capture_of_one_direction():
    network = Network()
    blind(network)
    scan_in(network)
    assert one_way(network.sights) == []
    network = Network()
    blind(network)
    before = network.sights.counts.copy()
    assert one_way(network.sights) == [OUTBOUND]
    assert (network.sights.counts == before).all()
