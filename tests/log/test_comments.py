import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from chamaleonet.flows.records import CAPTURED, Quality, Query, Role
from chamaleonet.flows.transitions import State
from chamaleonet.kernels import kernel
from chamaleonet.log.comments import COMMENT_BYTES, new_comments, write_comment
from tests.log.build import captured, flow
from tests.log.test_community_id import community_id


@kernel
def _write(packets, comments, out):
    return write_comment(packets[0], comments, out, 0)


@kernel
def _write_all(packets, comments, out):
    for i in range(len(packets)):
        end = write_comment(packets[i], comments, out, i * COMMENT_BYTES)
        # A copy may be longer than what is told: the caller's next text covers it.
        out[end : (i + 1) * COMMENT_BYTES] = 0


COMMENTS = new_comments()  # one for all tests: what was written before must not matter


def comment(packet, comments=COMMENTS):
    out = np.full(COMMENT_BYTES + 8, ord("#"), np.uint8)
    end = _write(packet, comments, out)
    assert end <= COMMENT_BYTES
    assert bytes(out[COMMENT_BYTES:]) == b"#" * 8, "wrote beyond its room"
    return bytes(out[:end]).decode()


def expected(packet):
    [record] = packet["flow"]
    text = f"verdict={State(record['state']).label}"
    if record["quality"] != Quality.SOUND:
        text += f" quality={Quality(record['quality']).label}"
    text += f" flow={community_id(packet['flow'])}"
    text += f" attempts={record['attempts']}"
    if packet["orphan"][0]:
        text = "verdict=orphan"
    if packet["role"][0] == Role.ERROR:
        text += f" icmp={packet['icmp_type'][0]}/{packet['icmp_code'][0]}"
    return text


def test_the_longest_comment_has_room():
    longest = max(State, key=lambda state: len(state.label))
    worst = max(Quality, key=lambda quality: len(quality.label))
    record = flow(
        "tcp", "10.0.0.1", "9.9.9.9", 1, 2, state=longest, quality=worst, attempts=2**32 - 1
    )
    packet, _ = captured(record, role=Role.ERROR, icmp_type=255, icmp_code=255)
    assert comment(packet) == expected(packet)
    assert comment(packet) == expected(packet), "the second one is made of the first"


# Few different values, so that flows come again, and differ in one field alone.
_address = st.sampled_from(["10.0.0.1", "10.0.0.2", "fd00::1", "fd00::2", "fd00:0:0:1::1"])
_flow = st.builds(
    flow,
    st.sampled_from(["tcp", "udp", "icmp", "icmpv6"]),
    _address,
    _address,
    st.sampled_from([1, 2]),
    st.sampled_from([1, 2]),
    query=st.sampled_from([Query.NONE, Query.ECHO]),
    state=st.sampled_from(list(State)),
    quality=st.sampled_from(list(Quality)),
    attempts=st.integers(0, 2**32 - 1),
)


@given(
    st.lists(st.tuples(_flow, st.sampled_from(list(Role)), st.booleans()), min_size=1, max_size=40)
)
def test_a_comment_depends_on_nothing_that_was_written_before(packets):
    for record, role, orphan in packets:
        packet, _ = captured(record, role=role, orphan=orphan, icmp_type=3, icmp_code=1)
        assert comment(packet) == expected(packet)


def test_flows_that_share_a_place_keep_their_names():
    number = 70_000  # more than there are places
    packets = np.zeros(number, CAPTURED)
    packets["flow"]["low_lo"] = np.arange(number)
    packets["flow"]["kind"] = 6 << 8 | 4
    packets["row"] = np.arange(number)
    out = np.zeros((2, number * COMMENT_BYTES), np.uint8)
    for each in out:
        _write_all(packets, COMMENTS, each)
    assert (out[0] == out[1]).all()
    rows = out[0].reshape(number, COMMENT_BYTES)
    assert len(np.unique(rows, axis=0)) == number
    for n in (0, 30_000, number - 1):
        assert rows[n].tobytes().rstrip(b"\0").decode() == expected(packets[n : n + 1])
