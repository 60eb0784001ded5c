"""The packet logger: a process that writes what is erroneous, and nothing else.

It reads the switch's logger port and the controller's verdict stream. Either process may start
first, restart or be killed. Twice a second it commits: all that was decided is in its files, and
what the controller told up to then is acknowledged.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import select
import signal
import socket
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from chamaleonet import config as configuration
from chamaleonet import metrics, servicemanager
from chamaleonet.capture.ring import Ring
from chamaleonet.errors import UserError
from chamaleonet.flows.decode import Decoder
from chamaleonet.flows.records import FLOW, names_of
from chamaleonet.log.anonymise.anonymiser import Anonymiser
from chamaleonet.log.anonymise.keyfile import read_key
from chamaleonet.log.collector import SETTLE, Collector, warm_up
from chamaleonet.log.departed import Departed
from chamaleonet.log.events.jsonl import EventLog
from chamaleonet.log.events.syslog import Syslog
from chamaleonet.log.flowtext import flow_texts
from chamaleonet.log.pcapng import open_pcapng
from chamaleonet.log.store import Retention, Rotation, Store, StoreError
from chamaleonet.log.stream.endpoint import Endpoint
from chamaleonet.log.stream.reader import VerdictReader

if TYPE_CHECKING:
    from collections.abc import Callable

    from chamaleonet.config import Config
    from chamaleonet.log.sinks import EventSink
    from chamaleonet.log.stream.position import Position

log = logging.getLogger(__name__)

_COMMIT = 5 * 10**8  # ns from one commit to the next
_MUCH = 16 << 20  # bytes that do not wait for it


def _anonymiser(config: Config) -> Anonymiser:
    settings = config.logger.anonymise
    return Anonymiser(
        None if settings.addresses == "none" else read_key(settings.key),
        addresses=settings.addresses,
        internal=config.internal,
        exclude=settings.exclude,
        macs=settings.macs,
    )


def _ring(interface: str) -> Ring:
    # Large blocks: what a batch costs is shared by thousands of packets. They wait for their
    # verdicts much longer than the ring may keep a block.
    return Ring(interface, blocks=64, block_bytes=1 << 20, retire=50)


class Logger:
    """One run of the packet logger.

    Args:
        config: the whole configuration.

    Raises:
        UserError: the key, the interface, the stream's certificates, the address for metrics or
            the directory cannot be used. Nothing has been written then.
    """

    def __init__(self, config: Config) -> None:
        settings = config.logger
        self._started = self._stopping = False
        self._watchdog = servicemanager.Watchdog()
        self._port_packets = 0
        self._dropped = Counter(disk_full=0)
        self._disk_full = False
        self._position: Position | None = None  # up to where the collector was told
        with contextlib.ExitStack() as stack:
            self._awake, self._alarm = socket.socketpair()
            for end in (self._awake, self._alarm):
                stack.enter_context(end)
                end.setblocking(False)
            self._anonymiser = _anonymiser(config)
            decoder = Decoder(config.internal)
            warm_up(self._anonymiser.packet_sink(open_pcapng("/dev/null")), decoder)
            flow_texts(self._anonymiser.flows(np.zeros(1, FLOW)))
            self._ring = _ring(settings.interface) if settings.interface is not None else None
            if self._ring is not None:
                stack.callback(self._ring.close)
            self._syslog = None
            if settings.syslog is not None:
                self._syslog = Syslog(
                    settings.syslog.address,
                    facility=settings.syslog.facility,
                    verdicts=settings.syslog.verdicts,
                )
                stack.callback(self._syslog.close)
            endpoint = Endpoint(config.stream.address, config.stream.tls)
            endpoint.client_context()  # tells of certificates that cannot be used
            stack.callback(self._serve_metrics(config))
            self._store = Store(
                settings.directory,
                time.time_ns(),
                flows=settings.flows,
                compression=settings.compression,
                rotation=Rotation(settings.rotation.time, settings.rotation.size),
                retention=Retention(settings.retention.age, settings.retention.size),
            )
            stack.callback(self._store.close)
            self._collector = self._new_collector(config, decoder)
            others = [Endpoint(other, config.stream.tls) for other in config.stream.others]
            self._reader = VerdictReader(
                endpoint, self._wake, others=others, position=self._store.position
            )
            stack.callback(self._reader.close)
            self._closing = stack.pop_all()
        self._started = True
        log.info("writing to %s", settings.directory)

    def _serve_metrics(self, config: Config) -> Callable[[], None]:
        registry = metrics.new_registry(configuration.dump(config))
        metrics.BeforeScrape(registry, self._scrape)
        self._metrics = metrics.LoggerMetrics(registry)
        self._totals = {
            name: metrics.Totals(getattr(self._metrics, name))
            for name in ("packets", "flows", "dropped", "files_removed", "written")
        }
        self._port_total = metrics.Total(self._metrics.port_packets.inc)
        return metrics.serve(registry, config.metrics.logger)

    def _new_collector(self, config: Config, decoder: Decoder) -> Collector:
        """Return a collector all of whose sinks lie behind the anonymiser."""
        sinks: list[EventSink] = []
        if config.logger.events != "off":
            sinks.append(EventLog(self._store.events.write, config.logger.events))
        if self._syslog is not None:
            sinks.append(self._syslog)
        return Collector(
            self._anonymiser.packet_sink(self._store.packets),
            self._anonymiser.flow_sink(self._store.flows),
            decoder,
            erroneous=config.capture,
            counts=self._anonymiser.count_sink(self._store.healthy),
            events=tuple(map(self._anonymiser.event_sink, sinks)),
            departed=Departed(
                lambda flows: names_of(self._anonymiser.flows(flows)), self._store.note
            ),
        )

    def stop(self) -> None:
        """Make ``run`` end. May be called from a signal handler."""
        self._stopping = True
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):  # full of alarms already
            self._alarm.send(b"!")

    def run(self) -> None:
        """Write until ``stop`` is called, then finish the files.

        Raises:
            UserError: the disk does not take what is left. The controller keeps what it told.
        """
        with self._closing:
            servicemanager.notify("READY=1")
            self._work_until(lambda: self._stopping)
            servicemanager.notify("STOPPING=1")
            # Packets and verdicts that are on their way belong to this run.
            end = time.monotonic_ns() + SETTLE
            self._work_until(lambda: time.monotonic_ns() >= end)
            if self._reader.connected:
                self._collector.flush()
            else:
                self._collector.give_up()
            self._store.note = self._collector.departed.save()
            self._commit()
            if self._disk_full:
                raise UserError(f"{self._store.directory}: the disk does not take what is left")
        counts = self._collector
        log.info("%d packets, %d flows written", counts.written.total(), counts.logged.total())

    def _work_until(self, done: Callable[[], bool]) -> None:
        poll = select.poll()
        poll.register(self._awake, select.POLLIN)
        if self._ring is not None:
            poll.register(self._ring, select.POLLIN)
        commit = time.monotonic_ns() + _COMMIT
        due: int | None = None
        while not done():
            now = time.monotonic_ns()
            self._watchdog.feed(now / 1e9)
            wait = min(commit, commit if due is None else due) - now
            poll.poll(max(0, wait) / 1e6)
            now = time.monotonic_ns()
            self._take_messages(now)
            if self._ring is not None:
                self._take_packets(self._ring, now)
            due = self._collector.release(now)
            if now >= commit or (self._store.buffered > _MUCH and not self._disk_full):
                commit = now + _COMMIT
                self._commit()

    def _take_messages(self, now: int) -> None:
        with contextlib.suppress(BlockingIOError):
            self._awake.recv(4096)
        # What is not taken here waits at the controller's, where there is room for it.
        while not self._disk_full and self._store.buffered <= _MUCH:
            try:
                message = self._reader.messages.get_nowait()
            except queue.Empty:
                return
            self._collector.tell(message, now)
            if message.position is not None:
                self._position = message.position

    def _take_packets(self, ring: Ring, now: int) -> None:
        for batch in ring.batches():
            self._port_packets += len(batch)
            if self._disk_full:
                self._dropped["disk_full"] += len(batch)
            else:
                self._collector.hold(batch, now)

    def _commit(self) -> None:
        """Have all that was decided in the files, then acknowledge what it was decided by."""
        try:
            self._store.commit(self._position, time.time_ns())
        except StoreError as error:
            if not self._disk_full:
                log.error("%s: writing stops until it is possible again", error)
            self._disk_full = True
            return
        if self._disk_full:
            log.warning("%s: writing goes on", self._store.directory)
            self._disk_full = False
            self._wake()
        if self._position is not None:
            self._reader.acknowledge(self._position)

    def _scrape(self) -> None:
        """Bring the metrics up to date; called in the thread of a scrape."""
        if not self._started:
            return
        collector = self._collector
        # Copies: the other threads go on counting.
        dropped = collector.dropped.copy() + self._reader.refused.copy() + self._dropped
        if self._ring is not None:
            dropped["ring_full"] = self._ring.dropped
        if self._syslog is not None:
            dropped += self._syslog.dropped
        counts: dict[str, Counter[Any]] = {
            "packets": collector.written,
            "flows": collector.logged,
            "dropped": dropped,
            "files_removed": self._store.removed,
            "written": self._store.written,
        }
        for name, totals in self._totals.items():
            totals.follow(counts[name].copy())
        self._port_total.follow(self._port_packets)
        with contextlib.suppress(OSError):  # a disk that fails is told of by disk_full
            disk = os.statvfs(self._store.directory)
            self._metrics.disk_available.set(disk.f_bavail * disk.f_frsize)
            self._metrics.disk_size.set(disk.f_blocks * disk.f_frsize)
        for gauge, value in (
            (self._metrics.known_flows, len(collector.known)),
            (self._metrics.held_packets, collector.held),
            (self._metrics.stream_connected, self._reader.connected),
            (self._metrics.disk_full, self._disk_full),
            (self._metrics.uncommitted, self._store.buffered),
            (self._metrics.unfinished, self._store.finishing),
            (self._metrics.files, self._store.size),
        ):
            gauge.set(value)


def run(config: Config) -> None:
    """Run the packet logger until SIGTERM or SIGINT.

    Raises:
        UserError: something that the configuration names cannot be used, or the disk does not take
            what is left.
    """
    os.umask(0o027)
    logger = Logger(config)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: logger.stop())
    logger.run()
