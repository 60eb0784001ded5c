"""Compressed captures: recognised by their first bytes, joined, cut short, corrupt, huge."""

from __future__ import annotations

import gzip
import lzma
import random
import tracemalloc

import pytest
from backports import zstd

from chamaleonet.capture.files import open_capture
from chamaleonet.errors import UserError
from tests.capture.build import SECOND, Packet, pcap, read

_noise = random.Random(1)
# More than a block of compressed bytes, more than a chunk of decompressed ones.
PACKETS = [Packet(_noise.randbytes(1000) + bytes(400), 1400, n * SECOND) for n in range(1000)]
PLAIN = pcap(PACKETS)

COMPRESS = {
    "gzip": gzip.compress,
    "zstd": lambda data: zstd.compress(
        data, options={zstd.CompressionParameter.checksum_flag: True}
    ),
    "xz": lzma.compress,
}


@pytest.fixture(scope="module", params=COMPRESS)
def compress(request):
    return COMPRESS[request.param]


@pytest.fixture(scope="module")
def compressed(compress):
    return compress(PLAIN)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "name-tells-nothing.pcap"


def test_reads_like_the_plain_file(path, compressed):
    path.write_bytes(compressed)
    assert read(path) == (PACKETS, False, None)
    with open_capture(str(path)) as capture:
        assert capture.size == len(compressed)
        for _ in capture.batches():
            assert 0 < capture.position <= len(compressed)
        assert capture.position == len(compressed)


@pytest.mark.parametrize("cut", [1, 24, 700_001])
@pytest.mark.parametrize("padding", [b"", bytes(8), bytes(1 << 19)])
def test_joined_streams_are_one(path, compress, cut, padding):
    path.write_bytes(compress(PLAIN[:cut]) + padding + compress(PLAIN[cut:]) + padding)
    assert read(path) == (PACKETS, False, None)


def test_zstd_may_begin_with_a_skippable_frame(path):
    frame = b"\x50\x2a\x4d\x18\x04\0\0\0" + b"size"
    path.write_bytes(frame + zstd.compress(PLAIN) + frame)
    assert read(path) == (PACKETS, False, None)


@pytest.mark.parametrize("missing", [1, 4, 9, 5000, 600_000])
def test_cut_short(path, compressed, missing):
    path.write_bytes(compressed[:-missing])
    packets, truncated, error = read(path)
    assert error is None
    assert truncated
    assert packets == PACKETS[: len(packets)]
    assert len(packets) > 100


def test_a_record_cut_short_inside(path, compress):
    path.write_bytes(compress(PLAIN[:-1]))
    assert read(path) == (PACKETS[:-1], True, None)


def test_nothing_inside(path, compress):
    path.write_bytes(compress(b""))
    with pytest.raises(UserError, match="empty file"):
        open_capture(str(path))


def test_no_capture_inside(path, compress):
    path.write_bytes(compress(b"GET / HTTP/1.1\r\nHost: example.org\r\n"))
    with pytest.raises(UserError, match="not a pcap or pcapng capture"):
        open_capture(str(path))


def test_ends_inside_the_header(path, compressed):
    path.write_bytes(compressed[:12])
    with pytest.raises(UserError):
        open_capture(str(path))


def test_something_else_follows(path, compressed):
    path.write_bytes(compressed + b"something else")
    packets, _, error = read(path)
    assert packets == PACKETS
    assert error is not None
    assert error.startswith(f"{path}: ")
    assert error.endswith(" data is followed by something else")


def test_corrupt(path, compressed):
    corrupt = bytearray(compressed)
    corrupt[-3] ^= 1  # the check sum (gzip, zstd), the footer (xz)
    path.write_bytes(corrupt)
    packets, _, error = read(path)
    assert packets == PACKETS[: len(packets)]
    assert error is not None
    assert error.startswith(f"{path}: corrupt ")
    assert "\n" not in error


def test_memory_is_bounded_however_well_it_compresses(path, compress):
    packets = 300
    record = pcap([Packet(bytes(260_000), 260_000, SECOND)])[24:]
    path.write_bytes(compress(PLAIN[:24] + record * packets))
    read_bytes = packets * len(record)
    tracemalloc.start()
    with open_capture(str(path)) as capture:
        assert sum(len(batch) for batch in capture.batches()) == packets
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < read_bytes / 4
