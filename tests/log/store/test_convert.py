import io

import numpy as np
import pyarrow.parquet as pq
import pytest
from backports import zstd

from chamaleonet.log.store import convert
from chamaleonet.log.store.convert import compress, flows_to_parquet
from tests.log.build import START, flow


def test_a_compressed_file_tells_its_size_and_has_a_checksum(monkeypatch):
    monkeypatch.setattr(convert, "_CHUNK", 1000)
    data = np.random.default_rng(1).integers(0, 9, 12_345, np.uint8).tobytes()
    target = io.BytesIO()
    compress(io.BytesIO(data + b"not committed"), len(data), target)
    assert zstd.decompress(target.getvalue()) == data
    assert zstd.get_frame_info(target.getvalue()).decompressed_size == len(data)
    damaged = bytearray(target.getvalue())
    damaged[-1] ^= 1
    with pytest.raises(zstd.ZstdError, match="checksum"):
        zstd.decompress(damaged)


@pytest.fixture
def source(tmp_path):
    def make(flows):
        path = tmp_path / "flows"
        path.write_bytes(flows.tobytes())
        return path.open("rb")

    return make


def test_flows_become_row_groups(source, monkeypatch):
    monkeypatch.setattr(convert, "ROW_GROUP", 4)
    flows = np.repeat(flow("tcp", "10.0.0.1", "9.9.9.9", 1, 2), 11)
    flows["first"] += np.arange(11)
    target = io.BytesIO()
    with source(flows) as file:
        flows_to_parquet(file, 10 * flows.itemsize, target)
    read = pq.ParquetFile(target)
    assert read.read()["first"].cast("int64").to_pylist() == [START + i for i in range(10)]
    groups = read.metadata
    assert [groups.row_group(i).num_rows for i in range(groups.num_row_groups)] == [4, 4, 2]


def test_damaged_flows_are_left_out(source, caplog):
    flows = np.repeat(flow("tcp", "10.0.0.1", "9.9.9.9", 1, 2), 7)
    flows["first"] += np.arange(7)
    flows[1:2].view(np.uint8)[:] = 0
    flows[2:3].view(np.uint8)[:] = 255
    flows["kind"][3] |= 15 << 4
    flows["state"][4] = 200
    flows["direction"][5] = 4
    target = io.BytesIO()
    with source(flows) as file:
        flows_to_parquet(file, flows.nbytes, target)
    assert pq.read_table(target)["first"].cast("int64").to_pylist() == [START, START + 6]
    assert "5 damaged records are left out" in caplog.text


def test_a_file_that_is_too_short_is_an_error(source):
    flows = flow("tcp", "10.0.0.1", "9.9.9.9", 1, 2)
    with source(flows) as file, pytest.raises(ValueError, match="72 bytes are missing at its end"):
        flows_to_parquet(file, 200, io.BytesIO())
