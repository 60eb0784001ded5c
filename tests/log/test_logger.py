"""The logger process, end to end: a cable for the logger port, a socket for the stream."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import jsonschema
import numpy as np
import pyarrow.parquet as pq
import pytest
from backports import zstd

from chamaleonet import config
from chamaleonet.errors import UserError
from chamaleonet.flows.records import Change
from chamaleonet.flows.transitions import State
from chamaleonet.log.anonymise.keyfile import write_key
from chamaleonet.log.logger import Logger
from chamaleonet.log.stream.endpoint import Endpoint
from chamaleonet.log.stream.producer import VerdictStream
from chamaleonet.log.tally import Tally
from tests.log.build import NO_DATA, NO_PACKETS, captured, event, flow, words
from tests.log.stream.streams import NO_FLOWS, until
from tests.log.test_collector import SECRET, unreachable
from tests.log.test_community_id import community_id
from tests.log.test_flowlog import rows
from tests.log.test_pcapng import read
from tests.namespace import Namespace, needs_root
from tests.traffic import ACK, SYN, ethernet, tcp, udp

C, S, X = "10.0.0.1", "192.0.2.9", "192.0.2.200"
METRICS = 9303
DOCS = Path(__file__).parents[2] / "docs"
RUN = (
    "import sys; from chamaleonet import config; from chamaleonet.log import logger;"
    "logger.run(config.load(sys.argv[1]))"
)


@pytest.fixture(scope="module")
def namespace():
    with Namespace() as fresh:
        fresh.ip("link", "set", "lo", "up")
        fresh.veth("logger", "switch")
        yield fresh


def written(directory):
    """Return what complete files hold: packets, rows, and all bytes."""
    assert not [*directory.rglob("*.partial")]
    packets, flows, content = [], [], b""
    for path in sorted(directory.rglob("chamaleonet-*")):
        content += path.read_bytes()
        if ".pcapng" in path.suffixes:
            content += zstd.decompress(path.read_bytes())
            packets += read(path)
        else:
            flows += rows(path)
    return packets, flows, content


class Process:
    """A logger, and both roads to it."""

    def __init__(self, namespace, directory, flows="parquet"):
        self._namespace, self.files = namespace, directory / "files"
        self.address = Endpoint(f"unix:{directory}/verdicts")
        configuration = directory / "chamaleonet.yaml"
        configuration.write_text(
            f"logger: {{interface: logger, directory: '{self.files}', flows: {flows},"
            " anonymise: {addresses: none}}\n"
            f"stream: {{address: '{self.address.address}'}}\n"
            f"metrics: {{logger: '127.0.0.1:{METRICS}'}}\n"
        )
        self._process = namespace.call(
            subprocess.Popen, [sys.executable, "-c", RUN, str(configuration)],
            cwd=Path(__file__).parents[2], stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._sender = namespace.call(socket.socket, socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._sender.bind(("switch", 0))
        until(lambda: self.scrape() or self._process.poll() is not None)

    def port(self, *frames):
        for frame in frames:
            self._sender.send(frame)

    def scrape(self):
        """Return the metrics by their text, nothing while they cannot be had."""
        try:
            answer = self._namespace.call(
                urllib.request.urlopen, f"http://127.0.0.1:{METRICS}/metrics", timeout=5
            )
        except OSError:
            return {}
        text = answer.read().decode()
        return {name: float(value) for name, value in re.findall(r"^(\S+) (\S+)$", text, re.M)}

    def stop(self, number=signal.SIGTERM):
        if self._process.poll() is None:
            self._process.send_signal(number)
        _, errors = self._process.communicate(timeout=60)
        self._sender.close()
        assert (self._process.returncode, errors) == (0, "")
        return written(self.files)

    def kill(self):
        self._process.kill()
        self._process.communicate()
        self._sender.close()


@pytest.fixture
def process(namespace, tmp_path):
    started = Process(namespace, tmp_path)
    yield started
    started.kill()


@pytest.fixture
def stream(process):
    made = VerdictStream(process.address, lambda: NO_FLOWS)
    yield made
    made.close()


def lost(**fields):
    now = time.time_ns()
    return flow(
        "udp", C, S, 40000, 53,
        **{"first": now - 3 * 10**9, "last": now - 3 * 10**9, "judged": now, **fields},
    )  # fmt: skip


def comments(packets):
    return sorted(comment.decode() for *_, comment in packets)


@pytest.mark.root
@needs_root
def test_what_is_erroneous_is_written_and_nothing_else(process, stream):
    verdict = lost()
    first = ethernet(udp(C, S))[:42]
    stream.send(event(verdict), *captured(verdict, first, wire_length=60))
    until(lambda: process.scrape().get("chamaleonet_logger_known_flows") == 1)
    retry = ethernet(udp(C, S, payload=SECRET))
    process.port(
        retry,
        ethernet(udp(C, X, payload=SECRET)),  # over-captured
        ethernet(udp(C, S, payload=SECRET), tags=((0x8100, 7),)),
        unreachable(udp(C, X, payload=SECRET)),
        ethernet(tcp(C, X, SYN | ACK, payload=SECRET)),
        ethernet(udp(C, S, payload=SECRET * 20))[:96],  # truncated by the switch
    )
    until(lambda: process.scrape().get("chamaleonet_logger_port_packets_total", 0) == 6)
    stream.send(event(lost(attempts=4), Change.ENDED), NO_PACKETS, NO_DATA)
    until(lambda: process.scrape().get('chamaleonet_logger_flows_total{verdict="unanswered"}'))
    until(lambda: process.scrape().get("chamaleonet_logger_held_packets") == 0)
    figures = process.scrape()
    packets, flows, content = process.stop()

    name = community_id(verdict)
    stranger = community_id(flow("udp", C, X, 40000, 53))
    assert comments(packets) == [
        f"verdict=none flow={stranger} attempts=0 icmp=3/1",
        *(f"verdict=unanswered flow={name} attempts={n}" for n in (1, 2, 3, 4)),
    ]
    by_comment = {comment.decode()[-1]: packet for *packet, comment in packets[:1]}
    assert by_comment["1"][2:] == [60, first]
    assert {len(data) for _, _, _, data, comment in packets if b"=none" not in comment} == {42, 46}
    assert max(wire for _, _, wire, *_ in packets) == 42 + 20 * len(SECRET)
    assert [row["attempts"] for row in flows] == [4]
    for part in range(len(SECRET) - 6):
        assert SECRET[part : part + 6] not in content
    assert figures['chamaleonet_dropped_total{cause="not_erroneous"}'] == 2
    assert figures['chamaleonet_dropped_total{cause="disk_full"}'] == 0
    free = figures["chamaleonet_logger_disk_available_bytes"]
    assert 0 < free < figures["chamaleonet_logger_disk_size_bytes"]
    assert figures['chamaleonet_logger_packets_total{verdict="unanswered"}'] == 4
    assert figures['chamaleonet_logger_packets_total{verdict="none"}'] == 1
    assert figures["chamaleonet_logger_stream_connected"] == 1


@pytest.mark.root
@needs_root
def test_what_waits_when_it_is_stopped_is_written(process, stream):
    stream.send(event(lost(judged=time.time_ns() - 10**9)), NO_PACKETS, NO_DATA)
    until(lambda: process.scrape().get("chamaleonet_logger_known_flows") == 1)
    process.port(ethernet(udp(C, S)))
    until(lambda: process.scrape().get("chamaleonet_logger_port_packets_total") == 1)
    packets, flows, _ = process.stop(signal.SIGINT)
    assert len(packets) == 1
    assert flows == [], "the controller will tell how it ended"


@pytest.mark.root
@needs_root
def test_flows_of_a_controller_that_is_gone_are_logged(process, stream):
    stream.send(event(lost()), NO_PACKETS, NO_DATA)
    until(lambda: process.scrape().get("chamaleonet_logger_known_flows") == 1)
    stream.close()
    until(lambda: process.scrape().get("chamaleonet_logger_stream_connected") == 0)
    _, flows, _ = process.stop()
    assert [row["verdict"] for row in flows] == ["unanswered"]


def log_one_packet(namespace, directory):
    """Run a logger until it has written a packet of a flow that it was told of."""
    process = Process(namespace, directory)
    try:
        until(lambda: process.scrape().get("chamaleonet_logger_known_flows") == 1)
        process.port(ethernet(udp(C, S)))
        name = 'chamaleonet_logger_packets_total{verdict="unanswered"}'
        until(lambda: process.scrape().get(name) == 1)
        packets, _, _ = process.stop()
    finally:
        process.kill()
    return packets


@pytest.mark.root
@needs_root
def test_a_restarted_logger_learns_what_is_erroneous(namespace, tmp_path):
    active = lost()
    stream = VerdictStream(Endpoint(f"unix:{tmp_path}/verdicts"), lambda: active)
    try:
        assert len(log_one_packet(namespace, tmp_path)) == 1
        assert len(log_one_packet(namespace, tmp_path)) == 2, "and one of the run before"
    finally:
        stream.close()


@pytest.mark.root
@needs_root
def test_json_lines_can_be_followed(namespace, tmp_path):
    process = Process(namespace, tmp_path, flows="jsonl")
    stream = VerdictStream(process.address, lambda: NO_FLOWS)
    try:
        refused = lost(state=State.REFUSED)
        stream.send(
            np.concatenate([event(refused, Change.ENDED), event(lost(), Change.ENDED)]),
            NO_PACKETS, NO_DATA,
        )  # fmt: skip

        def lines():
            return [line for partial in process.files.rglob("*.jsonl.*")
                    for line in partial.read_text().splitlines()]  # fmt: skip

        until(lambda: len(lines()) == 2)
        assert [json.loads(line)["verdict"] for line in lines()] == ["refused", "unanswered"]
        _, flows, _ = process.stop()
        assert [row["verdict"] for row in flows] == ["refused", "unanswered"]
    finally:
        stream.close()
        process.kill()


def settings(directory, port, **logger):
    logger = {"anonymise": "{addresses: none}", **logger}
    lines = "".join(f", {key}: {value}" for key, value in logger.items())
    path = directory / "chamaleonet.yaml"
    path.write_text(
        f"logger: {{directory: '{directory}/files'{lines}}}\n"
        f"stream: {{address: 'unix:{directory}/verdicts'}}\n"
        f"metrics: {{logger: '127.0.0.1:{port}'}}\n"
    )
    return config.load(path)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@contextlib.contextmanager
def running(config):
    """Run a logger here, and a controller's stream; all that was told is written at the end."""
    logger = Logger(config)
    thread = threading.Thread(target=logger.run)
    thread.start()
    stream = VerdictStream(Endpoint(config.stream.address), lambda: NO_FLOWS)
    try:
        until(lambda: stream.consumers == 1)
        yield stream
    finally:
        stream.close(timeout=10)
        logger.stop()
        thread.join()


def test_without_a_port_it_writes_what_the_stream_brings(tmp_path):
    with running(settings(tmp_path, free_port())) as stream:
        verdict = lost()
        stream.send(event(verdict), *captured(verdict, b"headers"))
        stream.send(event(verdict, Change.ENDED), NO_PACKETS, NO_DATA)
    packets, flows, _ = written(tmp_path / "files")
    assert [data for _, _, _, data, _ in packets] == [b"headers"]
    assert [row["verdict"] for row in flows] == ["unanswered"]


def test_what_cannot_be_used_is_named_and_leaves_no_files(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"cannot listen on 127.0.0.1:{port}: Address already"):
            Logger(settings(tmp_path, port))
    assert not (tmp_path / "files").exists()
    (tmp_path / "files").write_text("not a directory")
    with pytest.raises(UserError, match="files: cannot be used: "):
        Logger(settings(tmp_path, free_port()))


def all_bytes(directory):
    """Return what all files hold, decompressed."""
    content = b""
    for path in directory.rglob("*"):
        if path.is_file():
            content += path.read_bytes()
            if path.suffix == ".zst":
                content += zstd.decompress(path.read_bytes())
            elif path.suffix == ".parquet":
                content += str(pq.ParquetFile(path).read().to_pylist()).encode()
    return content


@pytest.mark.parametrize("events", ["eve", "ecs"])
def test_nothing_that_is_written_or_sent_tells_an_address_or_payload(tmp_path, events):
    syslog = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    syslog.bind(("127.0.0.1", 0))
    key = tmp_path / "key"
    write_key(key)
    config = settings(
        tmp_path, free_port(), events=events, anonymise=f"{{addresses: all, key: {key}}}",
        syslog=f"{{address: 'udp:127.0.0.1:{syslog.getsockname()[1]}'}}",
    )  # fmt: skip
    verdict = lost()
    frame = ethernet(udp(C, S, payload=SECRET))
    first, data = captured(verdict, frame[:42])
    well = lost(state=State.ANSWERED)
    with running(config) as stream:
        stream.send(event(verdict), first, data)
        stream.send(event(lost(icmp_type=3, icmp_code=1, sender_lo=words(X)[1]), Change.ENDED),
                    NO_PACKETS, NO_DATA)  # fmt: skip
        tally = Tally(stream.send_counts)
        tally.write(well)
        tally.flush()
        syslog.settimeout(20)
        sent = syslog.recv(65536)
    syslog.close()
    content = all_bytes(tmp_path / "files")
    assert b"unanswered" in sent
    assert b"'flows': 1" in content
    for address in (C, S, X):
        assert address.encode() not in content + sent
        assert bytes(map(int, address.split("."))) not in content
    assert SECRET[:6] not in content + sent
    schema = json.loads(
        (DOCS / f"events{'-ecs' if events == 'ecs' else ''}.schema.json").read_text()
    )
    [log] = (tmp_path / "files").rglob("*.events.json.zst")
    for line in zstd.decompress(log.read_bytes()).splitlines():
        jsonschema.validate(json.loads(line), schema)


def test_without_a_key_it_writes_not_a_byte(tmp_path):
    key = tmp_path / "key"
    config = settings(tmp_path, free_port(), anonymise=f"{{key: {key}}}")
    with pytest.raises(UserError, match=f"{key}: no such file"):
        Logger(config)
    write_key(key)
    key.chmod(0o644)
    with pytest.raises(UserError, match=f"{key}: "):
        Logger(config)
    assert not (tmp_path / "files").exists()


def test_files_are_for_the_owner_and_the_group(tmp_path):
    old = os.umask(0)
    try:
        with running(settings(tmp_path, free_port())) as stream:
            verdict = lost()
            stream.send(event(verdict), *captured(verdict, b"headers"))
            stream.send(event(verdict, Change.ENDED), NO_PACKETS, NO_DATA)
    finally:
        os.umask(old)
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "files").rglob("*.*")}
    assert modes == {0o640}
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "files").rglob("day=*")} == {0o750}
