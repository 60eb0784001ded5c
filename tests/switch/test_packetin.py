from chamaleonet.capture.link import LinkType
from chamaleonet.switch.packetin import PacketInBuffer


def test_packets_come_out_as_they_went_in():
    buffer = PacketInBuffer()
    buffer.append(memoryview(b"abc"), 100, 7)
    buffer.append(memoryview(b"defg"), 4, 8)
    batch = buffer.take()
    spans = zip(batch.offset, batch.length, strict=True)
    assert [bytes(batch.buffer[at : at + size]) for at, size in spans] == [b"abc", b"defg"]
    assert batch.wire_length.tolist() == [100, 4]
    assert batch.time.tolist() == [7, 8]
    assert set(batch.link.tolist()) == {LinkType.ETHERNET}
    assert len(buffer) == 0
    assert len(buffer.take()) == 0


def test_a_packet_in_that_contradicts_itself_is_counted():
    buffer = PacketInBuffer()
    buffer.append(memoryview(b""), 100, 7)
    buffer.append(memoryview(b"abc"), 2, 7)
    assert buffer.malformed == 2
    assert len(buffer) == 0


def test_it_tells_when_it_is_full_and_takes_the_largest_packet_before():
    buffer = PacketInBuffer()
    largest = memoryview(bytes(65535))
    full = [buffer.append(largest, 65535, 0) for _ in range(4)]
    assert full[-1]
    assert not full[0]
    assert buffer.take().length.tolist() == [65535] * 4
    small = [buffer.append(memoryview(b"x"), 1, 0) for _ in range(512)]
    assert small.index(True) == 511
