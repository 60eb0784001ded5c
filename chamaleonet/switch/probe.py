"""One switch: candidate packets in, verdicts and rule changes out.

Everything that concerns a switch meets here, but its connection and the clock: those are the
controller's. What is to be sent comes as bytes, and ``now`` goes in as nanoseconds since 1970.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

from chamaleonet.flows.engine import Engine, Output, Settings
from chamaleonet.flows.records import CAPTURED, Direction, Quality, Role
from chamaleonet.flows.records import Change as FlowChange
from chamaleonet.flows.transitions import HEALTHY, State
from chamaleonet.switch.capacity import Capacity
from chamaleonet.switch.conntrack import ConntrackPipeline
from chamaleonet.switch.flowcounts import JUDGED
from chamaleonet.switch.meters import Meters
from chamaleonet.switch.packetin import PacketInBuffer
from chamaleonet.switch.pipeline import Frame, Pipeline
from chamaleonet.switch.probecounts import ProbeCounts
from chamaleonet.switch.quality import Qualities
from chamaleonet.switch.reactive import ReactivePipeline
from chamaleonet.switch.redirect import Redirects
from chamaleonet.switch.refusals import Refusals
from chamaleonet.switch.rulebook import Phase, Rulebook, RuleState
from chamaleonet.switch.rules import Kind
from chamaleonet.switch.sight import Sight

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from chamaleonet.capture.batch import PacketBatch
    from chamaleonet.config import Config, Switch
    from chamaleonet.flows.snapshot import Snapshot
    from chamaleonet.metrics import ControllerMetrics
    from chamaleonet.switch.judge import NewJudge
    from chamaleonet.switch.pipeline import Change

log = logging.getLogger(__name__)

# Every flow that is not healthy is told of when it ends.
_ENDED = tuple(state for state in State if state is not State.NONE)
_FAILED = tuple(state for state in _ENDED if state not in HEALTHY)


def pipeline_of(config: Config, switch: Switch) -> Pipeline:
    """Return the pipeline that a switch is configured for."""
    frame = Frame(switch, config.internal)
    if switch.pipeline == "conntrack":
        return ConntrackPipeline(frame)
    return ReactivePipeline(frame, config.idle_timeout)


def warm_up(config: Config) -> None:
    """Have the engine's kernels compiled or loaded, before a switch waits for an answer."""
    engine = Engine(Settings(internal=config.internal, max_flows=1))
    packets = PacketInBuffer()
    packets.append(memoryview(bytes(60)), 60, 0)
    for step in (engine.judge(packets.take()), engine.advance(0), engine.finish()):
        list(step)
    engine.restore(engine.snapshot(1))


class Probe:
    """Watches by one switch.

    Args:
        config: the whole configuration.
        switch: the switch's part of it.
        tell: called with each Output of the flow engine, which it may only borrow.
        metrics: where to count.
        new_judge: makes what judges the packets.
    """

    def __init__(
        self,
        config: Config,
        switch: Switch,
        tell: Callable[[Output], None],
        metrics: ControllerMetrics,
        new_judge: NewJudge = Engine,
    ) -> None:
        self.switch = switch
        self._tell = tell
        self.pipeline = pipeline_of(config, switch)
        self.redirects = Redirects(self.pipeline, Frame(switch), config.capture, config.internal)
        self.rulebook = Rulebook(self.pipeline.static_rules())
        self.capacity = Capacity((switch.tables.redirect, switch.tables.filter))
        self._refusals = Refusals(switch.name)
        self._now = self._unsure_until = 0
        self._timeout = config.timeout
        self.packet_ins = PacketInBuffer()
        self._packet_ins_received = 0
        self.engine = new_judge(
            Settings(
                internal=config.internal,
                timeout=config.timeout,
                idle_timeout=config.idle_timeout,
                max_flows=config.max_flows,
                capture=config.capture,
                new_flows=config.flood.new_flows or 0,
                evict_judged=True,
            ),
            judged=JUDGED,
            ended=_ENDED if config.logger.healthy else _FAILED,  # the healthy ones are counted
            packets=True,
            closings_seen=self.pipeline.passes_closings,
            sight_interval=config.visibility.interval,
        )
        self.qualities = Qualities(self.engine.set_quality)
        self._sight = Sight(config, switch, self.engine, self.qualities, metrics)
        self.meters = Meters(switch, self.qualities, config.timeout)
        # Of all that is told, rules hang on these alone.
        self._pipeline_judged = np.array(sorted(self.pipeline.judged), np.uint8)
        self._captured = np.array(sorted(config.capture), np.uint8)
        self._count = ProbeCounts(metrics, switch)

    def reload(self, switch: Switch, changes: Iterable[Change]) -> None:
        """Go on with another configuration of the switch, which differs in static rules alone."""
        self.switch = switch
        self.rulebook.apply(changes)

    def set_timeout(self, timeout: int) -> None:
        """Let flows wait so many ns for their first reply."""
        assert isinstance(self.engine, Engine)  # processes of their own cannot be told
        self.engine.set_timeout(timeout)
        self._sight.set_timeout(timeout)
        self._timeout = timeout
        self.meters.timeout = timeout

    # Packets and time.

    def packet_in(self, data: memoryview, total_length: int, now: int) -> None:
        """Take a packet-in; it is judged with the next tick, or when there are many."""
        self._packet_ins_received += 1
        if self.packet_ins.append(data, total_length, now):
            self.judge_packet_ins()

    def judge_packet_ins(self) -> None:
        """Judge the packet-ins that were gathered."""
        if len(self.packet_ins):
            self._count.packet_ins.inc(len(self.packet_ins))
            self._count.candidates_packet_in.inc(len(self.packet_ins))
            self._take(self.engine.judge(self.packet_ins.take()))

    def judge(self, batch: PacketBatch) -> None:
        """Judge packets from the candidate port."""
        self._count.candidates_ring.inc(len(batch))
        self._take(self.engine.judge(batch))

    def advance(self, now: int) -> None:
        """Let time pass: what is due is judged, and rules are fitted into their budget."""
        self._now = now
        if self._unsure_until and now >= self._unsure_until:
            self._unsure_until = 0
            for direction in Direction:
                self.qualities.hold("restart", direction, Quality.SOUND)
        self._take(self.engine.advance(now))
        self.rulebook.apply(self.redirects.advance(now))

    def look(self, lost: int, now: int) -> None:
        """Look whether replies are in sight, if it is time to.

        Args:
            lost: candidates that were lost on their way to us so far.
            now: ns since 1970.
        """
        self._sight.look(lost + self.packet_ins.malformed, now)

    def snapshot(self, most: int) -> Snapshot:
        """Return copies of the live flows, at most so many."""
        return self.engine.snapshot(most)

    def restore(self, flows: Snapshot, now: int) -> int:
        """Go on with the flows of an earlier controller; return how many there was room for.

        Their rules are wanted again; those that the switch has already will stay untouched. For a
        while a late reply to a request that nobody saw may come, and look like a request.
        """
        self._unsure_until = now + 2 * self._timeout
        for direction in Direction:
            self.qualities.hold("restart", direction, Quality.DEGRADED)
        events = self.engine.restore(flows)
        nothing = np.empty(0, CAPTURED), np.empty(0, np.uint8)
        self.rulebook.apply(self._changes(Output(events, *nothing)))
        return len(events)

    def finish(self) -> None:
        """End all flows, as when the controller stops; the switch keeps its rules."""
        for output in self.engine.finish():
            self._tell(output)

    def _take(self, outputs: Iterable[Output]) -> None:
        for output in outputs:
            self._count.flows(output.events)
            self.rulebook.apply(self._changes(output))
            self._tell(output)

    def _changes(self, output: Output) -> Iterator[Change]:
        events = output.events
        judged = events["change"] == FlowChange.JUDGED
        states = events["flow"]["state"]
        for_pipeline = judged & np.isin(states, self._pipeline_judged)
        captured = np.isin(states, self._captured)
        # All that is well would be copied while replies are out of sight.
        in_doubt = judged & captured & (events["flow"]["quality"] == Quality.SUSPECT)
        for_redirects = (captured | np.isin(events["was"], self._captured)) & ~in_doubt
        for at in np.flatnonzero(for_pipeline | for_redirects):
            if for_redirects[at]:
                yield from self.redirects.on_event(events[at])
            if for_pipeline[at]:
                yield from self.pipeline.on_judged(events[at])
        later = output.packets["row"][output.packets["role"] == Role.LATER]
        for row in later.tolist():
            yield from self.redirects.on_packet(row)

    # The switch.

    def connect(self, next_xid: Callable[[], int]) -> bytes:
        """Take note of a new connection; return what to send at once."""
        self.redirects.on_connect()
        self.meters.connect(next_xid)
        return self.rulebook.connect(next_xid) + self.capacity.connect(next_xid)

    def disconnect(self) -> None:
        """Take note that the connection is gone."""
        self.rulebook.disconnect()
        self.capacity.disconnect()

    def flush(self) -> bytes:
        """Return what is to be sent to the switch now."""
        was = self.rulebook.phase
        message = self.rulebook.flush()
        if message:
            message = self.meters.install() + message
        if self.rulebook.phase is Phase.READY:
            message += self.meters.poll(self.engine.now)
        if was is not Phase.READY and self.rulebook.phase is Phase.READY:
            log.info(
                "%s: %d rules in place: %d kept, %d added, %d deleted",
                self.switch.name, len(self.rulebook), *self.rulebook.reconciled,
            )  # fmt: skip
            self._count.reconciled(self.rulebook.reconciled)
        return message if message or not self.rulebook.is_quiet else self.capacity.ask(self._now)

    def asks(self, xid: int) -> bool:
        """Tell whether a multipart question with this transaction id waits for its answer."""
        return self.rulebook.asks(xid) or self.capacity.asks(xid)

    def on_answer(self, xid: int, message: bytes) -> None:
        """Take a part of the answer to such a question."""
        if self.capacity.asks(xid):
            self.capacity.on_answer(xid, message)
            self._fit_budget()
        else:
            self.rulebook.on_dump(xid, message)

    def _fit_budget(self) -> None:
        """Take note of what the switch says that its redirect table can hold of ours."""
        table = self.switch.tables.redirect
        most = self.capacity.most.get(table)
        if most is None:
            self.redirects.budget.has_room_for(None)
        elif self.rulebook.is_quiet or table not in self.capacity.active:
            # Only when nothing is under way is what is not ours others'.
            ours = [rule.cookie.kind for rule, _ in self.rulebook if rule.table == table]
            others = max(0, self.capacity.active.get(table, 0) - len(ours))
            self.redirects.budget.has_room_for(most - others - ours.count(Kind.STATIC))

    def on_barrier(self, xid: int, now: int) -> None:
        """Take a barrier's reply."""
        for change in self.rulebook.on_barrier(xid):
            if change.rule.cookie.kind is Kind.REDIRECT:
                self._count.confirmed(change, now)

    def on_meters(self, counts: Iterable[tuple[int, int, int]]) -> None:
        """Take (number, packets ever, of which dropped) of the switch's meters."""
        self.meters.on_counts(counts, self._packet_ins_received, self.engine.now)

    def on_error(self, xid: int, reason: str, *, full: bool = False) -> None:
        """Take an error message; it may refuse one of our rules.

        Args:
            xid: the transaction id of what is refused.
            reason: the error's type and code, for people.
            full: whether it says that a table is full.
        """
        if self.capacity.asks(xid):
            log.info("%s: does not tell of its tables: %s", self.switch.name, reason)
            self._fit_budget()
            return
        if self.meters.on_error(xid, reason):
            return
        change = self.rulebook.on_error(xid)
        if change is None:
            return
        self._refusals.tell(change, self.rulebook.generation, reason, self._now)
        cookie = change.rule.cookie
        if cookie.kind is Kind.REDIRECT:
            self._count.failed.inc()
            if change.add:
                self.rulebook.apply(self.redirects.on_refused(cookie, full=full))
        elif cookie.kind is Kind.BYPASS:
            changes, _ = self.pipeline.on_removed(cookie)
            self.rulebook.apply(changes)

    def on_flow_removed(self, bits: int) -> None:
        """Take the removal of the rule with this cookie, idle for too long.

        We hear of our own deletions too, but by then their cookie is nobody's any more.
        """
        cookie = self.rulebook.cookie_of(bits)
        if cookie is None:
            return
        if cookie.kind is Kind.REDIRECT:
            rule = self.redirects.on_removed(cookie)
            if rule is not None:
                self.rulebook.expired(rule)
                self._count.expired.inc()
        elif cookie.kind is Kind.BYPASS:
            changes, flow = self.pipeline.on_removed(cookie)
            self.rulebook.apply(changes)
            if flow is not None:
                self._take(self.engine.forget(flow.row, flow.first))

    def scrape(self) -> None:
        """Bring what is counted elsewhere up to date."""
        redirects = self.redirects
        self._count.refused.follow(redirects.refused)
        self._count.aggregated.follow(redirects.aggregated)
        self._count.dissolved.follow(redirects.dissolved)
        self._count.budget.set(redirects.budget.limit)
        self._count.aggregates.set(redirects.aggregates)
        self._count.uncovered.set(redirects.uncovered)
        self._count.tables(self.capacity)
        self._count.untracked.follow(self.engine.untracked)
        self._count.shed.follow(self.engine.shed)
        self._count.evicted.follow(self.engine.evicted_judged)
        self._count.metered.follow(self.meters.dropped)
        self._count.packet_ins_lost.follow(self.meters.lost)
        self._count.shedding.set(bool(self.engine.degraded) or self.meters.is_dropping)
        self._count.malformed.follow(self.packet_ins.malformed)
        self._count.redirects.set(
            sum(
                rule.cookie.kind is Kind.REDIRECT and state is RuleState.CONFIRMED
                for rule, state in self.rulebook
            )
        )
