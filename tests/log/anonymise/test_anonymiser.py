"""Flows and packets as they reach the files: records, columns and comments included."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import numpy as np
import orjson
import pyarrow.parquet as pq
import pytest

from chamaleonet.flows.records import FLOW, Query, Role
from chamaleonet.flows.transitions import State
from chamaleonet.log.anonymise.anonymiser import Anonymiser
from chamaleonet.log.flowlog import open_flow_log
from chamaleonet.log.pcapng import open_pcapng
from tests.log.anonymise.anonymous import ALL, INTERNAL, KEY, NOTHING, SOME, mapped
from tests.log.build import NO_DATA, NO_PACKETS, captured, flow, words
from tests.log.test_community_id import community_id, independent
from tests.traffic import SYN, ethernet, icmp_error, tcp, udp

A, B, A6, B6 = "10.1.2.3", "192.0.2.9", "2001:db8::1", "2001:db9::2"
ENDS = [(A, B), (B, A), (A, "10.9.9.9"), (A6, B6), (B6, A6), (A6, "2001:db8:9::9"), (A, A)]


def ends(record):
    """Return a flow's low and high end and who sent its ICMP error, as numbers."""
    return [
        (int(record[f"{end}_hi"]), int(record[f"{end}_lo"])) for end in ("low", "high", "sender")
    ]


@pytest.mark.parametrize("pair", ENDS)
@pytest.mark.parametrize("protocol", ["tcp", "udp", 47])
def test_a_flow_keeps_its_client_server_ports_and_all_else(pair, protocol, tmp_path):
    before = flow(protocol, *pair, 40000, 80)
    after = ALL.flows(before)
    client, server = mapped(pair[0]), mapped(pair[1])
    for name in FLOW.names:
        if not name.endswith(("_hi", "_lo")):
            assert (before[name] == after[name]).all()
    path = tmp_path / "flows.jsonl"
    log = open_flow_log(path)
    ALL.flow_sink(log).write(before)
    log.close()
    row = orjson.loads(path.read_bytes())
    assert (row["client"], row["server"]) == (client, server)
    ports = protocol != 47
    if ports:
        assert (row["client_port"], row["server_port"]) == (40000, 80)
    expected = independent(
        int(before["kind"][0]) >> 8, client, server, (40000, 80) if ports else None
    )
    assert row["community_id"] == community_id(after) == expected


@pytest.mark.parametrize("state", [State.UNANSWERED, State.UNSOLICITED])
@pytest.mark.parametrize("pair", ENDS[:-1])
def test_the_community_id_of_a_query(pair, state):
    version = ip_address(pair[0]).version
    number, types = (1, (8, 0)) if version == 4 else (58, (128, 129))
    after = ALL.flows(flow(number, *pair, 7, 7, query=Query.ECHO, state=state))
    types = types[::-1] if state is State.UNSOLICITED else types
    assert community_id(after) == independent(number, *map(mapped, pair), types)


def test_who_sent_the_icmp_error_is_mapped_too_and_nobody_stays_nobody():
    [hi, lo] = words("10.7.7.7")
    nobody, somebody = flow("udp", A, B), flow("udp", A, B, sender_hi=hi, sender_lo=lo)
    for by in (SOME, ALL):
        assert ends(by.flows(nobody)[0])[2] == (0, 0)
        assert ends(by.flows(somebody)[0])[2] == words(mapped("10.7.7.7"))
    nobody, somebody = flow("udp", A6, B6), flow("udp", A6, B6, sender_hi=words(A6)[0], sender_lo=1)
    assert ends(ALL.flows(nobody)[0])[2] == (0, 0)
    assert ends(ALL.flows(somebody)[0])[2] == words(mapped(A6))


def test_which_addresses_are_replaced():
    before = flow("tcp", A, B, 1, 2)
    low, high, _ = ends(before[0])
    assert (low, high) == (words(A), words(B))
    assert ends(SOME.flows(before)[0])[:2] == [words(mapped(A)), high]
    assert ends(ALL.flows(before)[0])[:2] == [words(mapped(A)), words(mapped(B))]
    assert ends(NOTHING.flows(before)[0])[:2] == [low, high]
    servers = Anonymiser(KEY, internal=INTERNAL, exclude=(ip_network("10.1.2.0/24"),))
    assert ends(servers.flows(before)[0])[:2] == [low, high]
    assert ends(servers.flows(flow("tcp", "10.1.3.0", B))[0])[0] == words(mapped("10.1.3.0"))


def test_flows_are_copied():
    before = np.concatenate([flow("tcp", A, B, 1, 2), flow("tcp", A6, B6, 1, 2)])
    kept = before.copy()
    after = ALL.flows(before[::-1])
    assert before.tobytes() == kept.tobytes()
    assert ends(after[0])[0] == words(mapped(A6))
    assert len(ALL.flows(before[:0])) == 0


def test_packets_and_the_flows_in_their_records():
    packet, data = captured(flow("udp", A, B, 40000, 53), ethernet(udp(A, B)))
    kept = packet.copy(), data.copy()
    packets, out = SOME.packets(packet, data)
    assert (packet.tobytes(), data.tobytes()) == (kept[0].tobytes(), kept[1].tobytes())
    assert ends(packets["flow"][0])[:2] == [words(mapped(A)), words(B)]
    assert out[26:30].tobytes() == ip_address(mapped(A)).packed
    for name in ("time", "link", "wire_length", "role", "orphan", "icmp_type", "row"):
        assert packets[name] == packet[name]


def test_an_orphan_has_no_flow():
    error = icmp_error(B, udp(A, B), to="192.0.2.1")
    packet, data = captured(None, ethernet(error), role=Role.ERROR)
    packets, out = ALL.packets(packet, data)
    assert packets["flow"].tobytes() == bytes(FLOW.itemsize)
    assert out[26:30].tobytes() == ip_address(mapped(B)).packed
    assert out[-8 - 8 : -8 - 4].tobytes() == ip_address(mapped(A)).packed


def test_many_packets_are_as_one_by_one():
    generator = np.random.default_rng(4)
    singles = []
    for i in range(5000):
        number = int(generator.integers(0, 500))
        ends = (f"10.0.{number >> 8}.{number & 255}", B) if i % 3 else (f"2001:db8::{number:x}", B6)
        packet = tcp(*ends, SYN) if i % 2 else icmp_error(ends[1], udp(*ends))
        singles.append(captured(flow("tcp", *ends, i, 80), ethernet(packet)))
    packets = np.concatenate([single[0] for single in singles])
    packets["offset"] = np.cumsum(packets["length"]) - packets["length"]
    together, out = SOME.packets(packets, np.concatenate([single[1] for single in singles]))
    for i in (*range(100), *range(2000, 2100), *range(4900, 5000)):
        [alone], octets = SOME.packets(*singles[i])
        start, length = int(together[i]["offset"]), int(together[i]["length"])
        assert out[start : start + length].tobytes() == octets.tobytes()
        assert together[i]["flow"].tobytes() == alone["flow"].tobytes()


def test_none_changes_nothing_and_needs_no_key():
    nobody = Anonymiser(None, addresses="none", internal=INTERNAL)
    packet, data = captured(flow("udp", A, B), b"whatever")
    assert nobody.packets(packet, data) == (packet, data)
    flows = flow("udp", A, B)
    assert nobody.flows(flows) is flows


def test_no_packets():
    packets, out = SOME.packets(NO_PACKETS, NO_DATA)
    assert len(packets) == len(out) == 0


def test_bad_arguments():
    with pytest.raises(ValueError, match="without a key"):
        Anonymiser(None)
    with pytest.raises(ValueError, match="32 bytes"):
        Anonymiser(KEY[:16])
    packet, data = captured(flow("udp", A, B))
    for name, value in (("length", 55), ("offset", 1), ("offset", -1)):
        broken = packet.copy()
        broken[name] = value
        with pytest.raises(ValueError, match="beyond its data"):
            SOME.packets(broken, data)


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_nothing_written_tells_an_internal_address(tmp_path, suffix):
    """Flow log and pcapng with its comments, as bytes, and as text of all columns."""
    inside = [("10.211.223.227", "10.211.223.228"), ("2001:db8:d3d3::1", "2001:db8:d3d3::2")]
    flows, packets, data = [], [], []
    for outside, (client, router) in zip(("192.0.2.9", "2001:db9::2"), inside, strict=True):
        hi, lo = words(router)
        flows.append(flow("udp", client, outside, 40000, 53, sender_hi=hi, sender_lo=lo))
        for role, packet in (
            (Role.FIRST, udp(client, outside)),
            (Role.ERROR, icmp_error(router, udp(client, outside), quote=48)),
        ):
            record, octets = captured(flows[-1], ethernet(packet), role=role)
            record["offset"] = sum(map(len, data))
            packets.append(record)
            data.append(octets)
    log, pcapng = open_flow_log(tmp_path / f"f.{suffix}"), open_pcapng(tmp_path / "p.pcapng")
    SOME.flow_sink(log).write(np.concatenate(flows))
    SOME.packet_sink(pcapng).write(np.concatenate(packets), np.concatenate(data))
    log.close()
    pcapng.close()
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    if suffix == "parquet":  # its pages are compressed
        written += str(pq.read_table(tmp_path / "f.parquet").to_pylist()).encode()
    original = [community_id(each) for each in flows]
    new = [community_id(SOME.flows(each)) for each in flows]
    for text in [*original, *(text for pair in inside for text in pair)]:
        assert text.encode() not in written
        if text not in original:
            assert ip_address(text).packed not in written
    for text in [*new, *(mapped(text) for pair in inside for text in pair), "192.0.2.9"]:
        assert text.encode() in written


def test_events_are_handed_on():
    class Sink:
        def __init__(self):
            self.seen = []

        def verdicts(self, flows):
            self.seen.append(("verdict", ends(flows[0])[0]))

        def ended(self, flows):
            self.seen.append(("ended", ends(flows[0])[0]))

    sink = Sink()
    events = SOME.event_sink(sink)
    events.verdicts(flow("udp", A, B))
    events.ended(flow("udp", A, B))
    assert sink.seen == [("verdict", words(mapped(A))), ("ended", words(mapped(A)))]
