"""Captures become frames, at their times."""

from __future__ import annotations

import struct

import pytest

from chamaleonet.errors import UserError
from chamaleonet.flows.engine import Settings
from chamaleonet.lab.inventory import Host, Inventory
from chamaleonet.lab.mapping import Mapping
from chamaleonet.lab.replay import Link, ethernet, needed, prepare, write
from chamaleonet.lab.truth import truth
from chamaleonet.units import PRIVATE
from tests.traffic import ACK, SECOND, SYN, ip, ping, tcp, udp
from tests.traffic import ethernet as framed

CLIENT, SERVER = "10.0.0.1", "192.0.2.1"
BEGIN = 1_700_000_000
INVENTORY = Inventory(
    [
        Host.of("in", ["10.20.10.10/24", "fd00:10::10/64"], inside=True),
        Host.of("out", ["203.0.113.10/24", "2001:db8:f1::10/64"], inside=False),
    ]
)
LINK = Link(b"\2\0\0\0\0\1", b"\2\0\0\0\0\2")


def capture(path, packets):
    """Write (seconds after the begin, frame) as a pcap file."""
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for at, frame in packets:
            seconds, rest = divmod(round((BEGIN + at) * 10**6), 10**6)
            file.write(struct.pack("<IIII", seconds, rest, len(frame), len(frame)) + frame)
    return str(path)


def prepared(captures, **changes):
    mapping = Mapping(INVENTORY, hosts=["in", "out"], internal=PRIVATE)
    return prepare(captures, mapping, Settings(max_flows=1000), **changes)


def asked(server, port):
    return framed(udp(CLIENT, server, sport=port))


@pytest.fixture
def path(tmp_path):
    """A capture: answered, unanswered, answered after 4 s; multicast, a fragment and ARP."""
    return capture(
        tmp_path / "one.pcap",
        [
            (0.0, framed(tcp(CLIENT, SERVER, SYN))),
            (0.5, framed(tcp(SERVER, CLIENT, SYN | ACK, sport=80, dport=40000))),
            (1.0, asked(SERVER, 1001)),
            (1.25, asked("224.0.0.1", 1002)),
            (1.25, framed(ip(CLIENT, SERVER, 17, b"fragment", fragment=5))),
            (1.5, framed(ping(CLIENT, SERVER))[:12] + b"\x08\x06" + bytes(28)),
            (1.5, framed(udp("169.254.1.1", SERVER))),
            (2.0, framed(udp("fd00::1", "2001:db8::1", sport=1003))),
            (6.0, framed(udp("2001:db8::1", "fd00::1", sport=53, dport=1003))),
        ],
    )


def test_times_ends_and_counts(path):
    made = prepared([path])
    assert [(frame.at / SECOND, frame.host, frame.to) for frame in made.frames] == [
        (0.0, "in", "out"), (0.5, "out", "in"), (1.0, "in", "out"),
        (2.0, "in", "out"), (6.0, "out", "in"),
    ]  # fmt: skip
    assert made.begin == BEGIN * SECOND
    assert made.duration == 6 * SECOND
    assert made.late == 0
    assert made.left_out == {"excluded": 1, "fragments": 1, "non_ip": 1, "link_local": 1}
    assert made.original["packets"] == 9
    verdicts = {name: count for name, count in made.original["verdicts"].items() if count}
    assert verdicts == {"answered": 1, "unanswered": 2, "recovered": 1}


def verdicts(path, timeout):
    """Return the verdicts of a capture's flows."""
    settings = Settings(internal=PRIVATE, timeout=timeout)
    return sorted(flow.verdict for flow in truth([path], settings).flows)


@pytest.mark.parametrize("speed", [1, 4, 0.5])
def test_what_is_sent_is_judged_as_the_capture_was(path, tmp_path, speed):
    made = prepared([path], speed=speed)
    assert made.duration == 6 * SECOND / speed
    sent = tmp_path / "sent.pcap"
    write(sent, made, [ethernet(frame, LINK) for frame in made.frames])
    # The flow of the link-local client is gone.
    assert verdicts(sent, round(3 * SECOND / speed)) == ["answered", "recovered", "unanswered"]


def test_captures_are_one_stream_in_the_order_given(path, tmp_path):
    more = capture(tmp_path / "two.pcap", [(3.0, asked(SERVER, 2001)), (7.0, asked(SERVER, 2002))])
    # What comes before what was seen already comes at once.
    assert [frame.at / SECOND for frame in prepared([path, more]).frames][-2:] == [6.0002, 7.0]
    assert [frame.at / SECOND for frame in prepared([path, more], part=3 * SECOND // 2).frames] == [
        0.0, 0.5, 1.0,
    ]  # fmt: skip


def test_no_more_than_a_switch_takes(tmp_path):
    path = capture(tmp_path / "burst.pcap", [(0.0, asked(SERVER, port)) for port in range(1, 11)])
    made = prepared([path])
    assert [frame.at for frame in made.frames] == [n * SECOND // 5000 for n in range(10)]
    assert made.late == 9 * SECOND // 5000


def test_nothing_to_send(tmp_path):
    path = capture(tmp_path / "none.pcap", [(0.0, asked("224.0.0.1", 1))] * 2)
    with pytest.raises(UserError, match=r"none.pcap: nothing to send \(left out: excluded 2\)"):
        prepared([path])


def test_how_long_it_takes_at_most(path):
    assert needed([path], 1, None) == 6 * SECOND
    assert needed([path], 4, None) == 3 * SECOND // 2
    assert needed([path], 1, SECOND) == SECOND
    # The second time all packets come at once, but answers are after what they answer.
    assert 0.02 < needed([path, path], 1, None) / SECOND - 6 < 0.1


def test_an_empty_capture_cannot_be_replayed(tmp_path):
    with pytest.raises(UserError, match="there is no packet of hosts in it"):
        needed([capture(tmp_path / "empty.pcap", [])], 1, None)


def test_what_would_come_too_late_is_left_out(path):
    made = prepared([path], until=SECOND)
    assert len(made.frames) == 3
    assert made.left_out["too_late"] == 2
