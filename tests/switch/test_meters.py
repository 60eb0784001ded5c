import itertools
import re
from ipaddress import ip_address, ip_network

import pytest

from chamaleonet.flows.records import Direction, Quality
from chamaleonet.switch import encode, framework
from chamaleonet.switch.meters import Meters, meter_rules, meters_of
from chamaleonet.switch.quality import Qualities
from chamaleonet.switch.rules import IPV4, Controller, Meter, Resubmit, Rule, rule_text
from chamaleonet.units import PRIVATE
from tests.fake_switch import FlowTable
from tests.switch.build import PIPELINES, PlayedProbe, answer, frame, switch
from tests.switch.test_encode import PARSER, PROTOCOL, Datapath
from tests.traffic import SECOND

INTERNAL = (*PRIVATE, ip_network("192.0.2.0/25"), ip_network("2001:db8::/32"))
REPLY = "ct_state=+est+rpl+trk"


def meter_of(rules, address, end="src", *, reply=False):
    """Return the meter of a packet with this address, by the rules; exactly one must win."""
    address = ip_address(address)
    field = f"ipv{address.version}_{end}"
    winners = []
    for rule in rules:
        match = dict(rule.match)
        if ("ct_state" in match) == reply and field in match:
            value, mask = match[field]
            if int(address) & mask == value:
                winners.append((rule.priority, rule.actions[0].meter))
    best = max(winners)[0]
    (meter,) = {meter for priority, meter in winners if priority == best}
    return meter


@pytest.fixture
def rules():
    return [*meter_rules(switch("conntrack", meters={"first": 1}), INTERNAL)]


def test_inside_and_outside_have_meters_of_their_own_by_prefix(rules):
    inside = {meter_of(rules, f"10.0.{subnet}.7") for subnet in range(8)}
    outside = {meter_of(rules, f"77.{net}.1.7") for net in range(8)}
    assert (inside, outside) == ({1, 2, 3, 4}, {5, 6, 7, 8})
    assert {meter_of(rules, f"fd00:0:0:{subnet:x}::1") for subnet in range(8)} == inside
    assert {meter_of(rules, f"2a00:{net:x}::1") for net in range(8)} == outside
    # A subnet shares one meter, and so does a prefix that is smaller than the bits tell apart.
    assert len({meter_of(rules, f"10.0.3.{host}") for host in range(256)}) == 1
    assert len({meter_of(rules, f"192.0.2.{host}") for host in range(128)}) == 1


def test_replies_go_by_whom_they_are_for(rules):
    there = {meter_of(rules, f"10.0.{subnet}.7", "dst", reply=True) for subnet in range(8)}
    away = {meter_of(rules, f"77.{net}.1.7", "dst", reply=True) for net in range(8)}
    assert (there, away) == ({9, 10, 11, 12}, {13, 14, 15, 16})


def test_every_meter_that_a_rule_names_is_there_and_they_share_the_rate():
    for pipeline, number in (("conntrack", 16), ("reactive", 8)):
        at = switch(pipeline, meters={"by": "action", "rate": 800})
        meters = meters_of(at)
        named = {rule.actions[0].meter for rule in meter_rules(at, INTERNAL)}
        assert named == {meter.number for meter in meters} == set(range(0xC4A1, 0xC4A1 + number))
        assert {meter.rate for meter in meters} == {100}


def test_packet_ins_are_metered_where_open_vswitch_sends_them():
    assert frame("conntrack").candidate == Resubmit(253)
    assert frame("reactive").candidate == Controller(128)
    assert frame("reactive", meters={"by": "action"}).candidate == Resubmit(253)
    assert frame("conntrack", meters={"by": "none"}).candidate == Controller(128)
    by_port = frame("conntrack", candidates={"port": 3, "interface": "cand0"})
    assert {rule.table for rule in by_port.static_rules()} == {0, 1, 2, 3}
    every = switch("reactive", meters={"by": "controller", "rate": 500})
    assert meters_of(every) == (Meter(0xFFFFFFFD, 500, 500),)


def test_rules_and_meters_read_as_ovs_ofctl_takes_them():
    match = (("eth_type", IPV4), ("ipv4_src", (0x0A000100, 0xFF000300)))
    assert rule_text(Rule(253, 20, match, (Controller(128, 7),))).endswith(
        "ip,nw_src=10.0.1.0/255.0.3.0 actions=controller(max_len=128,meter_id=7)"
    )
    assert str(Resubmit(253)) == "resubmit(,253)"
    bands = "pktps,burst,stats,bands=type=drop,rate=9,burst_size=9"
    assert str(Meter(7, 9, 9)) == f"meter=7,{bands}"
    assert str(Meter(0xFFFFFFFD, 9, 9)) == f"meter=controller,{bands}"


@pytest.mark.parametrize("command", ["ADD", "MODIFY"])
def test_meter_mods_equal_the_frameworks(command):
    flags = PROTOCOL.OFPMF_PKTPS | PROTOCOL.OFPMF_BURST | PROTOCOL.OFPMF_STATS
    message = PARSER.OFPMeterMod(
        Datapath, getattr(PROTOCOL, f"OFPMC_{command}"), flags, 7,
        [PARSER.OFPMeterBandDrop(100, 50)],
    )  # fmt: skip
    message.set_xid(5)
    message.serialize()
    ours = getattr(encode, f"{command}_METER")
    assert encode.set_meter(ours, Meter(7, 100, 50), 5) == bytes(message.buf)


def test_the_question_equals_the_frameworks():
    message = PARSER.OFPMeterStatsRequest(Datapath, 0, PROTOCOL.OFPM_ALL)
    message.set_xid(6)
    message.serialize()
    assert encode.ask_meters(6) == bytes(message.buf)


def kinds(data):
    """Return the types of the messages in a byte string."""
    found = []
    while data:
        found.append(data[1])
        data = data[int.from_bytes(data[2:4]) :]
    return found


class Metered:
    def __init__(self, **changes):
        self.told = []
        qualities = Qualities(lambda *change: self.told.append(change))
        self.meters = Meters(switch(**changes), qualities, 3 * SECOND)
        self.xid = itertools.count(1)
        self.meters.connect(lambda: next(self.xid))


def test_meters_are_added_or_modified_once_for_each_connection():
    metered = Metered()
    sent = metered.meters.install()
    assert kinds(sent) == [encode.METER_MOD] * 32 + [encode.MULTIPART_REQUEST]
    assert metered.meters.install() == b""
    metered.meters.connect(lambda: next(metered.xid))
    assert kinds(metered.meters.install()) == kinds(sent)


def test_a_meter_that_is_there_is_no_failure_but_a_switch_without_meters_is_told_of(caplog):
    metered = Metered()
    metered.meters.install()
    assert metered.meters.on_error(1, "OFPMMFC_METER_EXISTS")
    assert caplog.text == ""
    for xid in (2, 4):
        assert metered.meters.on_error(xid, "OFPET_BAD_REQUEST, OFPBRC_BAD_TYPE")
    assert len(re.findall("packet-ins are not limited", caplog.text)) == 1
    assert metered.meters.poll(SECOND) == b""
    assert not metered.meters.on_error(99, "somebody else's")


def test_what_was_held_back_is_counted_and_degrades_every_verdict_for_a_while():
    metered = Metered(meters={"first": 1})
    metered.meters.install()

    def count(dropped, now):
        metered.meters.on_counts([(meter, n, n) for meter, n in dropped], 0, now)

    count([(1, 1000), (2, 0), (77, 5)], 0)  # before our time
    assert metered.meters.dropped == 0
    count([(1, 1010), (2, 5), (77, 9)], SECOND)
    assert metered.meters.dropped == 15
    assert metered.told == [(way, Quality.DEGRADED) for way in Direction]
    metered.told.clear()
    count([(1, 1010), (2, 5)], 3 * SECOND)
    assert metered.meters.is_dropping
    count([(1, 1010), (2, 5)], 4 * SECOND)
    assert not metered.meters.is_dropping
    assert metered.told == [(way, Quality.SOUND) for way in Direction]
    count([(1, 3), (2, 5)], 5 * SECOND)  # made anew
    assert metered.meters.dropped == 18


def lost(*steps):
    """Return how many packet-ins were found lost at each step: (passed, received) so far."""
    metered, found = Metered(meters={"first": 1}), []
    metered.meters.install()
    for step, (passed, received) in enumerate(steps):
        metered.meters.on_counts([(1, passed + 7, 7), (99, 5, 0)], received, step * SECOND)
        found.append(metered.meters.lost)
    return found, bool(metered.told)


def test_what_passed_a_meter_but_never_came_is_found():
    # Known before: 50 that came while we were not asking. Some are always on their way.
    assert lost((50, 0), (150, 90), (250, 199), (350, 300), (350, 300)) == ([0] * 5, False)
    # All is quiet, and 30 have not come.
    assert lost((0, 0), (1000, 960), (1000, 970), (1000, 970)) == ([0, 0, 30, 30], True)
    # It is not quiet, but that many cannot be on their way for so long.
    steps = (0, 0), (1000, 500), (2000, 1500), (3000, 2400), (4000, 3400), (4000, 3400)
    assert lost(*steps) == ([0, 0, 0, 500, 500, 600], True)
    # The switch has restarted: its meters begin anew.
    assert lost((1000, 1000), (10, 1010), (20, 1020), (20, 1020)) == ([0] * 4, False)


def test_meters_are_asked_about_once_a_second():
    metered = Metered()
    metered.meters.install()
    asked = [bool(metered.meters.poll(n * SECOND // 4)) for n in range(4, 13)]
    assert asked == [True, False, False, False, True, False, False, False, True]


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_a_probe_installs_meters_before_the_rules_that_name_them(pipeline):
    played = PlayedProbe(pipeline, meters={"by": "action"})
    question = played.probe.connect(lambda: next(played._xid))
    assert played.probe.flush() == b""  # nothing before we know which rules are there
    answer(played.probe.rulebook, question, FlowTable())
    sent = kinds(played.probe.flush())
    first = sent.index(encode.FLOW_MOD)
    assert set(sent[:first]) == {encode.METER_MOD, encode.MULTIPART_REQUEST}
    assert encode.METER_MOD not in sent[first:]
    played.settle()
    played.probe.on_meters([(0xC4A1, 0, 0)])
    played.probe.on_meters([(0xC4A1, 9, 9)])
    assert played.metric("dropped_total", cause="metered") == 9
    assert played.metric("shedding", dp_id="00000000000000a1") == 1


def test_packet_ins_by_a_meter_are_open_vswitchs_own_action():
    """nicira-ext.h: NXAST_CONTROLLER2 with the properties max_len and meter_id."""
    action = encode._encode_action(Controller(128, 0xC4A1))
    assert action == bytes.fromhex(
        "ffff 0020 00002320 0025 000000000000 0000 0006 0080 0000 0005 0008 0000c4a1"
    )
    resubmit = PARSER.NXActionResubmitTable(in_port=0xFFF8, table_id=253)
    theirs = bytearray()
    resubmit.serialize(theirs, 0)
    assert encode._encode_action(Resubmit(253)) == bytes(theirs)
    assert framework.ofp_event.EventOFPMeterStatsReply
