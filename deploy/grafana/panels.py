"""What the dashboards show: rows of panels, each with its queries in PromQL.

``$instance`` are the processes chosen at the top of the dashboard, ``$__rate_interval`` is
Grafana's: long enough for a rate.
"""

from __future__ import annotations

from dataclasses import dataclass

RATE = "[$__rate_interval]"
OURS = 'instance=~"$instance"'
ERRONEOUS = f'verdict=~"unanswered|icmp_error",{OURS}'
JUDGED = f'verdict=~"answered|refused|unanswered|icmp_error",{OURS}'


@dataclass(frozen=True)
class Panel:
    """One panel.

    Attributes:
        title: what it shows.
        queries: PromQL by legend, which may hold {{labels}}.
        about: what to read from it.
        unit: Grafana's name of the unit.
        kind: ``timeseries`` or ``stat``.
        width: in 24ths of the page.
        bad: from this value on it is red.
    """

    title: str
    queries: dict[str, str]
    about: str
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 8
    bad: float | None = None


def rate(metric: str, *by: str, where: str = OURS) -> str:
    """Return the rate per second of a counter, by labels."""
    return f"sum by ({', '.join(by)}) (rate(chamaleonet_{metric}{{{where}}}{RATE}))"


def increase(metric: str, *by: str, where: str = OURS) -> str:
    """Return by how much a counter rose between two points of the panel, by labels."""
    return f"sum by ({', '.join(by)}) (increase(chamaleonet_{metric}{{{where}}}{RATE}))"


def entered(verdict: str, *by: str) -> str:
    """Return the rate per second of flows that entered a verdict, by labels."""
    return rate("flows_total", *by, where=f'verdict="{verdict}",{OURS}')


def gauge(metric: str, where: str = OURS) -> str:
    """Return a gauge as it is."""
    return f"chamaleonet_{metric}{{{where}}}"


def share(over: str, under: str, *by: str) -> str:
    """Return which part of the flows with some verdicts has others, by labels."""
    above, below = (rate("flows_total", *by, where=where) for where in (over, under))
    return f"{above} / ({below} > 0)"


def delay(quantile: float) -> str:
    """Return a quantile of the delay from a verdict to its rule."""
    return (
        f"histogram_quantile({quantile}, sum by (le)"
        f" (rate(chamaleonet_verdict_delay_seconds_bucket{{{OURS}}}{RATE})))"
    )


# Not lost are what the logger sorts out at its port.
LOST = f'cause!~"not_erroneous|non_ip|malformed|fragments|excluded|icmp_info",{OURS}'
FIRING = 'count(ALERTS{alertname=~"Chamaleonet.+",alertstate="firing"}) or vector(0)'
VERDICTS = Panel(
    "Flows by verdict", {"{{verdict}}": rate("flows_total", "verdict")},
    "Flows that entered a verdict, per second. One that recovers is counted under both.", "ops",
    width=12,
)  # fmt: skip
ERRONEOUS_SHARE = Panel(
    "Erroneous share of requests", {"{{direction}}": share(ERRONEOUS, JUDGED, "direction")},
    "Unanswered, or answered by an ICMP error. A few percent are ordinary; a jump is news.",
    "percentunit", width=12,
)  # fmt: skip
CONNECTED = Panel(
    "Switches connected", {"{{dp_id}}": gauge("switch_connected")},
    "1 while the controller hears the switch. Without it traffic goes on, unjudged.", kind="stat",
    width=6,
)  # fmt: skip
BACKLOG = Panel(
    "Records that wait for the logger",
    {"in memory": gauge("logger_queue_records"), "in the spool": gauge("logger_spool_records")},
    "Half a second's worth is ordinary. If it grows, the logger is away or does not keep up.",
)
LOSS = Panel(
    "Lost, by cause", {"{{job}}: {{cause}}": increase("dropped_total", "job", "cause", where=LOST)},
    "Everything that should have been judged or written and was not: a flat zero is right.",
    width=12, bad=1,
)  # fmt: skip

OVERVIEW = [
    CONNECTED,
    Panel(
        "Processes", {"{{job}}": f'up{{job=~"chamaleonet-.+",{OURS}}}'},
        "1 while Prometheus can scrape the process.", kind="stat", width=6,
    ),
    Panel(
        "Alerts", {"firing": FIRING},
        "Alerts that fire now; docs/runbooks.md says what to do.", kind="stat", width=6, bad=1,
    ),
    Panel(
        "Versions", {"{{version}}": "count by (version) (chamaleonet_build_info)"},
        "Processes by the version that they run.", kind="stat", width=6,
    ),
    VERDICTS,
    ERRONEOUS_SHARE,
    LOSS,
    Panel(
        "Packets judged", {"{{source}}": rate("candidate_packets_total", "source")},
        "What leaves the switch to be judged: a sliver of all its packets.", "pps", width=12,
    ),
    BACKLOG,
    Panel(
        "Processor", {"{{job}}": f"rate(process_cpu_seconds_total{{{OURS}}}{RATE})"},
        "1 is one core. The controller cannot use more than that for one switch.", "percentunit",
    ),
    Panel(
        "Memory", {"{{job}}": f"process_resident_memory_bytes{{{OURS}}}"},
        "Everything is bounded: it rises at the start and then stays.", "bytes",
    ),
]  # fmt: skip

SWITCH = [
    CONNECTED,
    Panel(
        "Flows in the table",
        {"tracked": gauge("tracked_flows"), "wait for a reply": gauge("pending_flows")},
        "At `max_flows` new flows find no place, and `flow_table_full` counts them.", width=9,
    ),
    Panel(
        "Packet-ins", {"{{dp_id}}": rate("packet_ins_total", "dp_id")},
        "Packets that came over the OpenFlow connection.", "pps", width=9,
    ),
    Panel(
        "Redirect rules",
        {
            "{{dp_id}}": gauge("redirect_rules"),
            "{{dp_id}}, of them for many flows": gauge("redirect_aggregate_rules"),
            "{{dp_id}}, budget": gauge("redirect_budget_rules"),
        },
        "One for each flow that fails now. Near the budget, one rule stands for many flows.",
        width=12,
    ),
    Panel(
        "Flows without a rule", {"{{dp_id}}": gauge("redirect_uncovered_flows")},
        "Their packets are not copied: the budget is used up, or the switch refused.", bad=1,
        width=12,
    ),
    Panel(
        "Rules in the switch's tables", {"{{dp_id}} {{table}}": gauge("switch_table_rules")},
        "Anybody's rules in the tables that we use.", width=12,
    ),
    Panel(
        "Changes of redirect rules", {"{{change}}": rate("redirect_rule_changes_total", "change")},
        "`failed` were refused by the switch, most often because its table is full.", "ops",
        width=12,
    ),
    Panel(
        "From verdict to rule", {"median": delay(0.5), "99%": delay(0.99)},
        "Until the switch has confirmed the rule, the flow's packets are not copied.", "s",
        width=12,
    ),
    LOSS,
    Panel(
        "OpenFlow connections closed",
        {"{{cause}}": increase("openflow_errors_total", "cause")},
        "For what their other end did: docs/security.md tells the causes.", bad=1,
    ),
    Panel(
        "Rules at connection", {"{{outcome}}": increase("reconciled_rules_total", "outcome")},
        "What a switch that connects has of our rules, and what was changed.",
    ),
    Panel(
        "Shedding", {"{{dp_id}}": gauge("shedding")},
        "1 while flows are lost to a flood: verdicts are degraded meanwhile.", bad=1,
    ),
    Panel(
        "Master", {"{{instance}}": gauge("controller_master")},
        "1 for the controller that judges; a standby has 0.",
    ),
    Panel(
        "Takeovers", {"{{instance}}": increase("takeovers_total", "instance")},
        "How often a standby became the master.",
    ),
    Panel(
        "Saved flows", {"": gauge("checkpoint_bytes")},
        "What the next controller goes on with; 0 where nothing is saved.", "bytes",
    ),
]  # fmt: skip

LOGGER = [
    Panel(
        "Connected to the controller", {"": gauge("logger_stream_connected")},
        "1 while verdicts come in.", kind="stat", width=6,
    ),
    Panel(
        "Disk full", {"": gauge("logger_disk_full")},
        "1 while the disk takes nothing: packets are lost, verdicts wait.", kind="stat", width=6,
        bad=1,
    ),
    Panel(
        "Room on the disk",
        {"": f"{gauge('logger_disk_available_bytes')} / {gauge('logger_disk_size_bytes')}"},
        "Of the file system that the log lies on.", "percentunit", kind="stat", width=6,
    ),
    Panel(
        "Size of the log", {"": gauge("logger_files_bytes")},
        "All files in the directory; `logger.retention` bounds it.", "bytes", kind="stat", width=6,
    ),
    Panel(
        "Packets written", {"{{verdict}}": rate("logger_packets_total", "verdict")},
        "By the verdict of their flow.", "pps", width=12,
    ),
    Panel(
        "Flows written", {"{{verdict}}": rate("logger_flows_total", "verdict")},
        "A flow is written once, when it has ended.", "ops", width=12,
    ),
    Panel(
        "Packets at the logger port", {"in": rate("logger_port_packets_total", "instance")},
        "What the switch's redirect rules copy.", "pps",
    ),
    Panel(
        "Held in memory",
        {"flows known": gauge("logger_known_flows"), "packets held": gauge("logger_held_packets")},
        "Packets wait for their verdict for a moment only.",
    ),
    BACKLOG,
    Panel(
        "Written to disk", {"{{kind}}": rate("logger_written_bytes_total", "kind")},
        "By kind of file, before compression.", "Bps",
    ),
    Panel(
        "Not yet complete",
        {"bytes": gauge("logger_uncommitted_bytes"), "files": gauge("logger_unfinished_files")},
        "Decided on but not in a file; files that are being compressed or made Parquet.",
    ),
    Panel(
        "Files removed", {"{{cause}}": increase("logger_files_removed_total", "cause")},
        "By `logger.retention`, for their age or the size of all.",
    ),
    LOSS,
    Panel(
        "Spool", {"": gauge("logger_spool_bytes")},
        "On the controller's disk, while the logger is away.", "bytes", width=12,
    ),
]  # fmt: skip

NETWORK = [
    VERDICTS,
    ERRONEOUS_SHARE,
    Panel(
        "Health", {"{{protocol}}": share(f'verdict="answered",{OURS}', JUDGED, "protocol")},
        "The share of requests that were answered in time, by protocol.", "percentunit", width=12,
    ),
    Panel(
        "Share of the most erroneous host", {"{{direction}}": gauge("erroneous_top_host_ratio")},
        "One internal host's part of the last minutes' errors. Near 1 with many errors: a worm, a"
        " scanner, or a host whose server is gone.", "percentunit", width=12,
    ),
    Panel(
        "Not to be relied on", {"{{quality}}": rate("flows_unsound_total", "quality")},
        "Suspect: replies were out of sight. Degraded: packets were lost or shed.", "ops",
        width=12, bad=1,
    ),
    Panel(
        "Replies out of sight", {"{{direction}}: {{reason}}": gauge("suspect_prefixes")},
        "For how many internal prefixes: docs/visibility.md tells the reasons.", width=12, bad=1,
    ),
    Panel(
        "Unanswered",
        {"{{direction}} {{protocol}}": entered("unanswered", "direction", "protocol")},
        "Silence: a host that is gone, a firewall that drops.", "ops",
    ),
    Panel(
        "ICMP errors",
        {"{{direction}} {{protocol}}": entered("icmp_error", "direction", "protocol")},
        "A router or the host says no.", "ops",
    ),
    Panel(
        "Refused", {"{{direction}}": entered("refused", "direction")},
        "TCP reset: the host is there, the service is not.", "ops",
    ),
    Panel(
        "Recovered", {"{{direction}}": entered("recovered", "direction")},
        "They failed first and were answered later: overload, or a timeout that is too short.",
        "ops", width=12,
    ),
    Panel(
        "Wait for a reply", {"flows": f"sum(chamaleonet_pending_flows{{{OURS}}})"},
        "A step up shows an outage before the first timeout has passed.", width=12,
    ),
]  # fmt: skip

# By the file's name: title, panels in the order of reading.
DASHBOARDS = {
    "overview": ("Overview", OVERVIEW),
    "switch": ("Switch and rules", SWITCH),
    "logger": ("Logger", LOGGER),
    "network": ("Health of the network", NETWORK),
}
