"""Messages of the stream, and a model that was told them."""

from __future__ import annotations

from chamaleonet.flows.transitions import State
from chamaleonet.log.stream.position import Position
from chamaleonet.log.stream.reader import Message
from chamaleonet.top.model import Model
from tests.log.build import SECOND, START, flow

NOW = START + 3 * SECOND  # when flow() was judged
HELLO, CURRENT = Message("hello", run=1), Message("current")


def tcp(n, client="10.0.0.1", server="192.0.2.9", port=443, **fields):
    """Return a flow that can be told from the others by its client's port."""
    return flow("tcp", client, server, n, port, **fields)


def active(record):
    return Message("active", flow=record)


def verdict(record, seq=0):
    return Message("verdict", position=Position(1, seq) if seq else None, flow=record)


def ended(record):
    return Message("flow", flow=record)


def told(*messages, now=NOW, **named):
    """Return a model that was told these messages at once."""
    model = Model(**named)
    model.feed(messages, now)
    return model


def counted(model, table="hosts", now=NOW):
    """Return a table's rows as {name: (now, minute, total, recovered)}."""
    return {
        name: (count.live, count.minute.count(now), count.total, count.recovered)
        for name, count in model.tables[table].items()
    }


def recovered(n, **fields):
    return tcp(n, state=State.RECOVERED, reply_delay=4 * SECOND, **fields)
