"""Who has most erroneous flows, counted from ended flows."""

from __future__ import annotations

import numpy as np

from chamaleonet.analysis.top import Top
from chamaleonet.flows.transitions import ERRONEOUS, State
from tests.flows.playbook import Played
from tests.traffic import ACK, SECOND, SYN, Record, ethernet, ping, tcp, udp


def _ended(*packets):
    records = [Record(ethernet(packet), 0) for packet in packets]
    records.append(Record(b"", 10 * SECOND))  # all deadlines pass
    return np.array([flow for _, _, flow in Played(records).ended])


def test_counts_by_client_server_and_service():
    top = Top(ERRONEOUS)
    flows = _ended(
        udp("10.0.0.1", "192.0.2.1", sport=1), udp("10.0.0.1", "192.0.2.1", sport=2),
        tcp("10.0.0.1", "1.0.0.1", SYN, dport=443), udp("10.0.0.2", "192.0.2.1", sport=9999),
        ping("fd00::1", "2001:db8::1"), tcp("10.0.0.3", "192.0.2.9", ACK),
    )  # fmt: skip
    for flow in flows:  # one by one, or all at once: it adds up
        top.write(flow.reshape(1))
    assert top.clients(10) == [("10.0.0.1", 3), ("10.0.0.2", 1), ("fd00::1", 1)]
    assert top.servers(2) == [("192.0.2.1", 3), ("1.0.0.1", 1)]
    assert top.services(10) == [((17, 53), 3), ((6, 443), 1), ((58, 0), 1)]


def test_only_the_states_asked_for_count():
    flows = _ended(udp("10.0.0.1", "192.0.2.1"))
    top = Top((State.REFUSED,))
    top.write(flows)
    assert top.clients(10) == []
