"""Healthy flows as counters."""

from collections import Counter
from math import inf

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chamaleonet.flows.records import FLOW, Direction
from chamaleonet.flows.transitions import HEALTHY, State
from chamaleonet.log.anonymise.anonymiser import Anonymiser
from chamaleonet.log.arrow import HEALTHY_SCHEMA, ParquetEncoder, healthy_batch
from chamaleonet.log.healthy import COLUMNS, DELAYS
from chamaleonet.log.stream.endpoint import Endpoint
from chamaleonet.log.stream.messages import MessageError
from chamaleonet.log.stream.packing import pack_count, unpack_counts
from chamaleonet.log.tally import COUNT, MINUTE, NO_REPLY, Tally
from chamaleonet.units import network
from tests.log.build import SECOND, START, flow, words
from tests.log.stream.streams import consumer, greet, producer, take

C, S = "10.0.0.1", "192.0.2.9"


def tallied(*flows):
    counts = []
    tally = Tally(lambda some: counts.append(some.copy()))
    for each in flows:
        tally.write(each)
    tally.flush()
    return np.concatenate(counts) if counts else np.empty(0)


def well(client=C, server=S, port=443, **fields):
    return flow(
        "tcp", client, server, 40000, port,
        **{"state": State.ANSWERED, "reply_delay": 30 * 10**6, "client_bytes": 100,
           "server_bytes": 1000, "server_packets": 3, **fields},
    )  # fmt: skip


def test_flows_of_one_key_are_one_counter_whoever_they_were_with():
    [count] = tallied(well(), well(server="198.51.100.7"), well(first=START + SECOND))
    assert count["flows"] == 3
    assert (count["client_packets"], count["server_packets"]) == (3, 9)
    assert (count["client_bytes"], count["server_bytes"]) == (300, 3000)
    assert (count["host_hi"], count["host_lo"]) == words(C)
    assert count["minute"] == START // (60 * SECOND)
    assert count["kind"] == 6 << 8 | 4
    assert count["server_port"] == 443
    assert DELAYS[count["delay"]] == 0.05
    assert words(S)[1].to_bytes(4, "little") not in count.tobytes()


@pytest.mark.parametrize(
    "other",
    [
        well(client="10.0.0.2"),
        well(port=80),
        well(state=State.PENDING),
        well(first=START + 60 * SECOND),
        well(reply_delay=60 * 10**6),
        well(direction=Direction.INTERNAL),
        flow("udp", C, S, 40000, 443, state=State.ANSWERED, reply_delay=30 * 10**6),
    ],
)
def test_what_differs_in_the_key_is_another_counter(other):
    assert tallied(well(), other)["flows"].tolist() == [1, 1]


@pytest.mark.parametrize("swapped", [False, True])
def test_the_internal_end_is_counted(swapped):
    """Whichever of the two is "low" in the record."""
    inside, outside = ("203.0.113.9", "192.0.2.1") if swapped else (C, S)
    [outbound] = tallied(well(inside, outside, direction=Direction.OUTBOUND))
    [inbound] = tallied(well(outside, inside, port=22, direction=Direction.INBOUND))
    [within] = tallied(well(inside, outside, direction=Direction.INTERNAL))
    [transit] = tallied(well(inside, outside, direction=Direction.TRANSIT))
    for count in (outbound, inbound, within):
        assert (count["host_hi"], count["host_lo"]) == words(inside)
    assert (transit["host_hi"], transit["host_lo"]) == (0, 0)
    assert [count["server_port"] for count in (outbound, inbound)] == [443, 22]


@pytest.mark.parametrize(
    ("delay", "bucket"),
    [(-1, NO_REPLY), (0, 0), (10**5, 0), (10**5 + 1, 1), (3 * 10**9, DELAYS.index(3.0)),
     (3 * 10**9 + 1, DELAYS.index(5.0)), (61 * 10**9, len(DELAYS) - 1)],
)  # fmt: skip
def test_a_delay_falls_into_the_first_bucket_that_is_not_below_it(delay, bucket):
    assert tallied(well(reply_delay=delay))["delay"].tolist() == [bucket]


@pytest.mark.parametrize("state", [s for s in State if s not in HEALTHY])
def test_failed_flows_pass_by(state):
    assert len(tallied(well(state=state))) == 0


def test_what_has_no_ports_has_none():
    [count] = tallied(flow("icmp", C, S, 7, 7, query=1, state=State.ANSWERED))
    assert count["server_port"] == 0
    assert count["kind"] == 1 << 8 | 4


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.sampled_from([22, 80]), st.sampled_from(HEALTHY)),
        max_size=200,
    )
)
def test_sums_are_those_of_a_plain_count(wanted):
    flows = [well(f"10.0.0.{host}", port=port, state=state) for host, port, state in wanted]
    counts = tallied(np.concatenate(flows)) if flows else []
    got = {
        (int(c["host_lo"]) & 255, int(c["server_port"]), State(c["state"])): int(c["flows"])
        for c in counts
    }
    assert got == Counter(wanted)


def test_many_counters_are_handed_out_before_there_are_too_many():
    flows = np.zeros(100_000, FLOW)
    flows["state"] = State.ANSWERED
    flows["kind"] = 6 << 8 | 4
    flows["low_lo"] = np.arange(len(flows)) + 1
    sizes = []
    tally = Tally(lambda some: sizes.append(len(some)))
    tally.write(flows)
    tally.flush()
    assert sum(sizes) == len(flows)
    assert max(sizes) <= 1 << 15


V6 = "2001:db8::1"


def counts():
    return tallied(
        well(), well("10.0.0.2", port=22), well(V6, "2001:db8:9::9"),
        well("192.0.2.1", "198.51.100.1", direction=Direction.TRANSIT),
        well(state=State.PENDING, reply_delay=-1),
        flow("icmp", C, S, 7, 7, query=1, state=State.ANSWERED, reply_delay=61 * 10**9),
    )  # fmt: skip


def test_the_stream_carries_all_but_what_a_switch_does_not_show():
    sent = counts()
    got = unpack_counts([pack_count(count) for count in sent])
    expected = sent.copy()
    for name in ("complete", "client_packets", "server_packets", "client_bytes", "server_bytes"):
        expected[name] = 0
    assert got.tolist() == expected.tolist()


@pytest.mark.parametrize(
    "wrong",
    [{"delay": len(DELAYS)}, {"verdict": "unanswered"}, {"server_port": None}, {"host": None},
     {"flows": -1}, {"minute": 1 << 32}, {"host": b"123"}],
)  # fmt: skip
def test_what_is_no_count_is_refused(wrong):
    [good] = [pack_count(count) for count in tallied(well())]
    with pytest.raises(MessageError):
        unpack_counts([good | wrong])


def test_a_stream_brings_them_to_the_reader(tmp_path):
    endpoint = Endpoint(f"unix:{tmp_path}/verdicts")
    many = np.concatenate([counts()] * 50)
    with producer(endpoint) as stream, consumer(endpoint) as reader:
        greet(reader)
        stream.send_counts(many)
        got = []
        while sum(map(len, got)) < len(many):
            [message] = take(reader, 1)
            assert message.kind == "counts"
            assert message.position is not None
            got.append(message.counts)
    assert np.concatenate(got)["flows"].tolist() == many["flows"].tolist()


def test_hosts_are_anonymised_and_nothing_else():
    anonymiser = Anonymiser(
        bytes(range(32)), internal=map(network, ("10.0.0.0/8", "2001:db8::/32"))
    )
    plain = counts()
    anonymous = anonymiser.counts(plain)
    one = anonymiser.flows(well())  # 10.0.0.1 is the low end
    assert anonymous["host_lo"][0] == one["low_lo"][0] != plain["host_lo"][0]
    assert (anonymous["host_lo"] == plain["host_lo"]).tolist().count(True) == 1, "of transit"
    for name in set(COUNT.names) - {"host_lo", "host_hi"}:
        assert (anonymous[name] == plain[name]).all()


def test_as_parquet(tmp_path):
    path = tmp_path / "healthy.parquet"
    with path.open("wb") as file:
        encoder = ParquetEncoder(file, HEALTHY_SCHEMA, healthy_batch)
        encoder.write(counts())
        encoder.write(unpack_counts([pack_count(count) for count in tallied(well())]))
        encoder.finish()
    table = pq.ParquetFile(path).read()
    assert table.schema.names == [column.name for column in COLUMNS]
    rows = table.to_pylist()
    assert [row["host"] for row in rows] == [C, "10.0.0.2", V6, None, C, C, C]
    assert [row["server_port"] for row in rows] == [443, 22, 443, 443, 443, None, 443]
    assert [row["delay"] for row in rows] == [0.05] * 4 + [None, inf, 0.05]
    assert [row["client_packets"] for row in rows] == [1] * 6 + [None]
    assert {row["minute"].value for row in rows} == {START // MINUTE * MINUTE}
    assert [row["verdict"] for row in rows][3:5] == ["answered", "pending"]
