"""No byte of payload gets out: every protocol, cut at every length, by every way to a file.

A packet here is its headers, written by hand, and a secret behind them. Whatever is written of it
must be a beginning of its headers; of a complete packet, exactly all of them.
"""

import hashlib
import ipaddress
import json
import struct
from dataclasses import dataclass

import numpy as np
import pyarrow.parquet as pq
import pytest

from chamaleonet.capture.link import LinkType
from chamaleonet.flows.decode import Decoder
from chamaleonet.flows.engine import Engine, Settings
from chamaleonet.flows.records import SLAB_BYTES, Change, Role
from chamaleonet.flows.transitions import ERRONEOUS
from chamaleonet.log.collector import Collector
from chamaleonet.log.flowlog import open_flow_log
from chamaleonet.log.pcapng import open_pcapng
from chamaleonet.log.stream.packing import pack_packet
from tests.log.test_pcapng import read
from tests.traffic import ICMP, ICMPV6, SECOND, SYN, TCP, UDP, Record, batch, ethernet, ip

# No header here has four bytes in a row that all are so high, so none can be taken for the secret.
SECRET = bytes(byte | 0xC0 for byte in hashlib.shake_256(b"payload").digest(32))
INNER_SECRET = bytes(byte | 0xC0 for byte in hashlib.shake_256(b"tunnelled").digest(32))
START = 1_790_000_000 * SECOND
SERVER = {4: "198.51.100.7", 6: "2001:db8::7"}
DCCP, SCTP, UDPLITE, AH = 33, 132, 136, 51

# Options and extension headers: of the length that is theirs at most, as far as that is sensible.
FORTY = bytes(range(1, 41))
TCP_HEADER = struct.pack(">HHIIBBHHH", 40000, 80, 1, 0, 5 << 4, SYN, 1024, 0, 0)
TRANSPORTS = {
    "tcp": (TCP, TCP_HEADER),  # with data in the SYN, as TCP Fast Open has it
    "tcp with options": (TCP, TCP_HEADER[:12] + b"\xf0" + TCP_HEADER[13:] + FORTY),
    "tcp that claims too little": (TCP, TCP_HEADER[:12] + b"\x10" + TCP_HEADER[13:]),
    "udp": (UDP, struct.pack(">HHHH", 40000, 53, 8 + len(SECRET), 0)),
    "udp-lite": (UDPLITE, struct.pack(">HHHH", 40000, 53, 8, 0)),
    "dccp": (DCCP, struct.pack(">HHBBHQ", 40000, 5001, 4, 0, 0, 1)),
    "dccp with options": (DCCP, struct.pack(">HHBBHQ", 40000, 5001, 14, 0, 0, 1) + FORTY),
    "sctp": (SCTP, struct.pack(">HHII", 40000, 3868, 1, 0)),
    "icmp query": (ICMP, struct.pack(">BBHHH", 8, 0, 0, 7, 1)),
    "icmp timestamp": (ICMP, struct.pack(">BBHHH", 13, 0, 0, 7, 1)),
    # What a tunnel carries is payload, its headers too.
    "ipip": (4, b""),
    "ipv6 in ip": (41, b""),
    "gre": (47, b""),
    "esp": (50, b""),
    "ospf": (89, b""),
    "ah": (AH, b""),  # under IPv4 a protocol like any other; under IPv6 see below
}
_IPV4_ONLY = ("icmp timestamp", "ah")


def ipv4(client, server, protocol, payload, **named):
    return ip(client, server, protocol, payload, **named)


def ipv4_with_options(client, server, protocol, payload):
    return ip(client, server, protocol, payload, options=FORTY)


def ipv4_first_fragment(client, server, protocol, payload):
    return ip(client, server, protocol, payload, fragment=0x2000)


def ipv4_segmentation_offload(client, server, protocol, payload):
    return ip(client, server, protocol, payload, length=0)


def ipv6(client, server, protocol, payload, **named):
    return ip(client, server, protocol, payload, **named)


def ipv6_jumbogram(client, server, protocol, payload):
    return ip(client, server, protocol, payload, length=0)


def ipv6_with_extensions(client, server, protocol, payload):
    """Hop-by-hop, destination and routing header, first fragment, authentication header."""
    chain = (
        (0, bytes([60, 0]) + FORTY[:6]),
        (60, bytes([43, 1]) + FORTY[:14]),
        (43, bytes([44, 2]) + FORTY[:22]),
        (44, bytes([AH, 0]) + struct.pack(">HI", 1, 9)),
        (AH, bytes([protocol, 4]) + FORTY[:22]),
    )
    return ip(client, server, chain[0][0], b"".join(header for _, header in chain) + payload)


NETWORKS = {
    4: (ipv4, ipv4_with_options, ipv4_first_fragment, ipv4_segmentation_offload),
    6: (ipv6, ipv6_jumbogram, ipv6_with_extensions),
}

LINKS = {
    "vlan": (LinkType.ETHERNET, lambda network: ethernet(network, tags=[(0x8100, 7)])),
    "qinq": (LinkType.ETHERNET, lambda network: ethernet(network, tags=[(0x88A8, 7), (0x8100, 8)])),
    "three tags": (LinkType.ETHERNET, lambda network: ethernet(network, tags=[(0x8100, 7)] * 3)),
    "raw": (LinkType.RAW, lambda network: network),
    "null": (LinkType.NULL, lambda network: struct.pack("<I", _family(network)) + network),
    "loop": (LinkType.LOOP, lambda network: struct.pack(">I", _family(network)) + network),
    "sll": (LinkType.LINUX_SLL, lambda network: bytes(14) + _ethertype(network) + network),
    "sll2": (LinkType.LINUX_SLL2, lambda network: _ethertype(network) + bytes(18) + network),
}


def _family(network):
    return 2 if network[0] >> 4 == 4 else 10


def _ethertype(network):
    return b"\x08\x00" if network[0] >> 4 == 4 else b"\x86\xdd"


@dataclass(frozen=True)
class Case:
    """One kind of packet.

    Attributes:
        version: of IP.
        make: returns the packet of a client, with the given bytes behind its headers.
        link: link type.
        between: how many bytes stand between what is to be written and the given ones.
        dropped: nothing of it is to be written.
    """

    name: str
    version: int
    make: object
    link: int = LinkType.ETHERNET
    between: int = 0
    dropped: bool = False


def transport(version, name):
    protocol, header = TRANSPORTS[name]
    if version == 6 and name == "icmp query":
        return ICMPV6, b"\x80" + header[1:]
    return protocol, header


def transports(version):
    return [name for name in TRANSPORTS if version == 4 or name not in _IPV4_ONLY]


def plain_cases():
    for version, networks in NETWORKS.items():
        for network in networks:
            for name in transports(version):
                protocol, header = transport(version, name)

                def make(client, payload, *, version=version, network=network,
                         protocol=protocol, header=header):  # fmt: skip
                    return ethernet(network(client, SERVER[version], protocol, header + payload))

                yield Case(f"{network.__name__}, {name}", version, make)
        for name, (link, frame) in LINKS.items():
            protocol, header = transport(version, "tcp with options")

            def make(client, payload, *, version=version, frame=frame,
                     protocol=protocol, header=header):  # fmt: skip
                return frame(ip(client, SERVER[version], protocol, header + payload))

            yield Case(f"{name}, version {version}", version, make, link)


def error_of(version, client, quoted, type_=None, code=1):
    """Return an ICMP error to the client that quotes all that is given."""
    type_ = type_ or {4: 3, 6: 1}[version]
    header = struct.pack(">BBHI", type_, code, 0, 0)
    router = {4: "203.0.113.1", 6: "2001:db8::99"}[version]
    protocol = {4: ICMP, 6: ICMPV6}[version]
    return ip(router, client, protocol, header + quoted)


def error_cases():
    for version, networks in NETWORKS.items():
        for network in networks:
            for name in transports(version):
                protocol, header = transport(version, name)

                def make(client, payload, *, version=version, network=network,
                         protocol=protocol, header=header):  # fmt: skip
                    quoted = network(client, SERVER[version], protocol, header + payload)
                    return ethernet(error_of(version, client, quoted))

                yield Case(f"error, {network.__name__}, {name}", version, make)

        def chained(client, payload, *, version=version):
            return ethernet(error_of(version, client, error_of(version, client, payload)))

        # Of the quoted error, the ICMP header tells nothing that is needed.
        yield Case(f"error, quotes an error, {version}", version, chained, between=8)

        def foreign(client, payload, *, version=version):
            return ethernet(error_of(version, client, payload))

        yield Case(f"error, quotes no IP, {version}", version, foreign)

    def fragment(client, payload):
        return ethernet(error_of(4, client, ip(client, SERVER[4], UDP, payload, fragment=5)))

    yield Case("error, quotes a later fragment", 4, fragment)


def short_cases():
    """Packets whose IP header says that they end before the frame does, and within a header."""
    for version in (4, 6):
        for name, length in (("udp", 4), ("tcp with options", 24), ("sctp", 8), ("dccp", 12)):
            protocol, header = transport(version, name)

            def make(client, payload, *, version=version, length=length,
                     protocol=protocol, header=header):  # fmt: skip
                size = length + (20 if version == 4 else 0)
                inside = header[:length]
                return ethernet(
                    ip(client, SERVER[version], protocol, inside + payload, length=size)
                )

            yield Case(f"{name} of {length} bytes, {version}", version, make)

        def quote_of_8_bytes(client, payload, *, version=version):
            quoted = ip(client, SERVER[version], *transport(version, "tcp with options"))
            quoted = quoted[: (28 if version == 4 else 48)]
            padded = error_of(version, client, quoted + payload)
            length = len(quoted) + (28 if version == 4 else 8)
            at = 2 if version == 4 else 4
            return ethernet(padded[:at] + struct.pack(">H", length) + padded[at + 2 :])

        yield Case(f"quote of 8 bytes, {version}", version, quote_of_8_bytes)


def dropped_cases():
    def later_fragment(client, payload):
        return ethernet(ip(client, SERVER[4], UDP, payload, fragment=5))

    def later_fragment_6(client, payload):
        header = bytes([UDP, 0]) + struct.pack(">HI", 8, 9)
        return ethernet(ip(client, SERVER[6], 44, header + payload))

    def redirect(client, payload):
        return ethernet(error_of(4, client, ip(client, SERVER[4], UDP, payload), type_=5))

    def too_big(client, payload):
        return ethernet(error_of(6, client, ip(client, SERVER[6], UDP, payload), type_=2))

    def multicast(client, payload):
        return ethernet(ip(client, "224.0.0.251", UDP, payload))

    def arp(client, payload):
        return bytes(12) + b"\x08\x06" + bytes(28) + payload

    def llc(client, payload):
        return bytes(12) + b"\x00\x40" + payload

    def router_advertisement(client, payload):
        return ethernet(ip(client, SERVER[6], ICMPV6, bytes([134, 0, 0, 0]) + payload))

    for make in (later_fragment, later_fragment_6, redirect, too_big, multicast, arp, llc,
                 router_advertisement):  # fmt: skip
        version = 6 if make in (later_fragment_6, too_big, router_advertisement) else 4
        yield Case(make.__name__, version, make, dropped=True)


CASES = [*plain_cases(), *error_cases(), *short_cases(), *dropped_cases()]


def client_of(version, case, length):
    if version == 4:
        return str(ipaddress.IPv4Address((10 << 24) + (case << 9) + length))
    return str(ipaddress.IPv6Address((0xFD << 120) + (case << 9) + length))


@dataclass(frozen=True)
class Packet:
    """One packet, cut by a capture.

    Attributes:
        case: what kind of packet it is.
        headers: its headers, whole.
        data: its first bytes, as many as were captured.
    """

    case: Case
    headers: bytes
    data: bytes

    @property
    def is_complete(self):
        return len(self.data) >= len(self.headers)


TUNNELS = ("ipip", "ipv6 in ip", "gre")
INNER = ip("10.1.1.1", "10.2.2.2", UDP, struct.pack(">HHHH", 1, 2, 8, 0) + INNER_SECRET)


def packets():
    """Return every case at every captured length up to its whole."""
    made = []
    for number, case in enumerate(CASES):
        payload = INNER if case.name.endswith(TUNNELS) else SECRET

        def packet(length, payload, *, number=number, case=case):
            return case.make(client_of(case.version, number, length), payload)

        size = len(packet(0, b""))
        for length in range(size + len(payload) + 1):
            frame = packet(length, payload)
            assert frame[size:] == payload
            made.append(Packet(case, frame[: size - case.between], frame[:length]))
    return made


PACKETS = packets()
PAUSE = 10 * SECOND


def records(start):
    """Return PACKETS as a capture has them, each at a time of its own."""
    return [
        Record(packet.data, start + 1000 * n, packet.case.link, wire_length=1500)
        for n, packet in enumerate(PACKETS)
    ]


def windows(data):
    octets = np.frombuffer(data, np.uint8).astype(np.uint32)
    return octets[:-3] << 24 | octets[1:-2] << 16 | octets[2:-1] << 8 | octets[3:]


PLANTED = np.concatenate([windows(SECRET), windows(INNER_SECRET)])


def leaks(data):
    """Tell how many times four bytes of a secret stand in ``data``."""
    return int(np.isin(windows(data), PLANTED).sum()) if len(data) >= 4 else 0


def check(written, start):
    """Check what was written of PACKETS: (role, time, content) each."""
    found = {(time - start) // 1000: (role, content) for role, time, content in written}
    assert len(found) == len(written), "no packet is written twice"
    for number, packet in enumerate(PACKETS):
        told = (packet.case.name, len(packet.data))
        if number not in found:
            assert packet.case.dropped or not packet.is_complete, told
            continue
        role, content = found[number]
        assert not packet.case.dropped, told
        assert packet.headers.startswith(content), told
        if packet.is_complete:
            most = SLAB_BYTES if role == Role.FIRST else len(packet.headers)
            assert content == packet.headers[:most], told


def contents(path):
    """Return (time, content) of a pcapng file's packets."""
    return sorted((time, content) for _, time, _, content, _ in read(path))


class Seen:
    """A sink that keeps what it is given: (role, time, content) each."""

    def __init__(self):
        self.written = []
        self.sent = b""  # first packets, as the verdict stream carries them

    def write(self, packets, data):
        for packet in packets:
            content = data[packet["offset"] :][: packet["length"]].tobytes()
            self.written.append((int(packet["role"]), int(packet["time"]), content))
            if packet["role"] == Role.FIRST:
                sent = pack_packet(packet, data)["data"]
                assert sent == content
                self.sent += sent


@pytest.fixture(scope="module")
def replayed(tmp_path_factory):
    """What the engine makes of PACKETS, seen before and after their flows' verdicts.

    Returns:
        (what was written, the flows with their verdicts, a folder with the files).
    """
    directory = tmp_path_factory.mktemp("replayed")
    engine = Engine(
        Settings(max_flows=len(PACKETS)), judged=ERRONEOUS, ended=ERRONEOUS, packets=True
    )
    seen, verdicts = Seen(), []
    pcapng = open_pcapng(directory / "packets.pcapng")
    logs = [open_flow_log(directory / f"flows.{kind}") for kind in ("jsonl", "parquet")]

    def take(outputs):
        for output in outputs:
            for sink in (seen, pcapng):
                sink.write(output.packets, output.data)
            flows, change = output.events["flow"], output.events["change"]
            verdicts.append(flows[change == Change.JUDGED])
            for log in logs:
                log.write(flows[change == Change.ENDED])

    for start in (START, START + PAUSE):
        take(engine.judge(batch(records(start))))
    take(engine.finish())
    for file in (pcapng, *logs):
        file.close()
    return seen, np.concatenate(verdicts), directory


@pytest.fixture(scope="module")
def collected(tmp_path_factory, replayed):
    """What the packet logger makes of PACKETS, when it knows all their flows to be erroneous.

    Returns:
        (what was written, a folder with the file).
    """
    _, verdicts, _ = replayed
    directory = tmp_path_factory.mktemp("collected")
    seen, pcapng = Seen(), open_pcapng(directory / "packets.pcapng")

    class Both:
        def write(self, packets, data):
            seen.write(packets, data)
            pcapng.write(packets, data)

    collector = Collector(Both(), Nowhere(), Decoder(()))
    for flow in verdicts:
        collector.known.put(flow.reshape(1), True)
    collector.hold(batch(records(START + PAUSE)), 0)
    collector.flush()
    pcapng.close()
    return seen, directory


class Nowhere:
    def write(self, _):
        pass


def test_the_secrets_stand_in_every_payload_and_in_no_header():
    """So that a scan finds what it should, and nothing else."""
    assert len(PACKETS) > 20_000
    for packet in PACKETS:
        assert leaks(packet.headers) == 0
    for number, case in enumerate(CASES):
        assert leaks(case.make(client_of(case.version, number, 0), SECRET))
    assert leaks(b"header" + SECRET[7:11])
    assert leaks(INNER)


def test_the_engine_hands_out_headers_alone(replayed):
    seen, _, _ = replayed
    check([each for each in seen.written if each[0] != Role.LATER and before_pause(each)], START)
    check([each for each in seen.written if not before_pause(each)], START + PAUSE)
    assert not leaks(seen.sent)


def before_pause(written):
    return written[1] < START + PAUSE


def test_replay_writes_what_the_engine_hands_out(replayed):
    seen, _, directory = replayed
    path = directory / "packets.pcapng"
    assert contents(path) == sorted((time, content) for _, time, content in seen.written)
    assert not leaks(path.read_bytes())


def test_the_flow_log_holds_no_payload(replayed):
    _, verdicts, directory = replayed
    text = (directory / "flows.jsonl").read_bytes()
    assert text.isascii(), "no byte of the secrets is ASCII"
    lines = [json.loads(line) for line in text.splitlines()]
    assert len(lines) == len(verdicts) > 5_000
    table = pq.read_table(directory / "flows.parquet")
    assert table.num_rows == len(lines)
    assert repr(table.to_pylist()).isascii()


def test_the_packet_logger_writes_headers_alone(collected):
    seen, directory = collected
    check(seen.written, START + PAUSE)
    path = directory / "packets.pcapng"
    assert contents(path) == sorted((time, content) for _, time, content in seen.written)
    assert not leaks(path.read_bytes())
