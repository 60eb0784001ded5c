"""The controller: an app for os-ken, or for Ryu, that puts the rooms together.

Load it by name, with the path of the configuration in the environment variable
CHAMALEONET_CONFIG, or start it by ``chamaleonet run``. Here alone is the clock read and are
sockets touched: everything below takes bytes and the time.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from chamaleonet import checkpoint, metrics, servicemanager
from chamaleonet import config as configuration
from chamaleonet.capture.ring import Ring
from chamaleonet.checkpoint import Checkpoints
from chamaleonet.control import Control
from chamaleonet.detectors.counts import DetectorCounts
from chamaleonet.detectors.detectors import Detectors
from chamaleonet.election.feed import Frame
from chamaleonet.errors import UserError
from chamaleonet.flows.concentration import Concentration
from chamaleonet.flows.records import MARK_RESTORED, ended_flows
from chamaleonet.log.stream.endpoint import Endpoint
from chamaleonet.log.stream.producer import VerdictStream
from chamaleonet.log.stream.selection import LOGGED
from chamaleonet.log.stream.spool import Spool
from chamaleonet.log.tally import Tally
from chamaleonet.reload import compare
from chamaleonet.standby import Standby
from chamaleonet.switch import framework, tracker
from chamaleonet.switch.gate import Gate
from chamaleonet.switch.launcher import CONFIG_VARIABLE
from chamaleonet.switch.probe import Probe, warm_up
from chamaleonet.switch.role import Role, Standing
from chamaleonet.switch.rules import Cookie
from chamaleonet.tls import server_context

if TYPE_CHECKING:
    from collections.abc import Callable
    from ssl import SSLContext

    from numpy.typing import NDArray

    from chamaleonet.checkpoint import CheckpointFile
    from chamaleonet.config import Config, Switch
    from chamaleonet.flows.engine import Output
    from chamaleonet.reload import Plan

log = logging.getLogger(__name__)

_TICK = 0.005  # s
_ROLE_SECONDS = 1.0  # from one question to the next whether a switch still takes us for the master
_COUNT_SECONDS = 60.0  # from one telling of healthy flows to the next
# A candidate may be so long on its way to us; a deadline is judged only after that.
_RETIRE = 5  # ms that the ring keeps a block which is not full
_RING_LAG = (_RETIRE + 10) * 10**6  # ns
_PACKET_IN_LAG = 5 * 10**6  # ns


Handler = TypeVar("Handler", bound="Callable[..., None]")


def fatal(handler: Handler) -> Handler:
    """Make an exception in a handler end the process; the framework would only log it."""

    @functools.wraps(handler)
    def guarded(app: Controller, *arguments: Any) -> None:
        try:
            handler(app, *arguments)
        except Exception:
            app.metrics.handler_failures.inc()
            log.critical("%s failed: the controller ends", handler.__name__, exc_info=True)
            framework.end_process(1)
            app.failed = True

    return cast("Handler", guarded)


@dataclass(slots=True)
class _Watch:
    """A configured switch, its candidate port, and its connection while there is one."""

    probe: Probe
    ring: Ring | Detectors | None
    dropped: metrics.Total
    checkpoint: CheckpointFile | None
    detector_counts: DetectorCounts | None = None
    datapath: Any = None
    role: Role | None = None  # at this connection, where there is an election

    def tick(self, now: int) -> None:
        """Judge what has come, then let time pass."""
        lag = _PACKET_IN_LAG
        if self.ring is not None:
            lag = _RING_LAG
            for batch in self.ring.batches():
                self.probe.judge(batch)
        self.probe.judge_packet_ins()
        # Before deadlines are judged: it may tell what silence is worth.
        self.probe.look(0 if self.ring is None else self.ring.dropped, now)
        self.probe.advance(now - lag)
        self.send()

    def let_pass(self) -> None:
        """Pass over what has come: another controller judges it."""
        if self.ring is not None:
            for _ in self.ring.batches():
                pass

    def next_xid(self) -> int:
        """Return a transaction id of the present connection."""
        return framework.next_xid(self.datapath)

    def say(self, message: bytes) -> None:
        """Send what a conversation goes on with; a switch that does not take it is left."""
        if message and self.datapath is not None and not framework.send(self.datapath, message):
            self.datapath.close()

    def send(self) -> None:
        """Send what the rulebook wants in the switch."""
        # Nobody may wait for one switch: what it has no room for is sent later.
        datapath = self.datapath
        if (
            datapath is not None
            and framework.has_room(datapath)
            and (message := self.probe.flush())
        ):
            framework.send(datapath, message)

    def end(self) -> None:
        """Close what was opened for it."""
        if self.ring is not None:
            self.ring.close()
        if self.datapath is not None:
            self.datapath.close()

    def scrape(self) -> None:
        """Bring the metrics up to date."""
        self.probe.scrape()
        if self.ring is not None:
            self.dropped.follow(self.ring.dropped)
        if self.detector_counts is not None:
            self.detector_counts.scrape()


def _tls_of(config: Config) -> SSLContext | None:
    """Return what OpenFlow is encrypted with; in another's manager its options say that."""
    tls = config.openflow.tls if framework.is_exclusive() else None
    return server_context(tls) if tls is not None else None


class Controller(framework.App):  # type: ignore[misc]
    """Watches by all configured switches."""

    OFP_VERSIONS = [framework.ofproto.OFP_VERSION]  # noqa: RUF012  (the framework's own way)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        path = os.environ.get(CONFIG_VARIABLE)
        if not path:
            raise UserError(f"the environment variable {CONFIG_VARIABLE} names no configuration")
        self._path = Path(path).resolve()
        self.config = configuration.load(path)
        if not self.config.switches:
            raise UserError(f"{path}: switches: none is configured")
        context = _tls_of(self.config)
        warm_up(self.config)
        registry = self._registry = metrics.new_registry(configuration.dump(self.config))
        metrics.BeforeScrape(registry, self._scrape)
        self.metrics = metrics.ControllerMetrics(registry)
        self.failed = False
        self._stream_losses = metrics.Totals(self.metrics.dropped)
        self._concentration = Concentration()
        saved = self.config.checkpoint
        self._checkpoints = Checkpoints(saved.directory) if saved is not None else None
        self._saved = 0.0
        self._watches = {switch.dp_id: self._watch(switch) for switch in self.config.switches}
        self._term: int | None = None  # in which we are master; 0 where there is no election
        self._stream: VerdictStream | None = None  # while we are
        self._tally: Tally | None = None
        self._asked_roles = self._counted = 0.0
        self._standby: Standby | None = None
        if self.config.high_availability is None:
            self._begin(0)
        else:
            assert self._checkpoints is not None
            self._standby = Standby(
                self.config.high_availability, self._checkpoints,
                lambda: list(self._watches), self._generation,
            )  # fmt: skip
        self._watchdog = servicemanager.Watchdog()
        self._stop_metrics = metrics.serve(registry, self.config.metrics.controller)
        control = self.config.control_socket if framework.is_exclusive() else None
        self._control = Control(control, self._answer) if control is not None else None
        self._gate = Gate(self.metrics, exclusive=framework.is_exclusive())
        self._open_gate(context)
        framework.parse_safely(self._gate.malformed)
        framework.connect_by(self._gate.enter, lambda: servicemanager.notify("READY=1"))
        framework.receive_own(
            lambda bits: Cookie.of(bits) is not None, self._on_packet_in, self._on_flow_removed,
            self._asked, self._on_answer,
        )  # fmt: skip

    def _open_gate(self, context: SSLContext | None) -> None:
        self._gate.admit(
            {switch.dp_id: switch.certificate for switch in self.config.switches},
            handshake_seconds=self.config.openflow.handshake_timeout / 1e9,
            tls=context,
        )

    def _watch(self, switch: Switch) -> _Watch:
        dropped = metrics.Total(self.metrics.dropped.labels("ring_full").inc)
        saved = self._checkpoints.of(switch.dp_id) if self._checkpoints is not None else None
        tell = functools.partial(self._tell, switch.dp_id, saved)
        candidates = switch.candidates
        if candidates.interface is None or not candidates.detectors:
            probe = Probe(self.config, switch, tell, self.metrics)
            ring = Ring(candidates.interface, retire=_RETIRE) if candidates.interface else None
            return _Watch(probe, ring, dropped, saved)
        detectors = functools.partial(
            Detectors, switch.name, candidates.interface, candidates.detectors, switch.snaplen,
            _RETIRE, _RING_LAG, self._send_counts,
        )  # fmt: skip
        probe = Probe(self.config, switch, tell, self.metrics, detectors)
        assert isinstance(probe.engine, Detectors)
        counts = DetectorCounts(
            probe.engine, self.metrics, configuration.datapath_text(switch.dp_id)
        )
        return _Watch(probe, probe.engine, dropped, saved, counts)

    def _send_counts(self, counts: NDArray[Any]) -> None:
        assert self._stream is not None
        self._stream.send_counts(counts)

    def _begin(self, term: int) -> None:
        """Begin to be master, with what the one before has left."""
        self._term = term
        after = self._restore()
        stream = self.config.stream
        spool = stream.spool
        self._stream = VerdictStream(
            Endpoint(stream.address, stream.tls, stream.group),
            self._erroneous,
            erroneous=self.config.capture,
            capacity=stream.queue,
            spool=Spool(spool.directory, spool.size, after=after) if spool is not None else None,
            after=after,
        )
        if self.config.logger.healthy:
            self._tally = Tally(self._stream.send_counts)
        self._counted = time.monotonic()
        self._save()

    def _restore(self) -> int:
        """Go on with what an earlier controller left; return the run of the stream that told it."""
        after = 0
        for watch in self._watches.values():
            saved = watch.checkpoint.load() if watch.checkpoint is not None else None
            if saved is None:
                continue
            after = max(after, saved.run)
            if watch.role is not None and (watch.role.generation or 0) > saved.term:
                # Whoever was master since told of these flows what we do not know.
                log.warning("%s: what is saved is out of date", watch.probe.switch.name)
            else:
                flows = watch.probe.restore(saved.flows, time.time_ns())
                self.metrics.restored_flows.inc(flows)
                log.info("%s: goes on with %d flows", watch.probe.switch.name, flows)
        return after

    def _save(self) -> None:
        """Save all flows, so that a controller after this one can go on with them."""
        if self.config.checkpoint is None or self._stream is None or self._term is None:
            return
        self._saved = time.monotonic()
        now = time.time_ns()
        for dp_id, watch in self._watches.items():
            if watch.checkpoint is not None:
                flows = watch.probe.snapshot(self.config.checkpoint.flows)
                data = checkpoint.encode(flows, self._stream.run, self._term, now)
                watch.checkpoint.begin(data)
                if self._standby is not None:
                    self._standby.tell(Frame.BEGIN, dp_id, data)
        self.metrics.checkpoint_time.set(now / 1e9)

    def start(self) -> None:
        """Begin to tick; called by the framework."""
        super().start()
        self.threads.append(framework.hub.spawn(self._run))
        if self._control is not None:
            framework.hub.spawn(self._control.serve)
        if framework.is_exclusive():
            framework.on_hangup(self._hang_up)

    def close(self) -> None:
        """End what was opened, and all flows unless they are saved; called by the framework."""
        servicemanager.notify("STOPPING=1")
        if self._control is not None:
            self._control.close()
        if not self.failed:
            self._save()
        for watch in self._watches.values():
            if self._checkpoints is None:
                watch.probe.finish()
            if watch.ring is not None:
                watch.ring.close()
        if self._tally is not None:
            self._tally.flush()
        if self._stream is not None:
            # Where there is a new master already, it has the last word.
            self._stream.close(0.0 if self.failed and self._standby is not None else 3.0)
        if self._standby is not None:
            self._standby.close(resign=not self.failed)
        if self._checkpoints is not None:
            self._checkpoints.close()
        self._stop_metrics()

    def _run(self) -> None:
        while self.is_active and not self.failed:
            self._tick()
            framework.hub.sleep(_TICK)

    @fatal
    def _tick(self) -> None:
        self._watchdog.feed(time.monotonic())
        if self._standby is not None:
            self._heed(self._standby)
        if self._stream is None:
            for watch in self._watches.values():
                watch.let_pass()
            return
        for watch in self._watches.values():
            watch.tick(time.time_ns())
        if self._tally is not None and time.monotonic() - self._counted >= _COUNT_SECONDS:
            self._counted = time.monotonic()
            self._tally.flush()
        saved = self.config.checkpoint
        if saved is not None and time.monotonic() - self._saved >= saved.interval / 1e9:
            self._save()

    # The election.

    def _generation(self) -> int:
        roles = (watch.role for watch in self._watches.values())
        return max((role.generation or 0 for role in roles if role is not None), default=0)

    def _heed(self, standby: Standby) -> None:
        """Take over when we are elected, stand back when we are so no longer."""
        term = standby.term
        if self._term is not None:
            if term is None:
                self._stand_back("its lease could not be renewed")
            elif time.monotonic() - self._asked_roles >= _ROLE_SECONDS:
                self._asked_roles = time.monotonic()
                for watch in self._watches.values():
                    if watch.role is not None and framework.has_room(watch.datapath):
                        watch.say(watch.role.ask())
            return
        if term is None:
            return
        log.warning("is the master from now on, in term %d", term)
        standby.is_master = True
        self._begin(term)
        self.metrics.takeovers.inc()
        for watch in self._watches.values():
            watch.say(watch.role.claim(term) if watch.role is not None else b"")

    def _stand_back(self, why: str) -> None:
        """End the process: whoever starts it again starts a standby, which knows nothing old."""
        if not self.failed:
            log.error("is the master no longer: %s", why)
            self.failed = True
            framework.end_process(os.EX_TEMPFAIL)

    @framework.on(framework.ofp_event.EventOFPRoleReply, framework.MAIN_DISPATCHER)
    @fatal
    def _on_role(self, event: Any) -> None:
        watch = self._watch_of(event)
        if watch is None or watch.role is None:
            return
        was = watch.role.standing
        watch.say(watch.role.on_reply(event.msg.role, event.msg.generation_id))
        now = watch.role.standing
        if now is was or self._term is None:
            return
        if now is Standing.MASTER:
            watch.say(watch.probe.connect(watch.next_xid))
        elif was is Standing.MASTER:
            self._stand_back(f"{watch.probe.switch.name} has another one")

    def _tell(self, dp_id: int, saved: CheckpointFile | None, output: Output) -> None:
        assert self._stream is not None
        if saved is not None and len(output.events):  # before anybody knows of it
            data = checkpoint.encode_events(output.events)
            saved.append(data)
            if self._standby is not None:
                self._standby.tell(Frame.APPEND, dp_id, data)
        self._stream.send(output.events, output.packets, output.data)
        self._concentration.add(output.events, time.time_ns())
        if self._tally is not None:
            self._tally.write(ended_flows(output.events))

    def _erroneous(self) -> NDArray[Any]:
        """Return what is erroneous, and what an earlier controller told of and still lives."""
        engines = (watch.probe.engine for watch in self._watches.values())
        flows = np.concatenate([engine.live_flows(LOGGED) for engine in engines])
        restored = flows["marks"] & MARK_RESTORED != 0
        told: NDArray[Any] = flows[restored | np.isin(flows["state"], self.config.capture)]
        return told

    def _scrape(self) -> None:
        engines = [watch.probe.engine for watch in self._watches.values()]
        self.metrics.pending_flows.set(sum(engine.pending_flows for engine in engines))
        self.metrics.tracked_flows.set(sum(engine.tracked_flows for engine in engines))
        for direction, share in self._concentration.shares().items():
            self.metrics.top_host.labels(direction.label).set(share)
        for dp_id, watch in self._watches.items():
            dp_text = configuration.datapath_text(dp_id)
            self.metrics.switch_connected.labels(dp_text).set(watch.datapath is not None)
            tracked = tracker.connections(watch.probe.switch.conntrack)
            if tracked is not None:
                self.metrics.tracked_connections.labels(dp_text).set(tracked)
            watch.scrape()
        if self._checkpoints is not None:
            self.metrics.checkpoint_bytes.set(self._checkpoints.size)
        self.metrics.master.set(self._term is not None)
        if self._stream is None:
            return
        self.metrics.logger_queue.set(self._stream.queued)
        self.metrics.logger_spool.set(self._stream.spooled)
        self.metrics.logger_spool_bytes.set(self._stream.spool_bytes)
        self._stream_losses.follow(self._stream.dropped)
        self._stream_losses.follow(self._stream.refused)

    # Reading the configuration again.

    def _answer(self, question: dict[str, Any]) -> str:
        """Answer the control socket."""
        if question.get("command") != "reload":
            raise UserError(f"{question.get('command')}: no such command")
        path = Path(question.get("config") or self._path)
        if question.get("dry_run"):
            return "\n".join(compare(self.config, configuration.load(path)).lines())
        if path != self._path:
            raise UserError(f"{path}: the controller runs with {self._path}")
        return "\n".join(self.reload().lines())

    def _hang_up(self) -> None:
        with contextlib.suppress(UserError):  # logged
            self.reload()

    def reload(self) -> Plan:
        """Follow what the configuration file says by now; tell what that took.

        Raises:
            UserError: the file is wrong, says what cannot change while the controller runs, or
                names what cannot be used. Nothing has changed then.
        """
        servicemanager.reloading()
        try:
            config = configuration.load(self._path)
            plan = compare(self.config, config)
            self._follow(config, plan)
        except UserError as error:
            self.metrics.reloads.labels("refused").inc()
            log.error("not reloaded: %s", error)
            raise
        finally:
            servicemanager.notify("READY=1")
        self.metrics.reloads.labels("applied" if plan else "unchanged").inc()
        log.info("reloaded %s: %s", self._path, plan.summary())
        return plan

    def _follow(self, config: Config, plan: Plan) -> None:
        was, added = self.config, {}
        self.config = config
        try:  # what may fail
            context = _tls_of(config)
            for switch in plan.added:
                added[switch.dp_id] = self._watch(switch)
        except BaseException:
            self.config = was
            for watch in added.values():
                watch.end()
            raise
        watches = self._watches.copy()
        removed = [watches.pop(switch.dp_id) for switch in plan.removed]
        for switch, changes in plan.changed:
            watches[switch.dp_id].probe.reload(switch, changes)
        if was.timeout != config.timeout:
            for watch in watches.values():
                watch.probe.set_timeout(config.timeout)
        self._watches = watches | added
        self._open_gate(context)
        self._registry.configured(configuration.dump(config))
        for switch, watch in zip(plan.removed, removed, strict=True):
            self.metrics.switch_connected.remove(configuration.datapath_text(switch.dp_id))
            watch.probe.finish()
            watch.end()

    # What switches say.

    @framework.on(
        framework.ofp_event.EventOFPStateChange,
        framework.MAIN_DISPATCHER,
        framework.DEAD_DISPATCHER,
    )
    @fatal
    def _on_state_change(self, event: Any) -> None:
        datapath = event.datapath
        watch = self._watches.get(datapath.id)
        if watch is None:
            if datapath.state == framework.MAIN_DISPATCHER:
                log.warning("datapath %016x is not configured: left alone", datapath.id)
            return
        if datapath.state == framework.MAIN_DISPATCHER:
            watch.datapath = datapath
            if self._standby is None:
                watch.say(watch.probe.connect(watch.next_xid))
            else:
                watch.role = Role(watch.next_xid)
                claim = watch.role.ask() if self._term is None else watch.role.claim(self._term)
                watch.say(claim)
            log.info("%s: connected", watch.probe.switch.name)
            switch, idle_timeout = watch.probe.switch, self.config.idle_timeout
            framework.hub.spawn(tracker.configure, switch.conntrack, idle_timeout)
        elif watch.datapath is datapath:
            watch.datapath = watch.role = None
            watch.probe.disconnect()
            log.warning("%s: disconnected", watch.probe.switch.name)

    def _watch_of(self, event: Any) -> _Watch | None:
        watch = self._watches.get(event.msg.datapath.id)
        return watch if watch is not None and watch.datapath is event.msg.datapath else None

    def _asked(self, datapath: Any, xid: int) -> bool:
        watch = self._watches.get(datapath.id)
        return watch is not None and watch.datapath is datapath and watch.probe.asks(xid)

    @fatal
    def _on_answer(self, datapath: Any, message: framework.Answer) -> None:
        self._watches[datapath.id].probe.on_answer(message.xid, message.message)

    @framework.on(framework.ofp_event.EventOFPMeterStatsReply, framework.MAIN_DISPATCHER)
    @fatal
    def _on_meters(self, event: Any) -> None:
        if watch := self._watch_of(event):
            watch.probe.on_meters(
                (
                    each.meter_id,
                    each.packet_in_count,
                    sum(band.packet_band_count for band in each.band_stats),
                )
                for each in event.msg.body
            )

    @framework.on(framework.ofp_event.EventOFPBarrierReply, framework.MAIN_DISPATCHER)
    @fatal
    def _on_barrier(self, event: Any) -> None:
        if watch := self._watch_of(event):
            watch.probe.on_barrier(event.msg.xid, time.time_ns())
            watch.send()

    @framework.on(framework.ofp_event.EventOFPErrorMsg, framework.MAIN_DISPATCHER)
    @fatal
    def _on_error(self, event: Any) -> None:
        if watch := self._watch_of(event):
            if watch.role is not None and (
                framework.is_slave_error(event.msg) or watch.role.is_claim(event.msg.xid)
            ):
                if self._term is not None:
                    why = framework.error_text(event.msg)
                    self._stand_back(f"{watch.probe.switch.name} has a newer one: {why}")
                return
            full = (event.msg.type, event.msg.code) == framework.TABLE_FULL
            watch.probe.on_error(event.msg.xid, framework.error_text(event.msg), full=full)

    @fatal
    def _on_packet_in(self, datapath: Any, message: framework.PacketIn) -> None:
        watch = self._watches.get(datapath.id)
        if watch is not None and self._stream is not None:
            watch.probe.packet_in(message.data, message.total_length, time.time_ns())

    @fatal
    def _on_flow_removed(self, datapath: Any, message: framework.FlowRemoved) -> None:
        watch = self._watches.get(datapath.id)
        if watch is not None and watch.datapath is datapath:
            watch.probe.on_flow_removed(message.cookie)
