"""Traffic that fails all the time, what is to come of it in the switch, and in the log."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter

import pyarrow.parquet as pq
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

CLIENT, SERVER = "10.0.0.1", "192.0.2.9"
OTHERS = [
    "cookie=0x7,table=5,priority=7,ip,nw_dst=192.0.2.1 actions=drop",
    "cookie=0xc4a2000000000000,table=1,priority=9,ip,nw_dst=192.0.2.2 actions=drop",
]
ERRONEOUS = ("unanswered", "icmp_error", "refused", "unsolicited")


def frame(port, *, reply=False):
    """Return a frame of the flow with this client port, which names it."""
    ends = {"src": SERVER, "dst": CLIENT} if reply else {"src": CLIENT, "dst": SERVER}
    ports = {"sport": 53, "dport": port} if reply else {"sport": port, "dport": 53}
    macs = ["02:00:00:00:0c:01", "02:00:00:00:0c:02"]
    ether = Ether(src=macs[reply], dst=macs[not reply])
    return bytes(ether / IP(**ends) / UDP(**ports) / b"payload")


class Traffic(threading.Thread):
    """New flows all the time: some fail, some are answered, some are answered late.

    Attributes:
        next: the next flow's client port.
    """

    def __init__(self, network):
        super().__init__(daemon=True)
        self._network, self._end, self._run = network, threading.Event(), threading.Event()
        self._still = threading.Event()
        self.next = 20000
        self.start()

    def run(self):
        late = []
        while not self._end.is_set():
            if not self._run.is_set():
                self._still.set()
                self._run.wait(0.1)
                continue
            port = self.next
            self.next += 1
            self._network.send("client", frame(port))
            if port % 3 == 0:
                self._network.send("server", frame(port, reply=True))
            elif port % 5 == 0:
                late.append((time.monotonic() + 0.8, port))
            while late and late[0][0] < time.monotonic():
                self._network.send("server", frame(late.pop(0)[1], reply=True))
            time.sleep(0.02)

    def go(self):
        self._still.clear()
        self._run.set()

    def pause(self):
        self._run.clear()
        self._still.wait()

    def stop(self):
        self._end.set()
        self.join()


def redirects(network):
    """Return the client ports that redirect rules match, each as often as a rule does."""
    return Counter(
        int(port)
        for port in re.findall(r"cookie=0xc4a1.1\w+,.* table=1,.*tp_src=(\d+)", network.rules())
    )


def others(network):
    return [line for line in network.rules().splitlines() if "cookie=0xc4a1" not in line]


def known(controller):
    """Return the client ports of the flows that have a rule by what the stream told.

    A suspect one has none: it may have been answered while nobody watched.
    """
    now = {}
    for kind, flow, _ in controller.told():
        if kind == "flow":
            now.pop((flow["client_port"], flow["first"]), None)
        elif flow["verdict"] in ERRONEOUS and flow["quality"] != "suspect":
            now[flow["client_port"], flow["first"]] = flow
        else:
            now.pop((flow["client_port"], flow["first"]), None)
    return Counter(port for port, _ in now)


def settled(network, controller):
    """Tell whether the redirect rules are those of the flows that are erroneous."""
    return redirects(network) == known(controller)


def logged(directory):
    """Return how often each flow was logged: (client port, first) -> times."""
    times = Counter()
    for path in directory.rglob("*.flows.parquet"):
        table = pq.ParquetFile(path).read(["client_port", "first"])
        firsts = (first.value for first in table["first"])
        times.update(zip(table["client_port"].to_pylist(), firsts, strict=True))
    return times
