"""The contract's sections 3 to 5 as scripts, each judged by the engine and by the reference."""

from __future__ import annotations

import pytest

from chamaleonet.flows.transitions import State
from tests.flows.playbook import Playbook
from tests.traffic import (
    ACK,
    FIN,
    PSH,
    RST,
    SECOND,
    SYN,
    icmp,
    icmp_error,
    ip,
    ping,
    pong,
    sctp,
    tcp,
    udp,
)  # fmt: skip

HOSTS = {
    4: ("10.0.0.1", "192.0.2.1", "198.51.100.9"),
    6: ("fd00::1", "2001:db8::1", "2001:db8:9::9"),
}


@pytest.fixture(params=HOSTS, ids=lambda version: f"IPv{version}")
def hosts(request):
    """(client, server, router), in either family."""
    return HOSTS[request.param]


def there(client, server, flags, **more):
    return tcp(client, server, flags, **more)


def back(client, server, flags, *, sport=40000, dport=80, **more):
    return tcp(server, client, flags, sport=dport, dport=sport, **more)


def test_a_handshake_is_answered_and_nothing_is_captured(hosts):
    c, s, _ = hosts
    book = Playbook().at(0, there(c, s, SYN)).expect("pending")
    book.at(0.1, back(c, s, SYN | ACK)).expect("answered")
    book.at(0.2, there(c, s, ACK), there(c, s, ACK | PSH, payload=b"secret")).captured(0)
    flow = book.played().ended[0][2]
    assert flow["reply_delay"] == SECOND // 10
    assert flow["attempts"] == 1


def test_silence_is_unanswered_from_the_deadline_on(hosts):
    c, s, _ = hosts
    book = Playbook().at(0, there(c, s, SYN)).at(1, there(c, s, SYN))
    book.at(2.999999999, udp(c, s, sport=1)).expect("pending", "pending").captured(0)
    book.at(3, udp(c, s, sport=2)).expect("unanswered", "pending", "pending").captured(1)
    book.at(3.5, there(c, s, SYN)).captured(2)
    flow = next(f for _, _, f in book.played().ended if f["state"] == State.UNANSWERED)
    assert (flow["attempts"], flow["judged"]) == (3, 3 * SECOND)


def test_a_late_reply_recovers_and_ends_the_capture(hosts):
    c, s, _ = hosts
    book = Playbook().at(0, udp(c, s)).at(4, udp(c, s)).expect("unanswered").captured(2)
    book.at(5, udp(s, c, sport=53, dport=40000)).expect("recovered")
    book.at(6, udp(c, s)).captured(2)
    assert book.played().ended[0][2]["reply_delay"] == 5 * SECOND


def test_a_reset_refuses_even_late(hosts):
    c, s, _ = hosts
    Playbook().at(0, there(c, s, SYN)).at(1, back(c, s, RST | ACK)).expect("refused")
    late = Playbook().at(0, there(c, s, SYN)).at(4, back(c, s, RST | ACK)).expect("refused")
    late.at(5, there(c, s, ACK)).captured(1)


def test_a_refused_flow_that_answers_recovers(hosts):
    c, s, _ = hosts
    Playbook().at(0, there(c, s, SYN)).at(1, back(c, s, RST)).at(2, back(c, s, SYN | ACK)).expect(
        "recovered"
    )


def test_an_icmp_error_names_its_sender(hosts):
    c, s, router = hosts
    lost = udp(c, s)
    book = Playbook().at(0, lost).at(0.1, icmp_error(router, lost)).expect("icmp_error").captured(2)
    book.at(1, lost, icmp_error(router, lost)).expect("icmp_error").captured(4)
    flow = book.played().ended[0][2]
    assert (flow["icmp_type"], flow["icmp_code"]) in ((3, 3), (1, 4))
    assert flow["sender_lo"] == int.from_bytes(bytes(ip(router, c, 17)[12:16]), "big") or (
        flow["sender_hi"] != 0
    )


def test_an_icmp_error_explains_silence_but_does_not_undo_a_reply(hosts):
    c, s, router = hosts
    lost = udp(c, s)
    Playbook().at(0, lost).at(4, icmp_error(router, lost)).expect("icmp_error").captured(2)
    answered = Playbook().at(0, lost).at(1, udp(s, c, sport=53, dport=40000))
    answered.at(2, icmp_error(router, lost)).expect("answered").captured(1)
    assert not answered.played().captured[0][1]["orphan"]


def test_an_icmp_error_about_the_reply_changes_nothing(hosts):
    c, s, _ = hosts
    reply = udp(s, c, sport=53, dport=40000)
    book = Playbook().at(0, udp(c, s)).at(1, icmp_error(c, reply)).expect("pending").captured(1)
    assert book.played().summary["orphans"] == 0


def test_orphans(hosts):
    c, s, router = hosts
    lost = udp(c, s)
    header = 20 if ":" not in c else 40
    for error in (
        icmp_error(router, udp(c, s, sport=9)),  # matches no flow
        icmp_error(router, lost, to=router.replace("9", "8")),  # sent to somebody else
        icmp_error(router, lost, quote=header + 3),  # too short for ports
        icmp_error(router, lost, quote=header - 1),
        icmp_error(router, lost, quote=0),
        icmp_error(router, icmp_error(router, lost)),  # an error about an error
    ):
        book = Playbook().at(0, lost).at(1, error).expect("pending").captured(1)
        assert book.played().summary["orphans"] == 1
        assert book.played().captured[0][1]["orphan"]


def test_a_quoted_fragment_is_an_orphan():
    lost = udp("10.0.0.1", "192.0.2.1")
    fragment = lost[:6] + b"\x00\x01" + lost[8:]
    book = Playbook().at(0, lost).at(1, icmp_error("192.0.2.9", fragment)).expect("pending")
    assert book.played().summary["orphans"] == 1


def test_path_mtu_and_redirects_are_no_failures():
    c, s = "10.0.0.1", "192.0.2.1"
    lost = udp(c, s)
    book = Playbook().at(0, lost)
    for type_, code in ((3, 4), (4, 0), (5, 1)):
        book.at(1, icmp_error("192.0.2.9", lost, type_=type_, code=code))
    book.expect("pending").captured(0)
    assert book.played().summary["icmp_info"] == 3
    v6 = udp("fd00::1", "2001:db8::1")
    book = Playbook().at(0, v6).at(1, icmp_error("2001:db8::9", v6, type_=2, code=0))
    assert book.expect("pending").played().summary["icmp_info"] == 1


def test_ping(hosts):
    c, s, _ = hosts
    Playbook().at(0, ping(c, s)).at(1, pong(s, c)).expect("answered")
    Playbook().at(0, ping(c, s, sequence=1), ping(c, s, sequence=2)).expect("pending")
    Playbook().at(0, ping(c, s, 1), ping(c, s, 2)).at(1, pong(s, c, 2)).expect(
        "pending", "answered"
    )
    # The server's own query with the same identifier is no answer.
    Playbook().at(0, ping(c, s)).at(1, ping(s, c)).expect("pending")


def test_a_host_that_pings_itself(hosts):
    c = hosts[0]
    Playbook().at(0, ping(c, c)).at(0.1, pong(c, c)).expect("answered")
    Playbook().at(0, pong(c, c)).at(0.1, ping(c, c)).expect("answered")
    Playbook().at(0, ping(c, c)).at(4, ping(c, c)).expect("unanswered").captured(2)


def test_a_socket_that_talks_to_itself_is_never_answered(hosts):
    c = hosts[0]
    packet = udp(c, c, sport=53, dport=53)
    Playbook().at(0, packet).at(1, packet).at(4, packet).expect("unanswered").captured(2)


@pytest.mark.parametrize("flags", [0, FIN, FIN | PSH | 32], ids=["NULL", "FIN", "XMAS"])
def test_stealth_probes_wait_for_an_answer(hosts, flags):
    c, s, _ = hosts
    Playbook().at(0, there(c, s, flags)).expect("pending")
    Playbook().at(0, there(c, s, flags)).at(1, back(c, s, RST | ACK)).expect("refused")


@pytest.mark.parametrize("flags", [ACK, ACK | PSH, FIN | ACK, RST, RST | ACK, SYN | RST])
def test_any_other_first_segment_is_midstream(hosts, flags):
    c, s, _ = hosts
    Playbook().at(0, there(c, s, flags)).at(5, back(c, s, RST)).expect("midstream").captured(0)


def test_a_reply_that_nobody_asked_for(hosts):
    c, s, _ = hosts
    Playbook().at(0, back(c, s, SYN | ACK)).at(5, back(c, s, SYN | ACK)).expect("unsolicited")
    Playbook().at(0, pong(s, c)).expect("unsolicited").captured(0)
    Playbook().at(0, back(c, s, SYN | ACK)).at(1, there(c, s, ACK)).expect("unsolicited")


def test_what_is_captured_is_configurable(hosts):
    c, s, router = hosts
    reflected = Playbook(capture=(State.UNSOLICITED,)).at(0, back(c, s, SYN | ACK))
    reflected.captured(1).at(1, back(c, s, SYN | ACK)).captured(2).at(4, udp(c, s)).captured(2)
    refused = Playbook(capture=(State.REFUSED,)).at(0, there(c, s, SYN)).at(4, there(c, s, SYN))
    refused.captured(0).at(5, back(c, s, RST)).captured(1).at(6, there(c, s, ACK)).captured(2)
    lost = udp(c, s)
    error_only = Playbook(capture=(State.ICMP_ERROR,)).at(0, lost).at(4, lost).captured(0)
    error_only.at(5, icmp_error(router, lost)).captured(2)
    assert [role for role, *_ in error_only.played().captures()] == ["first", "error"]


def test_mirrors_reorder(hosts):
    c, s, _ = hosts
    book = Playbook().at(0, back(c, s, SYN | ACK)).at(0.1, there(c, s, SYN)).expect("answered")
    flow = book.played().ended[0][2]
    assert (flow["client_packets"], flow["server_packets"], flow["attempts"]) == (1, 1, 1)
    assert book.played().summary["directions"]["outbound"]["answered"] == 1
    Playbook().at(0, pong(s, c)).at(2.9, ping(c, s)).expect("answered")
    # Too late, or not the request.
    Playbook().at(0, back(c, s, SYN | ACK)).at(3, there(c, s, SYN)).expect("unsolicited")
    Playbook().at(0, back(c, s, SYN | ACK)).at(1, there(c, s, FIN)).expect("unsolicited")


def test_a_port_is_reused_after_a_fin(hosts):
    c, s, _ = hosts
    book = Playbook().at(0, there(c, s, SYN)).at(0.1, back(c, s, SYN | ACK))
    book.at(0.2, there(c, s, SYN)).expect("answered")  # a duplicate: nobody has closed
    book.at(1, back(c, s, FIN | ACK)).at(2, there(c, s, SYN)).expect("answered", "pending")
    book.at(5, udp(c, s)).expect("answered", "unanswered", "pending")


def test_a_refused_port_is_tried_again(hosts):
    c, s, _ = hosts
    book = Playbook()
    for second in range(3):
        book.at(second, there(c, s, SYN)).at(second + 0.1, back(c, s, RST | ACK))
    book.expect("refused", "refused", "refused")


def test_an_idle_flow_is_forgotten(hosts):
    c, s, router = hosts
    lost = udp(c, s)
    book = Playbook().at(0, lost).at(182.999, udp(c, s, sport=2)).expect("unanswered", "pending")
    book.at(183, lost).expect("unanswered", "pending", "pending")
    seen_by_lookup = Playbook().at(0, lost).at(180, lost).expect("unanswered", "pending")
    seen_by_lookup.at(360, icmp_error(router, lost))
    assert seen_by_lookup.played().summary["orphans"] == 1


def test_time_never_runs_backwards(hosts):
    c, s, _ = hosts
    book = Playbook().at(10, udp(c, s)).at(2, udp(c, s, sport=2))
    book.at(12.999, udp(c, s, sport=3)).expect("pending", "pending", "pending")
    book.at(13, udp(c, s, sport=4)).expect("unanswered", "unanswered", "pending", "pending")


def test_every_record_moves_the_clock():
    book = Playbook().at(0, udp("10.0.0.1", "192.0.2.1"))
    book.at(3, b"", link=101).expect("unanswered")


def test_other_protocols_have_flows_too(hosts):
    c, s, router = hosts
    gre, esp = ip(c, s, 47, b"gre"), ip(c, s, 50, b"esp")
    book = Playbook().at(0, gre, esp, sctp(c, s)).expect("pending", "pending", "pending")
    book.at(1, ip(s, c, 47)).at(
        2, icmp_error(router, esp, quote=60), icmp_error(router, sctp(c, s))
    )
    book.expect("answered", "icmp_error", "icmp_error")


@pytest.mark.parametrize(
    ("client", "server", "direction"),
    [
        ("10.0.0.1", "192.0.2.1", "outbound"),
        ("192.0.2.1", "172.31.0.1", "inbound"),
        ("192.168.1.1", "10.1.2.3", "internal"),
        ("192.0.2.1", "172.32.0.1", "transit"),
        ("fdff::1", "2001:db8::1", "outbound"),
        ("fe80::1", "fc00::1", "inbound"),
    ],
)
def test_directions(client, server, direction):
    summary = Playbook().at(0, udp(client, server)).played().summary
    assert summary["directions"][direction]["pending"] == 1


def test_excluded_addresses():
    excluded = [
        udp("10.0.0.1", "224.0.0.251"), udp("0.0.0.0", "255.255.255.255"),
        udp("10.0.0.1", "10.255.255.255"), udp("192.0.2.1", "192.168.255.255"),
        udp("fe80::1", "ff02::1"), udp("::", "2001:db8::1"),
        icmp("10.0.0.1", "192.0.2.1", 10), icmp("fe80::1", "fe80::2", 135),
    ]  # fmt: skip
    kept = [udp("10.0.0.1", "192.0.2.255"), udp("10.0.0.1", "10.0.0.255")]
    summary = Playbook().at(0, *excluded, *kept).played().summary
    assert (summary["excluded"], summary["flow_packets"]) == (len(excluded), len(kept))
