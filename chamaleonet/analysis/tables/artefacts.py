"""Replies that are no plain answer: too many, only to the second request, after the socket closed.

The artefacts are those of R. Padmanabhan, P. Owen, A. Schulman, N. Spring, "Timeouts: Beware
Surprisingly High Delay", IMC 2015, sections 3.3 and 6.3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ibis

from chamaleonet.analysis.ports import SINGLE_DATAGRAM
from chamaleonet.analysis.table import Table

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from chamaleonet.analysis.source import Logs
    from chamaleonet.analysis.table import Options

DUPLICATES = 4  # replies to one request; more make a duplicate responder
LISTED = 100  # rows of each list, those with most flows

_ICMP = ("icmp", "icmpv6")
_NOTE = f"""\
Duplicate responders: servers that sent more than {DUPLICATES} packets for each request, where one
datagram asks and one answers: ICMP queries, UDP to the ports
{", ".join(map(str, SINGLE_DATAGRAM))},
and UDP flows of a single datagram. From the flow log, so of flows that failed or were answered
late; answered flows are counters, without the server, and `duplicates_counted` has what these
tell: a host, port and minute whose replies outnumber its requests so far on average. Wake-up:
flows that were only answered after the timeout, to which more than one request was sent; `lost` are
requests without an answer (as of the first packet that wakes a radio or fills an ARP cache), and
with none lost the first was answered late. It is null for TCP, whose packets are no requests. A
retransmission that is answered within the timeout is an answered flow: it is not here. Late
replies that provoked ICMP errors: UDP flows whose first packet comes from such a port and gets port
unreachable from the address it goes to, an answer to a socket that is closed (or backscatter of
spoofed queries). It shows when the query itself had been forgotten; an error that a late reply
provokes while its flow lives is a packet of its own, in the packet log and not in the flow log.
"""


def table(logs: Logs, options: Options) -> Table:
    """Return duplicate responders, wake-ups, and late replies that provoked ICMP errors."""
    return Table(
        name="artefacts",
        title="Reply artefacts",
        unit="flow",
        vantage="replies as they pass the switch, by the server that sent them",
        note=_NOTE,
        value={
            "duplicates": _duplicates(logs),
            "duplicates_counted": _duplicates_counted(logs),
            "wakeup": _wakeup(logs, options),
            "unreachable": _unreachable(logs),
        },
        columns={
            "server": ("server", ""),
            "host": ("internal host", ""),
            "client": ("replying server", ""),
            "direction": ("direction", ""),
            "protocol": ("protocol", ""),
            "server_port": ("server port", ""),
            "client_port": ("port of the service", ""),
            "flows": ("flows", "flows"),
            "clients": ("clients", "hosts"),
            "servers": ("closed hosts", "hosts"),
            "requests": ("requests", "packets"),
            "replies": ("replies", "packets"),
            "most": ("most replies to a request", "packets"),
            "minutes": ("minutes", "min"),
            "lost": ("requests without answer", "packets"),
            "shortest": ("shortest delay", "seconds"),
            "longest": ("longest delay", "seconds"),
            "first": ("first", "UTC"),
            "last": ("last", "UTC"),
        },
    )


def _asks_once(rows: ir.Table) -> ir.BooleanValue:
    """Whether one datagram asks and one answers."""
    return rows.protocol.isin(_ICMP) | (
        (rows.protocol == "udp") & rows.server_port.isin(SINGLE_DATAGRAM)
    )


def _most(rows: ir.Table, *keys: str) -> ir.Table:
    """Return the LISTED rows with most flows."""
    return rows.order_by(rows.flows.desc(), *keys).limit(LISTED)


def _duplicates(logs: Logs) -> list[dict[str, Any]]:
    flows = logs.flows
    flows = flows.filter(
        _asks_once(flows) | ((flows.protocol == "udp") & (flows.attempts == 1)),
        flows.server_packets > DUPLICATES * flows.attempts,
    )
    keys = ("server", "protocol", "server_port")
    found = flows.group_by(keys).aggregate(
        flows=flows.count(),
        clients=flows.client.nunique(),
        requests=flows.attempts.sum(),
        replies=flows.server_packets.sum(),
        most=(flows.server_packets / flows.attempts).max(),
        first=flows.first.min(),
        last=flows.last.max(),
    )
    return logs.rows(_most(found, *keys), times=("first", "last"))


def _duplicates_counted(logs: Logs) -> list[dict[str, Any]]:
    counters = logs.healthy.filter(logs.healthy.verdict == "answered")
    counters = counters.filter(_asks_once(counters), counters.host.notnull())
    keys = ("host", "direction", "protocol", "server_port")
    minutes = counters.group_by(*keys, "minute").aggregate(
        flows=counters.flows.sum(),
        requests=counters.client_packets.sum(),
        replies=counters.server_packets.sum(),
    )
    many = minutes.filter(minutes.replies > DUPLICATES * minutes.requests)
    found = many.group_by(keys).aggregate(
        flows=many.flows.sum(),
        minutes=many.count(),
        requests=many.requests.sum(),
        replies=many.replies.sum(),
        first=many.minute.min(),
        last=many.minute.max(),
    )
    return logs.rows(_most(found, *keys), times=("first", "last"))


def _wakeup(logs: Logs, options: Options) -> list[dict[str, Any]]:
    flows = logs.flows
    flows = flows.filter(
        flows.verdict == "recovered",
        flows.reply_delay >= options.timeout,
        flows.icmp_type.isnull(),
        flows.attempts > 1,
    )
    lost = ibis.greatest(flows.attempts - flows.server_packets, 0)
    keys = ("server", "protocol", "server_port")
    found = flows.group_by(keys).aggregate(
        flows=flows.count(),
        clients=flows.client.nunique(),
        requests=flows.attempts.sum(),
        lost=ibis.ifelse(flows.protocol == "tcp", None, lost).sum(),
        shortest=flows.reply_delay.min(),
        longest=flows.reply_delay.max(),
        first=flows.first.min(),
        last=flows.last.max(),
    )
    return logs.rows(_most(found, *keys), times=("first", "last"))


def _unreachable(logs: Logs) -> list[dict[str, Any]]:
    flows = logs.flows
    port_unreachable = (
        (flows.icmp_type == 3) & (flows.icmp_code == 3) & ~flows.server.contains(":")
    ) | ((flows.icmp_type == 1) & (flows.icmp_code == 4) & flows.server.contains(":"))
    flows = flows.filter(
        flows.verdict == "icmp_error",
        flows.protocol == "udp",
        flows.client_port.isin(SINGLE_DATAGRAM),
        flows.server_port.notin(SINGLE_DATAGRAM),
        port_unreachable,
        flows.icmp_sender == flows.server,
    )
    keys = ("client", "client_port")
    found = flows.group_by(keys).aggregate(
        flows=flows.count(),
        servers=flows.server.nunique(),
        first=flows.first.min(),
        last=flows.last.max(),
    )
    return logs.rows(_most(found, *keys), times=("first", "last"))
