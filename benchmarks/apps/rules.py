"""Installs redirect rules by our rulebook; prints how many a second the switch confirmed."""

from __future__ import annotations

import os
import time
from itertools import islice

from benchmarks.rules import redirects
from chamaleonet.switch import framework
from chamaleonet.switch.pipeline import Change
from chamaleonet.switch.rulebook import Phase, Rulebook

RULES = int(os.environ["BENCH_RULES"])


def _ignore(*_):
    pass


class Rules(framework.App):
    OFP_VERSIONS = [framework.ofproto.OFP_VERSION]  # noqa: RUF012

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.book = Rulebook([])
        self.begin = None
        framework.receive_own(
            lambda _: False, _ignore, _ignore, lambda _, xid: self.book.asks(xid), self.answered
        )

    @framework.on(framework.ofp_event.EventOFPStateChange, framework.MAIN_DISPATCHER)
    def connected(self, event):
        self.datapath = event.datapath
        self.datapath.send(self.book.connect(lambda: framework.next_xid(self.datapath)))

    def answered(self, _, entries):
        self.book.on_dump(entries.xid, entries.message)
        self.datapath.send(self.book.flush())

    @framework.on(framework.ofp_event.EventOFPBarrierReply, framework.MAIN_DISPATCHER)
    def confirmed(self, event):
        self.book.on_barrier(event.msg.xid)
        while message := self.book.flush():
            self.datapath.send(message)
        if self.book.phase is not Phase.READY:
            return
        if self.begin is None:
            self.begin = time.perf_counter()
            self.book.apply(map(Change, islice(redirects(), RULES)))
            self.confirmed(event)
        elif all(state.name == "CONFIRMED" for _, state in self.book):
            print(RULES / (time.perf_counter() - self.begin), flush=True)
            framework.end_process(0)
