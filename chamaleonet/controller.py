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
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from chamaleonet import config as configuration
from chamaleonet import metrics, servicemanager
from chamaleonet.checkpoint import Checkpoints
from chamaleonet.control import Control
from chamaleonet.errors import UserError
from chamaleonet.mastership import Mastership
from chamaleonet.reload import compare
from chamaleonet.standby import Standby
from chamaleonet.switch import framework, tracker
from chamaleonet.switch.gate import Gate
from chamaleonet.switch.launcher import CONFIG_VARIABLE
from chamaleonet.switch.probe import warm_up
from chamaleonet.switch.role import Role, Standing
from chamaleonet.switch.rules import Cookie
from chamaleonet.tls import server_context
from chamaleonet.watch import Watch, new_watch

if TYPE_CHECKING:
    from collections.abc import Callable
    from ssl import SSLContext

    from numpy.typing import NDArray

    from chamaleonet.config import Config, Switch
    from chamaleonet.flows.engine import Output
    from chamaleonet.reload import Plan

log = logging.getLogger(__name__)

_TICK = 0.005  # s
_ROLE_SECONDS = 1.0  # from one question to the next whether a switch still takes us for the master
_PATIENCE = 3.0  # s that consumers of the stream have, at the end, to take what waits


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
        saved = self.config.checkpoint
        self._checkpoints = Checkpoints(saved.directory) if saved is not None else None
        self._mastership: Mastership | None = None  # while we are the master
        self._watches = {switch.dp_id: self._watch(switch) for switch in self.config.switches}
        self._asked_roles = 0.0
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

    def _watch(self, switch: Switch) -> Watch:
        saved = self._checkpoints.of(switch.dp_id) if self._checkpoints is not None else None

        def tell(output: Output) -> None:
            assert self._mastership is not None  # else nothing is judged
            self._mastership.tell(switch.dp_id, saved, output)

        def send_counts(counts: NDArray[Any]) -> None:
            assert self._mastership is not None
            self._mastership.send_counts(counts)

        return new_watch(self.config, switch, saved, self.metrics, tell, send_counts)

    def _begin(self, term: int) -> None:
        """Begin to be master; 0 is the term of whoever has no other beside him."""
        self._mastership = Mastership(
            self.config, lambda: self._watches, self.metrics, self._standby, term
        )

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
        if not self.failed and self._mastership is not None:
            self._mastership.save()
        for watch in self._watches.values():
            if self._checkpoints is None:
                watch.probe.finish()
            if watch.ring is not None:
                watch.ring.close()
        if self._mastership is not None:
            # Where there is a new master already, it has the last word.
            outdated = self.failed and self._standby is not None
            self._mastership.close(patience=0.0 if outdated else _PATIENCE)
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
        for watch in self._watches.values():
            if self._mastership is None:
                watch.let_pass()
            else:
                watch.tick(time.time_ns())
        if self._mastership is not None:
            self._mastership.tick()

    # The election.

    def _generation(self) -> int:
        roles = (watch.role for watch in self._watches.values())
        return max((role.generation or 0 for role in roles if role is not None), default=0)

    def _heed(self, standby: Standby) -> None:
        """Take over when we are elected, stand back when we are so no longer."""
        term = standby.term
        if self._mastership is not None:
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
        if now is was or self._mastership is None:
            return
        if now is Standing.MASTER:
            watch.say(watch.probe.connect(watch.next_xid))
        elif was is Standing.MASTER:
            self._stand_back(f"{watch.probe.switch.name} has another one")

    def _scrape(self) -> None:
        engines = [watch.probe.engine for watch in self._watches.values()]
        self.metrics.pending_flows.set(sum(engine.pending_flows for engine in engines))
        self.metrics.tracked_flows.set(sum(engine.tracked_flows for engine in engines))
        for dp_id, watch in self._watches.items():
            dp_text = configuration.datapath_text(dp_id)
            self.metrics.switch_connected.labels(dp_text).set(watch.datapath is not None)
            tracked = tracker.connections(watch.probe.switch.conntrack)
            if tracked is not None:
                self.metrics.tracked_connections.labels(dp_text).set(tracked)
            watch.scrape()
        if self._checkpoints is not None:
            self.metrics.checkpoint_bytes.set(self._checkpoints.size)
        self.metrics.master.set(self._mastership is not None)
        if self._mastership is not None:
            self._mastership.scrape()

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
                master = self._mastership
                watch.say(watch.role.ask() if master is None else watch.role.claim(master.term))
            log.info("%s: connected", watch.probe.switch.name)
            switch, idle_timeout = watch.probe.switch, self.config.idle_timeout
            framework.hub.spawn(tracker.configure, switch.conntrack, idle_timeout)
        elif watch.datapath is datapath:
            watch.datapath = watch.role = None
            watch.probe.disconnect()
            log.warning("%s: disconnected", watch.probe.switch.name)

    def _watch_of(self, event: Any) -> Watch | None:
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
                if self._mastership is not None:
                    why = framework.error_text(event.msg)
                    self._stand_back(f"{watch.probe.switch.name} has a newer one: {why}")
                return
            full = (event.msg.type, event.msg.code) == framework.TABLE_FULL
            watch.probe.on_error(event.msg.xid, framework.error_text(event.msg), full=full)

    @fatal
    def _on_packet_in(self, datapath: Any, message: framework.PacketIn) -> None:
        watch = self._watches.get(datapath.id)
        if watch is not None and self._mastership is not None:
            watch.probe.packet_in(message.data, message.total_length, time.time_ns())

    @fatal
    def _on_flow_removed(self, datapath: Any, message: framework.FlowRemoved) -> None:
        watch = self._watches.get(datapath.id)
        if watch is not None and watch.datapath is datapath:
            watch.probe.on_flow_removed(message.cookie)
