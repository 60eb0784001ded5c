"""Which metrics a PromQL expression names, and which ones there are."""

import re

from prometheus_client import CollectorRegistry

from chamaleonet import metrics

# Of Prometheus itself, and of prometheus_client's own collectors.
STANDARD = {
    "ALERTS",
    "up",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "process_open_fds",
    "process_max_fds",
}
_ASIDE = re.compile(
    r"""
    "(?:\\.|[^"\\])*"  # strings
    | \{[^}]*\}         # label matchers
    | \[[^]]*\]         # ranges
    | \b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)
    | \b(?:and|or|unless|offset|bool)\b
    | \b\d[\w.]*       # numbers and durations
    """,
    re.VERBOSE,
)
_NAME = re.compile(r"[a-zA-Z_][\w:]*(?![\w:]|\s*\()")  # what is no function


def names(expression):
    """Return the names of the metrics that an expression reads."""
    return set(_NAME.findall(_ASIDE.sub("", expression)))


def declared():
    """Return the names of all series that the controller or the logger can export."""
    found = {"chamaleonet_build_info", "chamaleonet_config_info"}
    for kind in (metrics.ControllerMetrics, metrics.LoggerMetrics):
        registry = CollectorRegistry()
        kind(registry)
        for family in registry.collect():
            if family.type == "histogram":
                found |= {f"{family.name}_{part}" for part in ("bucket", "sum", "count")}
            else:
                found.add(family.name + ("_total" if family.type == "counter" else ""))
    return found
