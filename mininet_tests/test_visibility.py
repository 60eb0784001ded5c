"""A mirror port for each direction, of which one is unplugged."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections import Counter

import pyarrow.parquet as pq
import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether

from mininet_tests.harness import CANDIDATE, CANDIDATE_PORT, LOGGER, Controller, Logger, Network

SETTINGS = (
    f"pipeline: conntrack, candidates: {{port: {CANDIDATE_PORT}, interface: {CANDIDATE}}},"
    " forward: none, scope: {ports: [1, 2]}"
)
CLIENTS, DEAD = 12, "192.0.2.200"


def frame(source, target, sport, dport, flags):
    ether = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    return bytes(ether / IP(src=source, dst=target) / TCP(sport=sport, dport=dport, flags=flags))


class Clients(threading.Thread):
    """Clients that ask all the time, and are answered."""

    def __init__(self, network):
        super().__init__(daemon=True)
        self._network, self._end, self._port = network, threading.Event(), 20_000

    def run(self):
        while not self._end.wait(0.1):
            self._port += 1
            pairs = [(f"10.0.0.{n}", f"192.0.2.{n}") for n in range(1, CLIENTS + 1)]
            requests = [frame(*pair, self._port, 80, "S") for pair in pairs]
            replies = [frame(*pair[::-1], 80, self._port, "SA") for pair in pairs]
            self._network.send("leaving", *requests)
            time.sleep(0.02)  # the switch asks one port after the other
            with contextlib.suppress(OSError):  # its cable is out
                self._network.send("entering", *replies)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self.join()


def redirects(network):
    """Return whose packets go to the logger, each client as often as a rule says so."""
    return Counter(re.findall(r"cookie=0xc4a1.1\w+,.* table=1,.*nw_src=([\d.]+)", network.rules()))


def fail(network, client, port):
    network.send("leaving", frame(client, DEAD, port, 80, "S"))


class Told:
    """What the verdict stream tells of the clients that are well."""

    def __init__(self, controller):
        self._controller, self._from = controller, 0

    def begin(self):
        self._from = len(self._controller.told())

    def verdicts(self):
        """Return how many there were of each verdict and quality since ``begin``."""
        return Counter(
            (flow["verdict"], flow["quality"])
            for kind, flow, _ in self._controller.told()[self._from :]
            if kind == "verdict" and flow["server"] != bytes([192, 0, 2, 200])
        )

    def first_packets(self):
        return sum(len(packets) for _, _, packets in self._controller.told()[self._from :])


@pytest.mark.timeout(300)
def test_a_mirror_port_that_is_unplugged_makes_verdicts_suspect_and_redirects_nothing(tmp_path):
    extra = (
        "visibility: {interval: 300ms, clients: 8, recovery: 3s}\n"
        f"logger: {{interface: {LOGGER}, directory: '{tmp_path}/log',"
        " anonymise: {addresses: none}}\n"
    )

    def suspect(direction="outbound"):
        return controller.total("suspect_prefixes", direction=direction)

    with (
        Network("feds") as network,
        Controller(tmp_path, SETTINGS, timeout="2s", extra=extra) as controller,
        Clients(network),
    ):
        logger, told = Logger(controller), Told(controller)
        try:
            fail(network, "10.0.0.1", 7)
            controller.wait_for(lambda: redirects(network) == {"10.0.0.1": 1}, 30)
            controller.wait_for((tmp_path / "log" / "commit.json").exists, 90)
            answered = controller.total("flows_total", verdict="answered")
            controller.wait_for(
                lambda: controller.total("flows_total", verdict="answered") > answered + 200, 30
            )
            assert suspect() == 0
            assert {quality for _, quality in told.verdicts()} <= {"sound"}

            network.set_link("entering", up=False)
            controller.wait_for(suspect, 30)
            told.begin()
            network.received(LOGGER)
            fail(network, "10.0.0.2", 7)
            controller.wait_for(lambda: told.verdicts().total() > 300, 60)
            assert set(told.verdicts()) == {("unanswered", "suspect")}
            assert told.first_packets() == 0
            assert redirects(network) == {"10.0.0.1": 1}
            assert network.received(LOGGER) == []
            assert controller.total("flows_unsound_total", quality="suspect") > 300
            assert suspect("inbound") == 0

            network.set_link("entering", up=True)
            controller.wait_for(lambda: suspect() == 0, 60)
            fail(network, "10.0.0.3", 7)
            controller.wait_for(lambda: redirects(network)["10.0.0.3"] == 1, 30)
            assert redirects(network)["10.0.0.2"] == 0
            controller.finished()
            logger.stop()
        finally:
            logger.kill()
    rows = Counter()
    for path in (tmp_path / "log").rglob("*.flows.parquet"):
        table = pq.ParquetFile(path).read(["client", "server", "quality"]).to_pylist()
        rows.update((row["server"] == DEAD, row["quality"]) for row in table)
    assert rows[True, "sound"] == 2
    assert rows[True, "suspect"] == 1
    assert rows[False, "suspect"] > 300
    assert rows[False, "sound"] == 0
