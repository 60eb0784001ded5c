import select
import socket
import struct
import subprocess
import time

import pytest

from chamaleonet.capture.link import LinkType
from chamaleonet.capture.ring import Ring
from chamaleonet.errors import UserError
from tests.namespace import needs_root

ADDRESSES = bytes.fromhex("020000000001020000000002")


@pytest.fixture
def cable(namespace, send):
    """Return a ring on one end of a cable, and what sends frames into the other end."""
    ring = namespace.call(Ring, "near")
    yield ring, send
    ring.close()


def receive(ring, count):
    """Wait for ``count`` packets and return (bytes, wire length, time, link) of each."""
    packets = []
    while len(packets) < count:
        assert select.select([ring], [], [], 10)[0], f"only {len(packets)} of {count} came"
        packets += taken(ring)
    return packets


def taken(ring):
    return [
        (
            batch.buffer[batch.offset[i] : batch.offset[i] + batch.length[i]].tobytes(),
            int(batch.wire_length[i]),
            int(batch.time[i]),
            int(batch.link[i]),
        )
        for batch in ring.batches()
        for i in range(len(batch))
    ]


def ipv4(total, kept):
    return b"\x08\x00" + (struct.pack(">BBH", 0x45, 0, total) + bytes(16) + b"payload" * 200)[:kept]


@pytest.mark.root
@needs_root
def test_frames_arrive_whole_in_order_with_their_time(cable):
    ring, send = cable
    frames = [ADDRESSES + b"\x88\xb5" + bytes([n]) * (50 + n) for n in range(200)]
    before = time.time_ns()
    for frame in frames:
        send(frame)
    packets = receive(ring, len(frames))
    assert [packet[0] for packet in packets] == frames
    assert [packet[1] for packet in packets] == [len(frame) for frame in frames]
    times = [packet[2] for packet in packets]
    assert times == sorted(times)
    assert abs(times[0] - before) < 60 * 10**9, "the same clock"
    assert {packet[3] for packet in packets} == {LinkType.ETHERNET}
    assert ring.received == len(frames)
    assert ring.dropped == 0


@pytest.mark.root
@needs_root
def test_what_the_machine_sends_itself_is_left_out(cable, namespace):
    ring, send = cable
    sender = namespace.call(socket.socket, socket.AF_PACKET, socket.SOCK_RAW, 0)
    sender.bind(("near", 0))
    outgoing, incoming = (ADDRESSES + b"\x88\xb5" + fill * 50 for fill in (b"o", b"i"))
    sender.send(outgoing)
    send(incoming)
    sender.close()
    assert [packet[0] for packet in receive(ring, 1)] == [incoming]


@pytest.mark.root
@needs_root
@pytest.mark.parametrize(
    "tags",
    [
        b"\x81\x00\x20\x05",  # VLAN 5, priority 1
        b"\x88\xa8\x00\x07",
        b"\x88\xa8\x00\x07\x81\x00\x00\x09",
        b"\x81\x00\x00\x00",
    ],
    ids=["802.1Q", "802.1ad", "QinQ", "priority"],
)
def test_vlan_tags_are_where_they_were(cable, tags):
    ring, send = cable
    frame = ADDRESSES + tags + ipv4(total=1000, kept=60)
    send(frame)
    [(content, wire_length, *_)] = receive(ring, 1)
    assert content == frame
    assert wire_length == 12 + len(tags) + 2 + 1000


@pytest.mark.root
@needs_root
@pytest.mark.parametrize(
    ("rest", "wire_length"),
    [
        (ipv4(total=1500, kept=80), 1514),
        (ipv4(total=40, kept=46), 60),  # padded to Ethernet's least length
        (ipv4(total=0, kept=100), 114),  # segmentation offload
        (b"\x86\xdd" + struct.pack(">IHBB", 6 << 28, 1460, 17, 64) + bytes(60), 1514),
        (b"\x08\x06" + b"\xff" * 60, 74),  # not IP
        (b"\x08\x00\x45\x00\xff", 17),  # too short to tell
    ],
)
def test_the_wire_length_is_what_it_was_before_the_switch_cut_it(cable, rest, wire_length):
    ring, send = cable
    send(ADDRESSES + rest)
    [(content, length, *_)] = receive(ring, 1)
    assert content == ADDRESSES + rest
    assert length == wire_length


@pytest.mark.root
@needs_root
def test_what_does_not_fit_is_counted(namespace):
    frame = ADDRESSES + b"\x88\xb5" + bytes(1000)
    with namespace.call(Ring, "near", blocks=2, block_bytes=1 << 14) as ring:
        sender = namespace.call(socket.socket, socket.AF_PACKET, socket.SOCK_RAW, 0)
        sender.bind(("far", 0))
        for _ in range(300):
            sender.send(frame)
        sender.close()
        got = len(receive(ring, 1)) + len(taken(ring))
        assert ring.received == 300
        assert ring.dropped > 0
        assert got + ring.dropped == 300


@pytest.mark.root
@needs_root
def test_a_batch_is_not_overwritten_before_the_next_is_asked_for(namespace):
    with namespace.call(Ring, "near", blocks=2, block_bytes=1 << 14, retire=1) as ring:
        sender = namespace.call(socket.socket, socket.AF_PACKET, socket.SOCK_RAW, 0)
        sender.bind(("far", 0))
        sender.send(ADDRESSES + b"\x88\xb5" + b"first" * 10)
        assert select.select([ring], [], [], 10)[0]
        batches = ring.batches()
        batch = next(batches)
        for _ in range(200):
            sender.send(ADDRESSES + b"\x88\xb5" + b"later" * 100)
        assert bytes(batch.buffer[batch.offset[0] :][14:64]) == b"first" * 10
        batches.close()
        sender.close()


@pytest.mark.root
@needs_root
def test_an_interface_that_goes_down_and_up_again(cable, namespace):
    ring, send = cable
    namespace.ip("link", "set", "near", "down")
    assert taken(ring) == []
    assert not select.select([ring], [], [], 0)[0], "the descriptor would spin"
    namespace.ip("link", "set", "near", "up")
    for _ in range(100):  # it is some time before it takes packets again
        send(ADDRESSES + b"\x88\xb5" + bytes(50))
        if select.select([ring], [], [], 0.1)[0]:
            break
    assert receive(ring, 1)


@pytest.mark.root
@needs_root
def test_a_missing_interface_is_named():
    with pytest.raises(UserError) as caught:
        Ring("nosuch0")
    assert str(caught.value) == "nosuch0: cannot capture: No such device"


@pytest.mark.root
@needs_root
def test_an_interface_that_is_no_ethernet_is_refused(namespace):
    try:
        namespace.ip("link", "add", "tunnel", "type", "sit", "local", "127.0.0.1")
    except subprocess.CalledProcessError:
        pytest.skip("this kernel makes no tunnel interfaces")
    with pytest.raises(UserError, match="tunnel: cannot capture: not an Ethernet interface"):
        namespace.call(Ring, "tunnel")


def test_a_process_without_the_right_is_told_so(monkeypatch):
    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(socket, "socket", refuse)
    with pytest.raises(UserError, match="eth0: capturing packets needs root or the capability"):
        Ring("eth0")
