"""The packet logger: a process that writes what is erroneous, and nothing else.

It reads the switch's logger port and the controller's verdict stream. Either process may start
first or restart.
"""

from __future__ import annotations

import contextlib
import datetime
import logging
import queue
import select
import signal
import socket
import time
from typing import TYPE_CHECKING

from chamaleonet import config as configuration
from chamaleonet import metrics
from chamaleonet.capture.ring import Ring
from chamaleonet.errors import UserError
from chamaleonet.flows.decode import Decoder
from chamaleonet.log.collector import SETTLE, Collector, warm_up
from chamaleonet.log.endpoint import Endpoint
from chamaleonet.log.flowlog import open_flow_log
from chamaleonet.log.pcapng import open_pcapng
from chamaleonet.log.reader import VerdictReader

if TYPE_CHECKING:
    from collections.abc import Callable

    from chamaleonet.config import Config

log = logging.getLogger(__name__)

_FLUSH = 10**9  # ns from one flush of the files to the next


class Logger:
    """One run of the packet logger.

    Args:
        config: the whole configuration.

    Raises:
        UserError: the interface, the stream's certificates, the address for metrics or a file
            cannot be used.
    """

    def __init__(self, config: Config) -> None:
        self._started = self._stopping = False
        self._awake, self._alarm = socket.socketpair()
        for end in (self._awake, self._alarm):
            end.setblocking(False)
        decoder = Decoder(config.internal)
        warm_up(open_pcapng("/dev/null"), decoder)
        interface = config.logger.interface
        self._ring = Ring(interface) if interface is not None else None
        self._port_packets = 0
        self._reader = VerdictReader(Endpoint(config.stream.address, config.stream.tls), self._wake)
        registry = metrics.new_registry(configuration.dump(config))
        metrics.BeforeScrape(registry, self._scrape)
        self._metrics = metrics.LoggerMetrics(registry)
        self._totals = [
            metrics.Totals(counter)
            for counter in (self._metrics.packets, self._metrics.flows, self._metrics.dropped)
        ]
        self._port_total = metrics.Total(self._metrics.port_packets.inc)
        self._stop_metrics = metrics.serve(registry, config.metrics.logger)
        self._open_files(config)  # last of what can fail, so that no empty files are left behind
        self._collector = Collector(self._packets, self._flows, decoder, erroneous=config.capture)
        self._started = True

    def _open_files(self, config: Config) -> None:
        """Create the files of this run, named by the time at which it started."""
        directory = config.logger.directory
        try:
            directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{directory}: cannot make the directory: {error.strerror}") from None
        now = datetime.datetime.now(datetime.UTC)
        name = f"chamaleonet-{now:%Y%m%dT%H%M%S}.{now.microsecond // 1000:03}Z"
        self._packets = open_pcapng(directory / f"{name}.pcapng")
        self._flows = open_flow_log(directory / f"{name}.{config.logger.flows}")
        # A row of Parquet cannot be read before its file is complete: let groups grow large.
        self._flush_flows = config.logger.flows == "jsonl"
        log.info("writing %s/%s.*", directory, name)

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
            UserError: a file cannot be written.
        """
        try:
            self._work_until(lambda: self._stopping)
            # Packets and verdicts that are on their way belong to this run.
            end = time.monotonic_ns() + SETTLE
            self._work_until(lambda: time.monotonic_ns() >= end)
            if self._reader.connected:
                self._collector.flush()
            else:
                self._collector.give_up()
        finally:
            self._close()

    def _work_until(self, done: Callable[[], bool]) -> None:
        poll = select.poll()
        poll.register(self._awake, select.POLLIN)
        if self._ring is not None:
            poll.register(self._ring, select.POLLIN)
        flush = time.monotonic_ns() + _FLUSH
        due: int | None = None
        while not done():
            now = time.monotonic_ns()
            wait = min(flush, flush if due is None else due) - now
            poll.poll(max(0, wait) / 1e6)
            now = time.monotonic_ns()
            self._take_messages(now)
            if self._ring is not None:
                for batch in self._ring.batches():
                    self._port_packets += len(batch)
                    self._collector.hold(batch, now)
            due = self._collector.release(now)
            if now >= flush:
                flush = now + _FLUSH
                self._packets.flush()
                if self._flush_flows:
                    self._flows.flush()

    def _take_messages(self, now: int) -> None:
        with contextlib.suppress(BlockingIOError):
            self._awake.recv(4096)
        with contextlib.suppress(queue.Empty):
            while True:
                self._collector.tell(self._reader.messages.get_nowait(), now)

    def _scrape(self) -> None:
        """Bring the metrics up to date; called in the thread of a scrape."""
        if not self._started:
            return
        collector = self._collector
        dropped = collector.dropped + self._reader.refused
        if self._ring is not None:
            dropped["ring_full"] = self._ring.dropped
        for totals, counts in zip(
            self._totals, (collector.written, collector.logged, dropped), strict=True
        ):
            totals.follow(counts.copy())
        self._port_total.follow(self._port_packets)
        self._metrics.known_flows.set(len(collector.known))
        self._metrics.held_packets.set(collector.held)
        self._metrics.stream_connected.set(self._reader.connected)

    def _close(self) -> None:
        with contextlib.ExitStack() as stack:
            # Called from the last to the first, each whatever the others raise.
            stack.callback(self._alarm.close)
            stack.callback(self._awake.close)
            if self._ring is not None:
                stack.callback(self._ring.close)
            stack.callback(self._reader.close)
            stack.callback(self._stop_metrics)
            stack.callback(self._flows.close)
            stack.callback(self._packets.close)
        counts = self._collector.written
        log.info("%d packets and %d flows written", counts.total(), self._collector.logged.total())


def run(config: Config) -> None:
    """Run the packet logger until SIGTERM or SIGINT.

    Raises:
        UserError: something that the configuration names cannot be used, or a file cannot be
            written.
    """
    logger = Logger(config)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: logger.stop())
    logger.run()
