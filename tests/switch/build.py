"""Switches, probes and packets for the tests of the switch room."""

from __future__ import annotations

import itertools
import struct
from ipaddress import ip_address

import numpy as np
from prometheus_client import CollectorRegistry

from chamaleonet.config import Config, Switch
from chamaleonet.flows.records import FLOW_EVENT, MARK_CLIENT_HIGH, Change, Query
from chamaleonet.flows.transitions import State
from chamaleonet.metrics import ControllerMetrics
from chamaleonet.switch.match import FlowKey
from chamaleonet.switch.pipeline import Frame
from chamaleonet.switch.probe import Probe
from chamaleonet.units import PRIVATE
from tests.fake_switch import FlowTable
from tests.traffic import SECOND, ethernet

START = 1_700_000_000 * SECOND
PIPELINES = ("conntrack", "reactive")


def switch(pipeline="conntrack", **changes):
    return Switch(**{"dp_id": 0xA1, "pipeline": pipeline, "logger_port": 4} | changes)


def frame(pipeline="conntrack", **changes):
    return Frame(switch(pipeline, **changes), PRIVATE)


def answer(book, question, table):
    """Answer what a rulebook asks on connection."""
    (xid,) = struct.unpack_from("!I", question, 4)
    for part in table.parts(question[8:], xid):
        book.on_dump(xid, part)


class PlayedProbe:
    """A probe, its switch answering at once, and what came of it.

    Attributes:
        told: what the engine told: (verdict, attempts) of events, in order.
        switch: the rules in the switch by place.
    """

    def __init__(self, pipeline="conntrack", *, config=None, **changes):
        self.registry = CollectorRegistry()
        self.told = []
        self.packets = []
        self.config = config or Config(max_flows=1024)
        self.probe = Probe(
            self.config, switch(pipeline, **changes), self._tell, ControllerMetrics(self.registry)
        )
        self._xid = itertools.count(1000)
        self.now = START

    def _tell(self, output):
        self.told += [(int(e["change"]), int(e["flow"]["state"])) for e in output.events]
        self.packets += [
            (int(p["role"]), bytes(output.data[p["offset"] : p["offset"] + p["length"]]))
            for p in output.packets
        ]

    def connect(self, table=None):
        """Connect a switch with these entries; it is not told of later changes."""
        question = self.probe.connect(lambda: next(self._xid))
        answer(self.probe.rulebook, question, table or FlowTable())
        self.settle()
        return self

    def settle(self):
        """Flush, and let the switch confirm, until nothing is left to do."""
        while self.probe.flush() or self.probe.rulebook._connection.batches:
            self.confirm()

    def confirm(self):
        for xid in list(self.probe.rulebook._connection.batches):
            self.probe.on_barrier(xid, self.now)

    def receive(self, *packets, snaplen=128):
        for packet in packets:
            frame = ethernet(packet)
            self.probe.packet_in(memoryview(frame)[:snaplen], len(frame), self.now)
        self.probe.judge_packet_ins()
        self.settle()

    def wait(self, seconds):
        self.now += int(seconds * SECOND)
        self.probe.advance(self.now)
        self.settle()

    @property
    def rules(self):
        """The dynamic rules that are wanted."""
        return [rule for rule, _ in self.probe.rulebook if rule.cookie.kind]

    def metric(self, name, **labels):
        self.probe.scrape()
        return self.registry.get_sample_value(f"chamaleonet_{name}", labels)


def flow_key(client, server, protocol, *, sport=40000, dport=22, query=Query.NONE):
    """Return the FlowKey of a flow between two addresses, which may be integers."""
    client, server = ip_address(client), ip_address(server)
    if query:
        sport = dport = 0
    return FlowKey(client.version, protocol, query, int(client), sport, int(server), dport, False)


def flow_event(row, key, state=State.UNANSWERED, *, time=START, change=Change.JUDGED):
    """Return a FLOW_EVENT of a flow with this FlowKey."""
    event = np.zeros(1, FLOW_EVENT)
    event["time"], event["change"], event["row"] = time, change, row
    flow = event["flow"]
    ends = [(key.client, key.client_port), (key.server, key.server_port)]
    low, high = sorted(ends)
    for name, (address, _) in (("low", low), ("high", high)):
        flow[f"{name}_hi"], flow[f"{name}_lo"] = address >> 64, address & (1 << 64) - 1
    flow["ports"] = low[1] << 16 | high[1]
    flow["kind"] = key.protocol << 8 | key.query << 4 | key.version
    flow["state"] = state
    flow["marks"] = MARK_CLIENT_HIGH if ends[0] != low else 0
    return event[0]
