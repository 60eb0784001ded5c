"""Redirects against a model of a switch: whatever happens, the rules are as they should be."""

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from chamaleonet.config import Config
from chamaleonet.flows.records import Change as FlowChange
from chamaleonet.flows.records import Query
from chamaleonet.flows.transitions import State
from chamaleonet.switch.conntrack import ConntrackPipeline
from chamaleonet.switch.match import FlowKey
from chamaleonet.switch.reactive import ReactivePipeline
from chamaleonet.switch.redirect import Redirects
from chamaleonet.switch.rules import ICMP, IPV4, PORTS, TCP, UDP
from tests.switch.build import PIPELINES, START, flow_event, frame
from tests.traffic import SECOND

CAPTURED = (State.UNANSWERED, State.ICMP_ERROR)
INSIDE, OUTSIDE = 0x0A000000, 0xC6336400
addresses = st.one_of(st.integers(INSIDE, INSIDE + 3), st.integers(OUTSIDE, OUTSIDE + 3))


refusals = st.sampled_from((None, None, None, "full", "other"))


@st.composite
def keys(draw):
    protocol = draw(st.sampled_from((TCP, UDP, ICMP, 47)))
    query = Query.ECHO if protocol == ICMP else Query.NONE
    client, server = draw(st.lists(addresses, min_size=2, max_size=2, unique=True))
    client_port, server_port = 0, 0
    if protocol in PORTS:
        client_port, server_port = draw(st.sampled_from((1, 2))), draw(st.sampled_from((80, 81)))
    return FlowKey(4, protocol, query, client, client_port, server, server_port, False)


def packet(key):
    """Return the match fields of a packet from client to server."""
    fields = {"eth_type": IPV4, "ip_proto": key.protocol, "ipv4_src": key.client}
    fields |= {"ipv4_dst": key.server}
    if key.query:
        fields["icmpv4_type"] = 8
    elif key.protocol in PORTS:
        fields |= zip(PORTS[key.protocol], (key.client_port, key.server_port), strict=True)
    return fields


def matches(rule, fields):
    """Tell whether a rule matches an unanswered packet, TCP's being a SYN."""
    for name, value in rule.match:
        if name in ("ct_state", "tcp_flags"):
            continue
        wanted, mask = value if isinstance(value, tuple) else (value, -1)
        if name not in fields or fields[name] & mask != wanted:
            return False
    # Of TCP, a rule of the conntrack pipeline for all new packets gets nothing.
    return not (rule.priority == 55 and fields["ip_proto"] == TCP)


class Switch:
    """What the changes that it is told make of it; none of them may be out of place."""

    def __init__(self):
        self.rules = {}
        self.most = 0

    def apply(self, changes):
        added = []
        for change in changes:
            place = change.rule.place
            if change.add:
                assert place not in self.rules
                self.rules[place] = change.rule
                added.append(change.rule)
            else:
                assert self.rules.pop(place) == change.rule
            self.most = max(self.most, len(self.rules))
        return added


class Machine(RuleBasedStateMachine):
    @initialize(pipeline=st.sampled_from(PIPELINES), budget=st.integers(1, 12))
    def start(self, pipeline, budget):
        at = frame(pipeline, redirect={"max_rules": budget})
        made = ConntrackPipeline(at) if pipeline == "conntrack" else ReactivePipeline(at, SECOND)
        self.redirects = Redirects(made, at, CAPTURED, Config().internal)
        self.switch = Switch()
        self.flows = {}  # row -> key
        self.asleep = set()  # rows whose rule was removed as idle
        self.now, self.row, self.budget = START, 0, budget
        self.advance(0)

    def apply(self, changes):
        self.switch.most = 0
        added = self.switch.apply(changes)
        assert self.switch.most <= max(self.redirects.budget.limit, len(self.switch.rules))
        return added

    def event(self, row, state, change=FlowChange.JUDGED):
        return self.apply(
            self.redirects.on_event(flow_event(row, self.flows[row], state, change=change))
        )

    @rule(key=keys(), number=st.integers(1, 6), by_server=st.booleans(), refusal=refusals)
    def scan(self, key, number, by_server, refusal):
        """Let flows fail that have one end and the service in common."""
        far = key.client if by_server else key.server
        for n in range(number):
            address = (far & ~7) + n
            other = key._replace(**{"client" if by_server else "server": address})
            if other.query:  # the record has the identifier on the low end
                low, high = (n, 0) if other.client < other.server else (0, n)
                other = other._replace(client_port=low, server_port=high)
            self.fail(other, refusal if n == number - 1 else None)

    def fail(self, key, refusal):
        if key in self.flows.values() or key.client == key.server:
            return
        self.row += 1
        self.flows[self.row] = key
        added = self.event(self.row, State.UNANSWERED)
        if refusal and added:
            self.refuse(added[0], full=refusal == "full")

    def refuse(self, refused, *, full):
        if self.switch.rules.get(refused.place) == refused:
            del self.switch.rules[refused.place]
            self.apply(self.redirects.on_refused(refused.cookie, full=full))

    @precondition(lambda self: self.flows)
    @rule(data=st.data(), state=st.sampled_from((State.RECOVERED, None)))
    def recover_or_end(self, data, state):
        row = data.draw(st.sampled_from(sorted(self.flows)))
        if state is None:
            self.event(row, State.UNANSWERED, FlowChange.ENDED)
        else:
            self.event(row, state)
        del self.flows[row]
        self.asleep.discard(row)

    @precondition(lambda self: self.flows)
    @rule(data=st.data())
    def speak(self, data):
        row = data.draw(st.sampled_from(sorted(self.flows)))
        self.asleep.discard(row)
        self.apply(self.redirects.on_packet(row))

    @precondition(lambda self: self.switch.rules)
    @rule(data=st.data())
    def expire(self, data):
        place = data.draw(st.sampled_from(sorted(self.switch.rules, key=str)))
        gone = self.switch.rules.pop(place)
        self.asleep |= {row for row, key in self.flows.items() if not self.covering(key)}
        assert self.redirects.on_removed(gone.cookie) == gone
        assert self.redirects.on_removed(gone.cookie) is None

    @rule(seconds=st.sampled_from((0, 1, 5, 100)))
    def advance(self, seconds):
        self.now += seconds * SECOND
        self.apply(self.redirects.advance(self.now))

    def covering(self, key):
        """Return how often a packet of a flow is copied: by each table once."""
        fields = packet(key)
        return len({rule.table for rule in self.switch.rules.values() if matches(rule, fields)})

    @invariant()
    def rules_are_within_the_budget(self):
        if hasattr(self, "redirects"):
            assert len(self.redirects) == len(self.switch.rules)
            assert len(self.redirects) <= self.redirects.budget.limit <= self.budget

    @invariant()
    def no_flow_is_copied_twice_and_what_is_not_copied_sleeps_or_is_counted(self):
        flows = getattr(self, "flows", {})
        covering = {row: self.covering(key) for row, key in flows.items()}
        assert all(times <= 1 for times in covering.values())
        bare = {row for row, times in covering.items() if not times}
        if flows:
            # A flow without a rule of its own may happen to be under another aggregate.
            most = len(flows) if self.redirects.aggregates else len(bare)
            assert len(bare - self.asleep) <= self.redirects.uncovered <= most

    @invariant()
    def counters_tell_what_is_in_force(self):
        if hasattr(self, "redirects"):
            changes = self.redirects.aggregated - self.redirects.dissolved
            assert changes == self.redirects.aggregates

    def teardown(self):
        """When the pressure is gone, each flow has a rule of its own; in the end there is none."""
        if not hasattr(self, "redirects"):
            return
        self.recover(max(0, len(self.flows) - self.budget // 2 + 1))
        for _ in range(12):  # each longer than any back-off
            self.advance(700)
        for row in self.flows:
            self.apply(self.redirects.on_packet(row))
        shared = {key.matchable for key in self.flows.values()}
        assert self.redirects.uncovered == 0
        assert self.redirects.aggregates == 0
        assert self.redirects.budget.limit == self.budget
        assert {rule.match for rule in self.switch.rules.values()} == {
            key.client_to_server() for key in shared
        }
        self.recover(len(self.flows))
        assert self.switch.rules == {}
        assert len(self.redirects._lattice) == 0

    def recover(self, number):
        for row in list(self.flows)[:number]:
            self.event(row, State.RECOVERED)
            del self.flows[row]


TestRedirects = Machine.TestCase
TestRedirects.settings = settings(
    max_examples=100, stateful_step_count=40, deadline=None,
    phases=(Phase.reuse, Phase.generate),  # shrinking takes minutes
)  # fmt: skip
