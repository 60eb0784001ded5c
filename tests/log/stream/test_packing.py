import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chamaleonet.flows.records import MARK_CLIENT_HIGH, Quality, Query, Role
from chamaleonet.log.columns import PORT_PROTOCOLS
from chamaleonet.log.stream.messages import (
    FLOW_FIELDS,
    FROM_CONTROLLER,
    MessageError,
    check_message,
)
from chamaleonet.log.stream.packing import (
    check_record,
    pack_flow,
    pack_packet,
    unpack_flow,
    unpack_packets,
)
from tests.log.build import captured, flow
from tests.log.test_flowlog import flows


@st.composite
def sent_flows(draw):
    """A flow as the engine makes it, which the flow log does not insist on."""
    record = draw(flows())
    protocol, version = int(record["kind"][0]) >> 8, int(record["kind"][0]) & 15
    query = draw(st.sampled_from(Query)) if protocol in (1, 58) else Query.NONE
    if query:
        record["ports"] = (record["ports"] >> 16) * 0x10001
    elif protocol not in PORT_PROTOCOLS:
        record["ports"] = 0
    record["kind"] = protocol << 8 | query << 4 | version
    if not (record["sender_hi"] | record["sender_lo"]):
        record["icmp_type"] = record["icmp_code"] = 0
    ends = ("low_hi", "low_lo"), ("high_hi", "high_lo")
    low, high = (tuple(int(record[name][0]) for name in end) for end in ends)
    if low == high:
        # The ports order them, the client's is the lower or the higher as the mark says.
        ports = sorted(divmod(int(record["ports"][0]), 0x10000))
        record["ports"] = ports[0] << 16 | ports[1]
        if ports[0] == ports[1]:
            record["marks"] = 0
    record["slab"] = -1
    return record


@given(sent_flows())
def test_a_flow_arrives_as_it_was_sent(record):
    packed = pack_flow(record[0])
    assert list(packed) == [field.name for field in FLOW_FIELDS]
    assert unpack_flow(packed).tobytes() == record.tobytes()


@given(sent_flows())
def test_what_is_packed_is_what_the_tables_say(record):
    at = {"run": 1, "seq": 2}
    for kind, more in (("active", {}), ("flow", at), ("verdict", {"packets": [], **at})):
        message = {"kind": kind, "flow": pack_flow(record[0]), **more}
        assert check_message(message, FROM_CONTROLLER) is message
        check_record(message)


@given(st.binary(max_size=128), st.integers(0, 2**63 - 1), st.integers(0, 2**32 - 1))
def test_a_first_packet_arrives_as_it_was_sent(content, time, wire_length):
    owner = flow("udp", "10.0.0.2", "10.0.0.1", 5, 6)
    assert owner["marks"] == MARK_CLIENT_HIGH
    sent, data = captured(owner, content, time=time, wire_length=wire_length)
    got, got_data = unpack_packets([pack_packet(sent[0], data)] * 2, owner)
    assert got_data.tobytes() == content * 2
    assert got["offset"].tolist() == [0, len(content)]
    for name in ("time", "link", "wire_length", "length"):
        assert got[name].tolist() == [sent[name][0]] * 2
    assert got["role"].tolist() == [Role.FIRST] * 2
    assert np.array_equal(got["flow"], np.repeat(owner, 2))


GOOD = pack_flow(flow("tcp", "10.0.0.1", "9.9.9.9", 4000, 80)[0])


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"client": b"\0" * 5}, "client is not bin, 4 or 16 bytes"),
        ({"client": "10.0.0.1"}, "client is not"),
        ({"client": b"\0" * 16}, "addresses of different IP versions"),
        ({"icmp_sender": b"\0" * 16}, "addresses of different IP versions"),
        ({"client_port": None}, "ports do not agree"),
        ({"client_port": 65536}, "client_port is not uint 16, or nil"),
        ({"protocol": 47}, "ports do not agree"),
        ({"protocol": True}, "protocol is not uint 8"),
        ({"query": 1}, "query and identifier do not agree"),
        ({"query": 9, "identifier": 3}, "query and identifier do not agree"),
        ({"verdict": "none"}, "verdict is not"),
        ({"verdict": ["answered"]}, "verdict is not"),
        ({"first": -1}, "first is not int, ns"),
        ({"first": 1.5}, "first is not int, ns"),
        ({"attempts": 2**32}, "attempts is not uint 32"),
        ({"vlan": 4096}, "vlan is not"),
        ({"quality": "good"}, "quality is not"),
    ],
)
def test_a_field_that_is_wrong_is_named(fault, said):
    with pytest.raises(MessageError, match=said):
        unpack_flow({**GOOD, **fault})


@pytest.mark.parametrize("name", [field.name for field in FLOW_FIELDS if not field.missing])
def test_a_field_that_is_missing_is_named(name):
    with pytest.raises(MessageError, match=f"^{name} is missing$"):
        unpack_flow({key: value for key, value in GOOD.items() if key != name})


def test_a_record_from_before_there_were_qualities_is_sound():
    suspect = flow("tcp", "10.0.0.1", "9.9.9.9", 4000, 80, quality=Quality.SUSPECT)
    message = pack_flow(suspect[0])
    assert unpack_flow(message)["quality"] == Quality.SUSPECT
    del message["quality"]
    assert unpack_flow(message)["quality"] == Quality.SOUND
    check_record({"kind": "flow", "run": 1, "seq": 1, "flow": message})


@pytest.mark.parametrize("link", [2, -1, "1", True, 1.0])
def test_a_packet_of_an_unknown_link_type_is_refused(link):
    with pytest.raises(MessageError, match="link is not"):
        unpack_packets(
            [{"time": 1, "link": link, "wire_length": 1, "data": b""}],
            flow("tcp", "10.0.0.1", "9.9.9.9", 4000, 80),
        )


@pytest.mark.parametrize(
    "fault",
    [{"flow": {**GOOD, "client_port": None}}, {"flow": 1}, {"packets": [{"time": 1}]}],
)
def test_a_record_is_checked_to_its_last_field(fault):
    packet = {"time": 1, "link": 1, "wire_length": 1, "data": b"\0"}
    record = {"kind": "verdict", "flow": GOOD, "packets": [packet]}
    check_record(record)
    with pytest.raises(MessageError):
        check_record({**record, **fault})
