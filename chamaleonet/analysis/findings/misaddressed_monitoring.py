"""Monitoring of what is not there: pings, SNMP, syslog or metrics to an address in vain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chamaleonet.analysis.findings.dead import Pair, by_cause, by_server
from chamaleonet.analysis.findings.finding import Diagnosis, Group, by_flows, grown
from chamaleonet.analysis.findings.lasting import lasting
from chamaleonet.analysis.findings.rhythm import POLLS
from chamaleonet.analysis.findings.words import count, every, listing, who

if TYPE_CHECKING:
    from chamaleonet.analysis.findings.case import Case

KIND = "misaddressed_monitoring"

PINGS = ("icmp", "icmpv6")
# Nobody answers these, be they received or not: SNMP traps, syslog, Graphite, NetFlow, IPFIX,
# sFlow, StatsD, InfluxDB, GELF, collectd.
ONE_WAY = (
    "udp/162", "udp/514", "udp/2003", "udp/2055", "udp/4739", "udp/6343", "udp/8089", "udp/8125",
    "udp/9995", "udp/9996", "udp/12201", "udp/25826",
)  # fmt: skip
# SNMP, syslog and its TLS, Xymon, Graphite, Loki, OpenTelemetry, Beats, Icinga, NRPE, Checkmk,
# InfluxDB, Splunk, Prometheus, Zabbix, GELF, Fluentd.
ASKING = (
    "udp/161", "tcp/161", "tcp/514", "tcp/601", "tcp/1984", "tcp/2003", "tcp/2004", "tcp/3100",
    "tcp/4317", "tcp/4318", "tcp/5044", "tcp/5665", "tcp/5666", "tcp/6514", "tcp/6556", "tcp/8086",
    "tcp/8088", "tcp/9090", "tcp/9091", "tcp/9997", "tcp/10050", "tcp/10051", "tcp/12201",
    "tcp/24224", "udp/24224",
)  # fmt: skip
SERVICES = (*PINGS, *ONE_WAY, *ASKING)

BY_HAND = 30  # requests of one ping: people stop sooner
# A collector in use hears from most hosts; what a few send to nobody else's is misaddressed, or
# a collector for these few.
FEW, _UNHEARD = 5, 0.4


def find(case: Case) -> list[Group]:
    """Return addresses that clients watch, or report to, at a constant period and in vain."""
    pairs = [pair for pair in case.dead if pair.service in SERVICES]
    regular = [pair for pair in pairs if pair.regular and not _is_by_hand(pair)]
    sure = {pair: certainty * pair.regularity for pair, certainty in lasting(case, regular).items()}
    senders: dict[tuple[str, str], int] = {}
    for pair in pairs:
        senders[pair.server, pair.service] = senders.get((pair.server, pair.service), 0) + 1
    for pair in list(sure):
        if pair.service in ONE_WAY and not pair.icmp:
            if senders[pair.server, pair.service] > FEW:
                del sure[pair]
            else:
                sure[pair] *= _UNHEARD
    return [
        Group(
            [pair.evidence() for pair in its],
            {
                "confidence": max(sure[pair] * grown(pair.polls, POLLS / 2) for pair in its),
                "unheard": all(pair.service in ONE_WAY and not pair.icmp for pair in its),
            },
        )
        for its in by_cause(by_server([pair for pair in pairs if pair in sure]), least=2)
    ]


def _is_by_hand(pair: Pair) -> bool:
    return pair.service in PINGS and pair.flows == 1 and pair.requests < BY_HAND


def tell(group: Group) -> Diagnosis:
    """Return what a group of probes in vain means."""
    clients, servers = by_flows(group.evidence, "client"), group.servers
    services = by_flows(group.evidence, "service")
    requests = sum(row.requests for row in group.evidence)
    why = (
        "Nothing would be heard of a collector in use either, but hardly anybody else sends there:"
        " make sure that there is one."
        if group.about["unheard"]
        else "Nothing ever comes back: there is nothing to watch, and nobody to report to."
    )
    return Diagnosis(
        group.about["confidence"],
        f"{who(clients)} sent {listing(services)} to {listing(servers)}{every(group.evidence)}"
        f" {count(requests, 'time')}. {why}",
        f"In the monitoring on {listing(clients)} remove {listing(servers)} or correct the"
        " address.",
    )
