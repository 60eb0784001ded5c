"""Packets from the port and verdicts from the stream, joined."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chamaleonet.capture.link import LinkType
from chamaleonet.flows.decode import Decoder
from chamaleonet.flows.engine import Engine, Settings
from chamaleonet.flows.records import Change, Quality, Role
from chamaleonet.flows.transitions import ERRONEOUS, HEALTHY, State
from chamaleonet.log.collector import Collector
from chamaleonet.log.stream.position import Position
from chamaleonet.log.stream.reader import Message
from tests.log.build import flow as flow_record
from tests.traffic import (
    ACK,
    ICMP,
    ICMPV6,
    PSH,
    RST,
    SECOND,
    SYN,
    Record,
    batch,
    ethernet,
    ip,
    tcp,
    udp,
)

C, S, X = "10.0.0.1", "192.0.2.9", "192.0.2.200"
SECRET = b"SECRETSECRETSECRET"
MS = 10**6


class Sink:
    def __init__(self):
        self.records, self.contents = [], []

    def write(self, records, data=None):
        self.records += [record.copy() for record in records]
        if data is not None:
            self.contents += [
                data[record["offset"] : record["offset"] + record["length"]].tobytes()
                for record in records
            ]


class Bench:
    """A collector between two lists."""

    def __init__(self, **named):
        self.packets, self.flows = Sink(), Sink()
        decoder = Decoder(())
        self.collector = Collector(self.packets, self.flows, decoder, **named)

    def port(self, *frames, now=0, time=10 * SECOND):
        self.collector.hold(batch([Record(frame, time) for frame in frames]), now)

    def tell(self, kind, flow, now=0):
        self.collector.tell(Message(kind, flow=flow), now)

    @property
    def attempts(self):
        return [int(record["flow"]["attempts"]) for record in self.packets.records]


def lost(**fields):
    """The UDP flow C:40000 > S:53, unanswered at 9 s."""
    return flow_record(
        "udp", C, S, 40000, 53,
        **{"first": 6 * SECOND, "last": 6 * SECOND, "judged": 9 * SECOND, **fields},
    )  # fmt: skip


RETRY = ethernet(udp(C, S, payload=SECRET))


@pytest.fixture
def bench():
    return Bench()


def test_a_packet_of_an_erroneous_flow_is_written_without_its_payload(bench):
    bench.tell("verdict", lost())
    bench.port(RETRY)
    bench.collector.release(199 * MS)
    assert not bench.packets.records
    bench.collector.release(200 * MS)
    [record], [content] = bench.packets.records, bench.packets.contents
    assert content == RETRY[: 14 + 20 + 8]
    assert record["role"] == Role.LATER
    assert record["wire_length"] == len(RETRY)
    assert record["time"] == 10 * SECOND
    assert record["link"] == LinkType.ETHERNET
    assert record["flow"]["state"] == State.UNANSWERED
    assert bench.collector.written == {"unanswered": 1, "orphan": 0}


def test_the_verdict_may_come_after_the_packet(bench):
    bench.port(RETRY, now=0)
    bench.tell("verdict", lost(), now=150 * MS)
    bench.collector.release(200 * MS)
    assert len(bench.packets.records) == 1


@pytest.mark.parametrize(
    "frame",
    [
        ethernet(udp(C, X, payload=SECRET)),  # no verdict
        ethernet(udp(C, S, sport=40001, payload=SECRET)),
        ethernet(tcp(C, S, SYN, sport=40000, dport=53)),
        ethernet(udp(S, C, sport=53, dport=40000, payload=SECRET)),  # from the server
    ],
)
def test_a_packet_of_a_flow_not_known_to_be_erroneous_goes_nowhere(bench, frame):
    bench.tell("verdict", lost())
    bench.port(frame)
    bench.collector.flush()
    assert not bench.packets.records
    assert bench.collector.dropped == {"not_erroneous": 1}


def test_only_what_came_while_the_flow_was_erroneous_is_written(bench):
    bench.tell("verdict", lost(judged=9 * SECOND))
    for time in (8, 9, 10, 11, 12):
        bench.port(RETRY, time=time * SECOND)
    bench.tell("verdict", lost(judged=11 * SECOND, state=State.RECOVERED))
    bench.collector.flush()
    assert [record["time"] // SECOND for record in bench.packets.records] == [9, 10]
    assert bench.collector.dropped == {"not_erroneous": 3}


def test_packets_of_a_suspect_flow_are_not_written_but_its_row_is(bench):
    suspect = lost(quality=Quality.SUSPECT)
    bench.tell("verdict", suspect)
    bench.port(RETRY)
    bench.tell("flow", suspect)
    bench.collector.flush()
    assert not bench.packets.records
    assert bench.collector.dropped == {"not_erroneous": 1}
    assert [record["quality"] for record in bench.flows.records] == [Quality.SUSPECT]


def test_attempts_go_on_from_what_the_verdict_counted(bench):
    bench.tell("verdict", lost(attempts=3, last=9 * SECOND))
    for time in (9.001, 9.5, 10, 11):  # the first is the packet that the controller saw last
        bench.port(RETRY, time=int(time * SECOND))
    bench.collector.flush()
    assert bench.attempts == [3, 4, 5, 6]


def test_only_requests_are_attempts(bench):
    flow = flow_record("tcp", C, S, 40000, 80, first=6 * SECOND, last=6 * SECOND, judged=9 * SECOND)
    bench.tell("verdict", flow)
    for flags in (ACK, SYN, PSH | ACK):
        bench.port(ethernet(tcp(C, S, flags, payload=SECRET)))
    bench.collector.flush()
    assert bench.attempts == [1, 2, 2]
    assert not any(SECRET[:4] in content for content in bench.packets.contents)


def unreachable(quoted, target=C, kind=3, code=1):
    return ethernet(ip(X, target, ICMP, bytes([kind, code]) + bytes(6) + quoted))


def test_icmp_errors_are_always_written(bench):
    bench.tell("verdict", lost(state=State.ICMP_ERROR, attempts=5))
    quoted = udp(C, S, payload=SECRET)
    bench.port(
        unreachable(quoted),
        unreachable(udp(C, X, payload=SECRET), code=13),  # of a flow that nobody told us of
        unreachable(quoted[:20]),  # quotes no ports
        unreachable(quoted, target="10.0.0.77"),  # not sent to the quoted sender
    )
    bench.collector.flush()
    records = bench.packets.records
    assert [record["role"] for record in records] == [Role.ERROR] * 4
    assert [record["orphan"] for record in records] == [0, 0, 1, 1]
    assert [State(record["flow"]["state"]) for record in records] == [
        State.ICMP_ERROR, State.NONE, State.NONE, State.NONE,
    ]  # fmt: skip
    assert [record["icmp_code"] for record in records] == [1, 13, 1, 1]
    assert bench.attempts == [5, 0, 0, 0]
    assert not any(SECRET[:4] in content for content in bench.packets.contents)
    assert bench.collector.written == {"icmp_error": 1, "none": 1, "orphan": 2}
    assert not bench.collector.dropped


@pytest.mark.parametrize(("quoted_type", "client"), [(128, "fd00::1"), (129, "fd00::2")])
def test_an_error_that_quotes_a_stranger_bears_the_flows_community_id(bench, quoted_type, client):
    from tests.log.test_community_id import community_id, independent

    quoted = ip("fd00::1", "fd00::2", ICMPV6, bytes([quoted_type, 0, 0, 0, 0, 7, 0, 1]))
    bench.port(ethernet(ip("fd00::9", "fd00::1", ICMPV6, bytes([1, 0]) + bytes(6) + quoted)))
    bench.collector.flush()
    [record] = bench.packets.records
    server = "fd00::2" if client == "fd00::1" else "fd00::1"
    assert community_id(record["flow"].reshape(1)) == independent(58, client, server, (128, 129))


def test_what_belongs_to_no_flow_is_dropped_by_its_name(bench):
    bench.port(
        b"\xff" * 12 + b"\x08\x06" + bytes(28),  # ARP
        ethernet(ip(C, S, 17, b"\0\0")),
        ethernet(ip(C, S, 17, SECRET, fragment=3)),
        ethernet(udp(C, "224.0.0.1")),
        unreachable(udp(C, S), code=4),
        RETRY,
    )
    assert bench.collector.held == 1
    bench.collector.flush()
    assert bench.collector.dropped == {
        "non_ip": 1, "malformed": 1, "fragments": 1, "excluded": 1, "icmp_info": 1,
        "not_erroneous": 1,
    }  # fmt: skip
    assert bench.collector.held == 0


def test_a_flow_that_ended_still_gets_the_packets_that_came_before(bench):
    bench.tell("verdict", lost())
    bench.port(RETRY, now=0)
    bench.tell("flow", lost(attempts=9), now=0)
    bench.collector.release(200 * MS)
    assert len(bench.packets.records) == 1
    assert [record["attempts"] for record in bench.flows.records] == [9]
    assert len(bench.collector.known) == 1
    bench.collector.release(400 * MS)
    assert len(bench.collector.known) == 0
    assert bench.collector.logged == {"unanswered": 1}


def test_it_tells_when_to_call_again(bench):
    assert bench.collector.release(0) is None
    bench.port(RETRY, now=7)
    assert bench.collector.release(8) == 7 + 200 * MS
    bench.tell("flow", lost(), now=9)
    assert bench.collector.release(7 + 200 * MS) == 9 + 400 * MS
    assert bench.collector.release(9 + 400 * MS) is None


def test_the_same_controller_may_connect_again(bench):
    for _ in range(2):
        bench.collector.tell(Message("hello", run=1), 0)
        bench.tell("active", lost())
    bench.port(RETRY)
    bench.collector.flush()
    assert len(bench.packets.records) == 1
    assert not bench.flows.records


def test_flows_of_a_controller_that_is_gone_are_logged_as_they_were_known(bench):
    bench.collector.tell(Message("hello", run=1), 0)
    bench.tell("verdict", lost(attempts=2))
    bench.tell("verdict", flow_record("tcp", C, S, 1, 80))
    bench.tell("flow", flow_record("tcp", C, S, 1, 80))
    bench.port(RETRY)
    bench.collector.tell(Message("hello", run=2), 0)
    assert len(bench.packets.records) == 1, "it was erroneous when its packet came"
    assert [record["attempts"] for record in bench.flows.records] == [1], "more may be told"
    bench.collector.tell(Message("current"), 0)
    assert sorted(record["attempts"] for record in bench.flows.records) == [1, 3]
    assert len(bench.collector.known) == 0


def test_a_flow_of_a_controller_that_is_gone_may_have_its_record_in_the_spool(bench):
    bench.collector.tell(Message("hello", run=1), 0)
    bench.tell("verdict", lost(attempts=2))
    bench.collector.tell(Message("hello", run=2), 0)
    bench.tell("flow", lost(attempts=7))
    bench.collector.tell(Message("current"), 0)
    assert [record["attempts"] for record in bench.flows.records] == [7]


def test_a_flow_that_was_given_up_is_not_logged_again(bench):
    bench.collector.tell(Message("hello", run=1), 0)
    bench.tell("verdict", lost())
    bench.collector.give_up()
    bench.tell("flow", lost(attempts=7))
    assert [record["attempts"] for record in bench.flows.records] == [1]


class Events:
    def __init__(self):
        self.told = []

    def verdicts(self, flows):
        self.told += [("verdict", State(state).label) for state in flows["state"]]

    def ended(self, flows):
        self.told += [("flow", State(state).label) for state in flows["state"]]


def test_events_are_told_as_they_come():
    events = Events()
    bench = Bench(events=(events,))
    bench.tell("active", lost())
    bench.tell("verdict", lost())
    bench.tell("verdict", lost(state=State.RECOVERED))
    bench.tell("flow", lost(state=State.RECOVERED))
    assert events.told == [
        ("verdict", "unanswered"), ("verdict", "recovered"), ("flow", "recovered"),
    ]  # fmt: skip


def test_what_is_too_much_is_counted():
    bench = Bench(most_held=2, max_flows=1)
    bench.port(RETRY, RETRY)
    bench.port(RETRY)
    bench.tell("verdict", lost())
    bench.tell("verdict", flow_record("tcp", C, S, 1, 80))
    bench.collector.flush()
    assert len(bench.packets.records) == 2
    assert bench.collector.dropped == {"hold_full": 1, "flows_full": 1}


_steps = st.lists(
    st.tuples(
        st.sampled_from([
            ethernet(udp(C, S, payload=SECRET)),
            ethernet(udp(S, C, sport=53, dport=40000, payload=SECRET)),
            ethernet(tcp(C, S, SYN)),
            ethernet(tcp(C, S, ACK, payload=SECRET)),
            ethernet(tcp(S, C, SYN | ACK, sport=80, dport=40000)),
            ethernet(tcp(S, C, RST, sport=80, dport=40000)),
            ethernet(ip(C, S, ICMP, b"\x08\0\0\0\0\x07\0\x01" + SECRET)),
            ethernet(ip(S, C, ICMP, b"\0\0\0\0\0\x07\0\x01" + SECRET)),
            unreachable(udp(C, S, payload=SECRET)),
            unreachable(tcp(C, S, SYN)),
            unreachable(udp(C, X, payload=SECRET)),
        ]),
        st.integers(20, 2000),
    ),
    max_size=40,
)  # fmt: skip


@given(_steps)
def test_it_writes_what_replay_writes(steps):
    """The whole of the traffic on the port, and the engine's verdicts: section 5 comes out."""
    told = tuple(state for state in State if state not in (State.NONE, State.PENDING))
    logged = tuple(state for state in told if state not in HEALTHY)
    engine = Engine(Settings(timeout=SECOND), judged=told, ended=logged, packets=True)
    bench, captured, ended = Bench(settle=0), [], []

    def tell(outputs, now):
        for output in outputs:
            rows = list(output.packets)
            for packet in rows:
                content = output.data[packet["offset"] :][: packet["length"]].tobytes()
                captured.append((int(packet["time"]), int(packet["role"]), content, *state(packet)))
                if packet["role"] == Role.FIRST:
                    one = np.array([packet])
                    flow = packet["flow"].reshape(1).copy()
                    message = Message("verdict", flow=flow, packets=one, data=output.data.copy())
                    bench.collector.tell(message, now)
            for change in output.events:
                flow = change["flow"].reshape(1).copy()
                if change["change"] == Change.ENDED:
                    ended.append(flow)
                    bench.tell("flow", flow, now)
                elif change["was"] in ERRONEOUS or flow["state"] in ERRONEOUS:
                    bench.tell("verdict", flow, now)

    def state(packet):
        if packet["role"] == Role.ERROR and packet["flow"]["state"] not in ERRONEOUS:
            return ()  # of flows that are well the logger knows nothing
        return int(packet["flow"]["state"]), int(packet["flow"]["attempts"])

    now = SECOND
    for frame, pause in steps:
        now += pause * MS
        record = batch([Record(frame, now)])
        tell(engine.judge(record), now)
        bench.collector.hold(record, now)
        bench.collector.release(now)
    tell(engine.finish(), now)
    bench.collector.flush()
    written = [
        (int(record["time"]), int(record["role"]), content, *state(record))
        for record, content in zip(bench.packets.records, bench.packets.contents, strict=True)
    ]
    assert sorted(written) == sorted(captured)
    assert [flow.tobytes() for flow in bench.flows.records] == [flow.tobytes() for flow in ended]
    assert len(bench.collector.known) == 0


def spoken(bench, run, *messages, now=0):
    """Let a controller speak: a hello, then what it says, then that all is told."""
    for message in (Message("hello", run=run), *messages, Message("current")):
        bench.collector.tell(message, now)


def unanswered(port):
    return flow_record("udp", C, S, port, 53)


def ports(bench):
    return sorted(int(flow["ports"]) >> 16 for flow in bench.flows.records)


def test_a_flow_that_the_next_controller_goes_on_with_is_logged_when_it_ends():
    bench = Bench()
    spoken(bench, 1, *(Message("active", flow=unanswered(port)) for port in (1, 2)))
    spoken(bench, 2, Message("active", flow=unanswered(1)))
    assert ports(bench) == [2]
    bench.collector.tell(Message("flow", position=Position(2, 1), flow=unanswered(1)), 0)
    assert ports(bench) == [1, 2]


def test_one_that_the_next_controller_has_judged_anew_before_all_is_told_is_logged_once():
    bench = Bench()
    spoken(bench, 1, Message("active", flow=unanswered(1)))
    changed = flow_record("udp", C, S, 1, 53, state=State.RECOVERED)
    spoken(bench, 2, Message("verdict", position=Position(2, 1), flow=changed))
    assert ports(bench) == []
    bench.collector.tell(Message("flow", position=Position(2, 2), flow=changed), 0)
    assert ports(bench) == [1]


def test_a_verdict_that_the_one_before_left_does_not_say_that_the_flow_lives():
    bench = Bench()
    spoken(bench, 1, Message("active", flow=unanswered(1)))
    spoken(bench, 2, Message("verdict", position=Position(1, 9), flow=unanswered(1)))
    assert ports(bench) == [1]


def test_an_end_that_the_next_controller_had_not_heard_of_is_not_logged_again():
    bench = Bench()
    spoken(bench, 1, Message("active", flow=unanswered(1)), Message("active", flow=unanswered(2)))
    for seq, port in enumerate((1, 2)):
        flow = unanswered(port)
        bench.collector.tell(Message("flow", position=Position(1, seq), flow=flow), 0)
    spoken(bench, 2, Message("active", flow=unanswered(1)), now=9 * SECOND)
    for seq in (1, 2):  # the second time it is a flow of its own
        flow = unanswered(1)
        bench.collector.tell(Message("flow", position=Position(2, seq), flow=flow), 10 * SECOND)
    assert ports(bench) == [1, 1, 2]


def test_what_ended_long_ago_is_not_remembered():
    bench = Bench()
    spoken(bench, 1, Message("active", flow=unanswered(1)))
    bench.collector.tell(Message("flow", position=Position(1, 1), flow=unanswered(1)), 0)
    spoken(bench, 2, Message("active", flow=unanswered(1)), now=11 * SECOND)
    bench.collector.tell(Message("flow", position=Position(2, 1), flow=unanswered(1)), 12 * SECOND)
    assert ports(bench) == [1, 1]
