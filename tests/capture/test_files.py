"""Capture files as a whole: what is refused, how they are cut into batches, what survives."""

from __future__ import annotations

import os
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chamaleonet.capture.files import CHUNK_BYTES, open_capture
from chamaleonet.errors import UserError
from tests.capture.build import (
    SECOND,
    Packet,
    block,
    enhanced,
    interface,
    obsolete,
    pcap,
    pcap_header,
    read,
    section,
    simple,
)

PACKETS = [Packet(bytes([n]) * (n * 7 % 50), 60 + n, n * SECOND) for n in range(40)]
PCAP = pcap(PACKETS)
PCAPNG = b"".join(
    [
        section(),
        interface(snaplen=20),
        *(enhanced(p.data, p.time // 1000, wire_length=p.wire_length) for p in PACKETS[:10]),
        block(4, b"names" * 60),
        simple(b"s" * 20, 99),
        section(">"),
        interface(101, ">", resolution=9),
        obsolete(b"old", 5, ">"),
        *(enhanced(p.data, p.time, ">") for p in PACKETS[10:]),
    ]
)


@pytest.fixture
def stdin():
    """Return a function that makes a file descriptor standard input until the test ends."""
    saved = os.dup(0)
    yield lambda descriptor: os.dup2(descriptor, 0)
    os.dup2(saved, 0)
    os.close(saved)


def refusal(path) -> str:
    with pytest.raises(UserError) as raised:
        open_capture(str(path))
    message = str(raised.value)
    assert "\n" not in message
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


class TestRefused:
    def test_missing(self, tmp_path):
        assert refusal(tmp_path / "none.pcap") == "No such file or directory"

    def test_directory(self, tmp_path):
        assert refusal(tmp_path) == "Is a directory"

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    def test_no_permission(self, tmp_path):
        path = tmp_path / "a.pcap"
        path.write_bytes(PCAP)
        path.chmod(0)
        assert refusal(path) == "Permission denied"

    def test_link_to_itself(self, tmp_path):
        path = tmp_path / "loop.pcap"
        path.symlink_to(path)
        assert refusal(path) == "Too many levels of symbolic links"

    def test_unreadable(self):
        assert refusal("/proc/self/mem") == "Input/output error"

    def test_empty(self, tmp_path):
        path = tmp_path / "a.pcap"
        path.touch()
        assert refusal(path) == "empty file"

    @pytest.mark.parametrize("content", [b"x", b"hello world, this is no capture at all"])
    def test_no_capture(self, tmp_path, content):
        path = tmp_path / "a.pcap"
        path.write_bytes(content)
        assert refusal(path) == "not a pcap or pcapng capture"

    @pytest.mark.parametrize(
        ("magic", "what"),
        [
            (b"\x34\xcd\xb2\xa1", "Kuznetzov"),
            (b"snoop\0\0\0", "snoop"),
            (b"BZh91AY", "bzip2"),
            (b"PK\x03\x04", "zip"),
        ],
    )
    def test_other_formats_are_named(self, tmp_path, magic, what):
        path = tmp_path / "a.pcap"
        path.write_bytes(magic + bytes(40))
        assert what in refusal(path)

    @pytest.mark.parametrize(("content", "header"), [(PCAP, 24), (PCAPNG, 28)])
    def test_header_cut_short(self, tmp_path, content, header):
        path = tmp_path / "a.pcap"
        for size in range(4, header):
            path.write_bytes(content[:size])
            assert refusal(path) == "the file ends inside its header"

    @pytest.mark.usefixtures("stdin")
    def test_closed_standard_input(self):
        os.close(0)
        with pytest.raises(UserError, match="standard input: Bad file descriptor"):
            open_capture("-")


class TestBatches:
    @pytest.mark.parametrize("content", [PCAP, PCAPNG])
    def test_size_and_position(self, tmp_path, content):
        path = tmp_path / "a.pcap"
        path.write_bytes(content)
        with open_capture(str(path)) as capture:
            assert capture.name == str(path)
            assert capture.size == len(content)
            positions = [capture.position for _ in capture.batches(chunk_bytes=100)]
        assert positions == sorted(positions)
        assert positions[0] < 300
        assert positions[-1] == len(content)

    @settings(max_examples=200, deadline=None)
    @given(
        content=st.sampled_from([PCAP, PCAPNG]),
        packets=st.integers(1, 50),
        buffers=st.integers(1, 4),
        chunk_bytes=st.integers(1, 3000),
    )
    def test_sizes_do_not_matter(self, tmp_path_factory, content, packets, buffers, chunk_bytes):
        path = tmp_path_factory.getbasetemp() / "sizes.pcap"
        path.write_bytes(content)
        expected = read(path)
        assert len(expected.packets) >= 40
        assert not expected.truncated
        got = read(path, packets=packets, buffers=buffers, chunk_bytes=chunk_bytes)
        assert got == expected

    @pytest.mark.parametrize("packets", [1, 7, 1000])
    def test_batches_are_no_larger_than_asked_for(self, tmp_path, packets):
        path = tmp_path / "a.pcap"
        path.write_bytes(PCAP)
        with open_capture(str(path)) as capture:
            sizes = [len(batch) for batch in capture.batches(packets)]
        assert max(sizes) == min(packets, len(PACKETS))
        assert sum(sizes) == len(PACKETS)

    @settings(max_examples=100, deadline=None)
    @given(packets=st.integers(1, 9), buffers=st.integers(1, 4), chunk_bytes=st.integers(1, 400))
    def test_a_batch_lives_until_so_many_more_are_asked_for(
        self, tmp_path_factory, packets, buffers, chunk_bytes
    ):
        path = tmp_path_factory.getbasetemp() / "lives.pcap"
        path.write_bytes(PCAPNG)

        def content(batch):
            rows = zip(batch.offset, batch.length, strict=True)
            data = [batch.buffer[at : at + size].tobytes() for at, size in rows]
            return data, batch.time.tolist(), batch.wire_length.tolist(), batch.link.tolist()

        with open_capture(str(path)) as capture:
            held = []
            batches = capture.batches(packets, buffers=buffers, chunk_bytes=chunk_bytes)
            for batch in batches:
                held.append((batch, content(batch)))
                del held[:-buffers]
                for old, expected in held:
                    assert content(old) == expected

    def test_memory_does_not_grow_with_the_file(self, tmp_path):
        path = tmp_path / "a.pcap"
        path.write_bytes(pcap_header() + PCAP[24:] * 2000)
        assert path.stat().st_size > 2 * CHUNK_BYTES
        with open_capture(str(path)) as capture:
            buffers = {batch.buffer.ctypes.data: len(batch.buffer) for batch in capture.batches()}
        assert list(buffers.values()) == [CHUNK_BYTES]

    def test_records_longer_than_a_chunk_make_it_grow_once(self, tmp_path):
        long = Packet(b"l" * 100_000, 100_000, SECOND)
        path = tmp_path / "a.pcap"
        path.write_bytes(pcap([*PACKETS, long, long, *PACKETS]))
        assert read(path, chunk_bytes=64).packets == [*PACKETS, long, long, *PACKETS]
        with open_capture(str(path)) as capture:
            sizes = [len(batch.buffer) for batch in capture.batches(chunk_bytes=64)]
        assert max(sizes) < 3 * len(long.data)


class TestStandardInput:
    def test_a_file(self, tmp_path, stdin):
        path = tmp_path / "a.pcap"
        path.write_bytes(PCAP)
        with path.open("rb") as file:
            stdin(file.fileno())
        with open_capture("-") as capture:
            assert capture.name == "standard input"
            assert capture.size == len(PCAP)
            assert sum(len(batch) for batch in capture.batches()) == len(PACKETS)
        os.fstat(0)  # still open

    @pytest.mark.parametrize("blocking", [True, False])
    def test_a_slow_pipe(self, tmp_path, stdin, blocking):
        path = tmp_path / "a.pcapng"
        path.write_bytes(PCAPNG)
        expected = read(path)
        source, sink = os.pipe()
        os.set_blocking(source, blocking)
        stdin(source)
        os.close(source)

        def write():
            for at in range(0, len(PCAPNG), 33):
                os.write(sink, PCAPNG[at : at + 33])
            os.close(sink)

        writer = threading.Thread(target=write)
        writer.start()
        assert read("-") == expected
        writer.join()

    def test_a_pipe_has_no_size(self, stdin):
        source, sink = os.pipe()
        stdin(source)
        os.close(source)
        os.write(sink, PCAP)
        os.close(sink)
        with open_capture("-") as capture:
            assert capture.size is None
            assert capture.position < 100


class TestDamaged:
    @pytest.mark.parametrize(("content", "header"), [(PCAP, 24), (PCAPNG, 28)])
    def test_truncation_anywhere(self, tmp_path, content, header):
        path = tmp_path / "a.pcap"
        path.write_bytes(content)
        packets = read(path).packets
        before, whole_ends = 0, 0
        for size in range(header, len(content) + 1):
            path.write_bytes(content[:size])
            got, truncated, error = read(path, chunk_bytes=128)
            assert error is None
            assert got == packets[: len(got)]
            assert len(got) in {before, before + 1}
            before = len(got)
            whole_ends += not truncated
        assert before == len(packets)
        # The file may end after its header and after each record or block.
        assert whole_ends == 1 + (len(PACKETS) if header == 24 else len(PACKETS) + 6)

    @settings(max_examples=500, deadline=None)
    @given(data=st.data(), content=st.sampled_from([PCAP, PCAPNG]), chunk_bytes=st.integers(1, 999))
    def test_corruption_raises_nothing_but_user_errors(
        self, tmp_path_factory, data, content, chunk_bytes
    ):
        corrupt = bytearray(content)
        for _ in range(data.draw(st.integers(1, 8))):
            at = data.draw(st.integers(0, len(content) - 4))
            size = data.draw(st.sampled_from([1, 2, 4]))
            corrupt[at : at + size] = data.draw(st.binary(min_size=size, max_size=size))
        path = tmp_path_factory.getbasetemp() / "corrupt.pcap"
        path.write_bytes(corrupt)
        try:
            whole = read(path)
        except UserError:  # the header
            return
        assert read(path, chunk_bytes=chunk_bytes) == whole

    @settings(max_examples=300, deadline=None)
    @given(
        head=st.sampled_from([PCAP[:24], PCAPNG[:28], PCAPNG[:28] + interface()]),
        rest=st.binary(max_size=200),
    )
    def test_noise_raises_nothing_but_user_errors(self, tmp_path_factory, head, rest):
        path = tmp_path_factory.getbasetemp() / "noise.pcap"
        path.write_bytes(head + rest)
        assert len(read(path).packets) <= len(rest) // 16
