import datetime
import ipaddress
import json

import jsonschema
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from chamaleonet.errors import UserError
from chamaleonet.flows.records import MARK_CLIENT_HIGH, Direction, Quality, Query
from chamaleonet.flows.transitions import State
from chamaleonet.log import flowlog
from chamaleonet.log.columns import COLUMNS, PORT_PROTOCOLS, json_schema, protocol_name
from chamaleonet.log.flowlog import FlowLog, open_flow_log
from chamaleonet.log.output import OutputFile
from tests.log.build import SECOND, START, flow, words
from tests.log.test_community_id import community_id


def rows(path):
    """Read a flow log of either format as JSON's values: times as text."""
    if ".jsonl" in path.suffixes:
        data = path.read_bytes()
        data = zstd.decompress(data) if path.suffix == ".zst" else data
        return [json.loads(line) for line in data.splitlines()]
    table = pq.ParquetFile(path).read()
    columns = {}
    for column, field in zip(COLUMNS, table.schema, strict=True):
        values = table[column.name]
        if pa.types.is_timestamp(field.type):
            assert field.type == pa.timestamp("ns", "UTC")
            columns[column.name] = [
                None if value is None else iso(value)
                for value in values.cast(pa.int64()).to_pylist()
            ]
        else:
            columns[column.name] = values.to_pylist()
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def iso(nanoseconds):
    seconds, rest = divmod(nanoseconds, SECOND)
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{rest:09}Z"


def expected(record):
    """What a row must say, told plainly."""
    [record] = record
    protocol, version = int(record["kind"]) >> 8, int(record["kind"]) & 15
    state = State(record["state"])

    def address(high, low):
        number = int(record[high]) << 64 | int(record[low])
        kind = ipaddress.IPv4Address if version == 4 else ipaddress.IPv6Address
        return str(kind(number))

    client, server = ("low_hi", "low_lo"), ("high_hi", "high_lo")
    ports = [int(record["ports"]) >> 16, int(record["ports"]) & 0xFFFF]
    if record["marks"] & MARK_CLIENT_HIGH:
        client, server = server, client
        ports.reverse()
    if protocol not in PORT_PROTOCOLS:
        ports = [None, None]
    judged = state not in (State.PENDING, State.MIDSTREAM)
    icmp = bool(record["sender_hi"] or record["sender_lo"])
    delay = int(record["reply_delay"])
    return {
        "first": iso(int(record["first"])),
        "last": iso(int(record["last"])),
        "judged": iso(int(record["judged"])) if judged else None,
        "verdict": state.label,
        "direction": Direction(record["direction"]).label,
        "protocol": protocol_name(protocol),
        "client": address(*client),
        "client_port": ports[0],
        "server": address(*server),
        "server_port": ports[1],
        "vlan": int(record["vlan"]) or None,
        **{
            name: int(record[name])
            for name in (
                "attempts", "client_packets", "server_packets", "client_bytes", "server_bytes",
            )
        },
        "reply_delay": None if delay < 0 else delay / 1e9,
        "icmp_type": int(record["icmp_type"]) if icmp else None,
        "icmp_code": int(record["icmp_code"]) if icmp else None,
        "icmp_sender": address("sender_hi", "sender_lo") if icmp else None,
        "community_id": community_id(record.reshape(1)),
        "quality": Quality(record["quality"]).label,
    }  # fmt: skip


_address_words = {
    4: st.ip_addresses(v=4).map(str),
    6: st.ip_addresses(v=6).filter(lambda address: address.ipv4_mapped is None).map(str),
}
_big = st.integers(0, 2**64 - 1)
_count = st.integers(0, 2**32 - 1)
_time = st.integers(0, 2**62)


@st.composite
def flows(draw):
    addresses = _address_words[draw(st.sampled_from([4, 6]))]
    record = flow(
        draw(st.integers(0, 255)), draw(addresses), draw(addresses),
        draw(st.integers(0, 0xFFFF)), draw(st.integers(0, 0xFFFF)),
        query=draw(st.sampled_from(Query)), state=draw(st.sampled_from(list(State)[1:])),
        direction=draw(st.sampled_from(Direction)), vlan=draw(st.integers(0, 4095)),
        first=draw(_time), last=draw(_time), judged=draw(_time),
        reply_delay=draw(st.just(-1) | st.integers(0, 10**15)),
        attempts=draw(_count), client_packets=draw(_count), server_packets=draw(_count),
        client_bytes=draw(_big), server_bytes=draw(_big),
        icmp_type=draw(st.integers(0, 255)), icmp_code=draw(st.integers(0, 255)),
        quality=draw(st.sampled_from(Quality)),
    )  # fmt: skip
    if draw(st.booleans()):
        record["sender_hi"], record["sender_lo"] = words(draw(addresses))
    return record


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
@given(records=st.lists(flows(), max_size=6))
def test_each_row_says_what_the_flow_says(suffix, records, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / f"flows.{suffix}"
    log = open_flow_log(path)
    for record in records:
        log.write(record)
    log.close()
    got = rows(path)
    assert got == [expected(record) for record in records]
    validator = jsonschema.Draft202012Validator(json_schema())
    for row in got:
        validator.validate(row)


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_rows_are_written_in_groups_as_they_come(suffix, tmp_path, monkeypatch):
    monkeypatch.setattr(flowlog, "ROW_GROUP", 10)
    path = tmp_path / f"flows.{suffix}"
    log = open_flow_log(path)
    many = np.repeat(flow("tcp", "10.0.0.1", "9.9.9.9", 4000, 80), 37)
    many["first"] = START + np.arange(37)
    for size, first in ((4, 0), (25, 4), (0, 29), (8, 29)):
        log.write(many[first : first + size])
    log.close()
    assert [row["first"] for row in rows(path)] == [iso(START + i) for i in range(37)]
    if suffix == "parquet":
        groups = pq.ParquetFile(path).metadata
        assert [groups.row_group(i).num_rows for i in range(4)] == [10, 10, 10, 7]


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_a_log_without_flows_is_readable(suffix, tmp_path):
    path = tmp_path / f"flows.{suffix}"
    open_flow_log(path).close()
    assert rows(path) == []


def test_a_flushed_line_is_on_disk(tmp_path):
    log = open_flow_log(tmp_path / "flows.jsonl")
    log.write(flow("tcp", "10.0.0.1", "9.9.9.9", 4000, 80))
    log.flush()
    [partial] = tmp_path.iterdir()
    assert json.loads(partial.read_text())["client"] == "10.0.0.1"
    log.close()


def test_the_parquet_schema_explains_its_columns(tmp_path):
    path = tmp_path / "flows.parquet"
    open_flow_log(path).close()
    for column, field in zip(COLUMNS, pq.read_schema(path), strict=True):
        metadata = {key.decode(): value.decode() for key, value in field.metadata.items()}
        assert metadata["meaning"] == column.meaning
        assert metadata.get("unit", "") == column.unit
        assert field.nullable == bool(column.null)


@pytest.mark.parametrize("name", ["flows.csv", "flows", "parquet"])
def test_an_unknown_suffix_is_named(name, tmp_path):
    with pytest.raises(UserError) as caught:
        open_flow_log(tmp_path / name)
    assert str(caught.value) == f"{tmp_path / name}: a flow log is named *.parquet or *.jsonl"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["ParquetEncoder", "JsonlEncoder"])
def test_a_full_disk_is_one_line(kind):
    def log_one_flow():
        log = FlowLog(OutputFile("/dev/full"), kind)
        log.write(flow("tcp", "10.0.0.1", "9.9.9.9", 4000, 80))
        log.close()

    with pytest.raises(UserError, match="/dev/full: cannot write: No space left on device"):
        log_one_flow()
