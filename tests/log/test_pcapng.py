import json
import shutil
import struct
import subprocess

import numpy as np
import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from chamaleonet.flows.records import CAPTURED, Query, Role
from chamaleonet.flows.transitions import State
from chamaleonet.log.pcapng import open_pcapng
from tests.log.build import START, captured, flow
from tests.log.test_community_id import community_id


def read(path):
    """Read a pcapng file block by block, without mercy: interfaces and packets with comments."""
    data = path.read_bytes()
    if path.suffix == ".zst":
        data = zstd.decompress(data)
    interfaces, packets = [], []
    at = 0
    while at < len(data):
        kind, length = struct.unpack_from("=II", data, at)
        assert length % 4 == 0
        assert length >= 12
        assert struct.unpack_from("=I", data, at + length - 4) == (length,)
        body = data[at + 8 : at + length - 4]
        if kind == 0x0A0D0D0A:
            assert at == 0
            assert struct.unpack_from("=IHHq", body) == (0x1A2B3C4D, 1, 0, -1)
        elif kind == 1:
            link, zero, snap = struct.unpack_from("=HHI", body)
            assert (zero, snap) == (0, 0)
            assert options(body[8:]) == [(9, b"\x09")]
            interfaces.append(link)
        else:
            assert kind == 6
            interface, high, low, kept, wire = struct.unpack_from("=IIIII", body)
            padded = 20 + kept + -kept % 4
            assert not any(body[20 + kept : padded])
            [(code, comment)] = options(body[padded:])
            assert code == 1
            packets.append(
                (interfaces[interface], high << 32 | low, wire, body[20 : 20 + kept], comment)
            )
        at += length
    assert at == len(data)
    return packets


def options(data):
    found = []
    while True:
        code, length = struct.unpack_from("=HH", data)
        if code == 0:
            assert data == bytes(4)
            return found
        end = 4 + length + -length % 4
        assert not any(data[4 + length : end])
        found.append((code, data[4 : 4 + length]))
        data = data[end:]


def test_each_packet_tells_its_flows_verdict(tmp_path):
    writer = open_pcapng(tmp_path / "a.pcapng")
    query = flow("udp", "10.0.0.1", "9.9.9.9", 4000, 53, attempts=4)
    broken = flow("tcp", "10.0.0.1", "9.9.9.9", 4000, 80, state=State.ICMP_ERROR, attempts=1)
    writer.write(*captured(query))
    writer.write(*captured(broken, role=Role.ERROR, icmp_type=3, icmp_code=13))
    writer.write(*captured(None, role=Role.ERROR, icmp_type=11, icmp_code=0))
    writer.close()
    comments = [comment.decode() for *_, comment in read(tmp_path / "a.pcapng")]
    assert comments == [
        f"verdict=unanswered flow={community_id(query)} attempts=4",
        f"verdict=icmp_error flow={community_id(broken)} attempts=1 icmp=3/13",
        "verdict=orphan icmp=11/0",
    ]


_packet = st.tuples(
    st.binary(max_size=128),
    st.sampled_from([1, 101, 113, 276]),  # link
    st.integers(0, 2**63 - 1),  # time
    st.integers(0, 2**32 - 1),  # wire length
    st.sampled_from(list(State)),
    st.integers(0, 2**32 - 1),  # attempts
    st.sampled_from(list(Role)),
    st.booleans(),  # orphan
    st.integers(0, 255),
)


@given(st.lists(st.lists(_packet, max_size=8), max_size=4))
def test_what_is_written_is_read_back(tmp_path_factory, batches):
    path = tmp_path_factory.getbasetemp() / "b.pcapng"
    writer = open_pcapng(path)
    expected = []
    for batch in batches:
        records, data = np.zeros(len(batch), CAPTURED), bytearray(b"x")
        for i, packet in enumerate(batch):
            content, link, time, wire, state, attempts, role, orphan, icmp = packet
            owner = flow(47, "1.2.3.4", "5.6.7.8", state=state, attempts=attempts)
            made, _ = captured(
                owner, content, role=role, offset=len(data), link=link, time=time,
                wire_length=wire, orphan=orphan, icmp_type=icmp, icmp_code=icmp,
            )  # fmt: skip
            records[i] = made[0]
            data += content
            comment = (
                "verdict=orphan" if orphan
                else f"verdict={state.label} flow={community_id(owner)} attempts={attempts}"
            )  # fmt: skip
            if role is Role.ERROR:
                comment += f" icmp={icmp}/{icmp}"
            expected.append((link, time, wire, content, comment.encode()))
        writer.write(records, np.frombuffer(data, np.uint8))
    writer.close()
    assert read(path) == expected


def test_many_packets_go_through_a_small_buffer(tmp_path):
    one, data = captured(flow("tcp", "10.0.0.1", "9.9.9.9", 1, 2), bytes(range(60)))
    packets = np.repeat(one, 20_000)
    packets["time"] = START + np.arange(len(packets))
    writer = open_pcapng(tmp_path / "c.pcapng")
    writer.write(packets, data)
    writer.close()
    read_back = read(tmp_path / "c.pcapng")
    assert [time for _, time, *_ in read_back] == packets["time"].tolist()
    assert {content for *_, content, _ in read_back} == {bytes(range(60))}


@pytest.mark.parametrize("fault", [{"offset": -1}, {"offset": 50}, {"length": 55}])
def test_a_packet_beyond_its_data_is_refused(tmp_path, fault):
    writer = open_pcapng(tmp_path / "d.pcapng")
    with pytest.raises(ValueError, match="beyond its data"):
        writer.write(*captured(flow("tcp", "10.0.0.1", "9.9.9.9"), **fault))
    writer.close()
    assert read(tmp_path / "d.pcapng") == []


@pytest.mark.skipif(not shutil.which("tshark"), reason="tshark is not installed")
def test_wireshark_finds_no_fault(tmp_path):
    from scapy.layers.inet import ICMP, IP, TCP, UDP
    from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
    from scapy.layers.l2 import Dot1Q, Ether

    path = tmp_path / "e.pcapng"
    writer = open_pcapng(path)
    tcp = flow("tcp", "10.0.0.1", "9.9.9.9", 4000, 80)
    udp = flow("udp", "10.0.0.1", "9.9.9.9", 4000, 53)
    ping = flow("icmpv6", "fd00::1", "fd00::2", 7, 7, query=Query.ECHO)
    ip = IP(src="10.0.0.1", dst="9.9.9.9")
    quote = IP(src="9.9.9.9", dst="10.0.0.1") / ICMP(type=3, code=1) / ip / UDP(sport=4000)
    for owner, packet, role, link in (
        (tcp, Ether() / Dot1Q(vlan=5) / ip / TCP(sport=4000, dport=80), Role.FIRST, 1),
        (udp, ip / UDP(sport=4000, dport=53), Role.LATER, 101),
        (udp, quote, Role.ERROR, 101),
        (None, quote, Role.ERROR, 101),
        (ping, Ether() / IPv6(src="fd00::1", dst="fd00::2") / ICMPv6EchoRequest(id=7), 0, 1),
    ):
        content = bytes(packet)
        writer.write(
            *captured(
                owner,
                content,
                role=role,
                link=link,
                icmp_type=3,
                icmp_code=1,
                wire_length=len(content),
            )
        )
    writer.close()

    fields = ["frame.comment", "frame.encap_type", "communityid", "frame.time_epoch"]
    shown = subprocess.run(
        ["tshark", "-n", "-r", path, "--enable-protocol", "communityid", "-T", "json"]
        + [part for field in fields for part in ("-e", field)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "damaged" not in shown.stderr
    assert "malformed" not in shown.stdout.lower()
    packets = [packet["_source"]["layers"] for packet in json.loads(shown.stdout)]
    assert [packet["frame.encap_type"][0] for packet in packets] == ["1", "7", "7", "7", "1"]
    assert packets[3]["frame.comment"] == ["verdict=orphan icmp=3/1"]
    assert packets[0]["frame.time_epoch"] == ["1790000000.000000000"]
    for packet in (packets[0], packets[1], packets[4]):
        # Wireshark computes the Community ID from the packet.
        assert f"flow={packet['communityid'][0]} " in packet["frame.comment"][0]
    summary = subprocess.run(["capinfos", path], capture_output=True, text=True, check=True)
    assert summary.stderr == ""
    assert "Number of interfaces in file: 2" in summary.stdout
